//! What the engine asks a snapshot for, and what it gets.

use crate::engine::Bucket;
use nizhal_core::{SqlType, TableDesc};

/// A place in a lane's order: `(version, slot, key)`.
///
/// Rows of one transaction share a version; the slot (tables by name, then their tombstones) and the key break the tie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// All of the versions below are done.
    pub version: i64,
    /// How far into `version` the reading went; `None` when it is done too.
    pub tie: Option<Tie>,
}

/// A place inside one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tie {
    /// Which table, or which table's tombstones.
    pub slot: usize,
    /// The key's parts as text; a tombstone's id is one part.
    pub key: Vec<String>,
}

impl Position {
    /// Everything up to and with `version` is done.
    pub fn after(version: i64) -> Self {
        Self { version, tie: None }
    }

    /// The highest version that is wholly done.
    pub fn done(&self) -> i64 {
        self.version - i64::from(self.tie.is_some())
    }
}

/// What is true of the whole snapshot.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The database's epoch.
    pub epoch: String,
    /// What signs cursors.
    pub secret: String,
    /// The fingerprint of the rules that the database is provisioned for.
    pub rules: String,
    /// Where the epoch was minted …
    pub home: String,
    /// … and where the database lives now; when they differ it was restored or failed over.
    pub lives: String,
    /// The last version drawn by anyone: no honest cursor is above it.
    pub clock: i64,
    /// Versions up to here are all committed and visible.
    pub horizon: i64,
    /// Tombstones up to here may have been collected.
    pub collected: i64,
    /// Parameter values that membership tables give the actor: `(rule, parameter, value)` by index.
    pub members: Vec<(usize, usize, String)>,
}

impl Frame {
    /// A frame that knows of the clock only.
    pub(crate) fn at(clock: i64, horizon: i64, lives: String) -> Self {
        let (epoch, secret, home, rules) = Default::default();
        Self { epoch, secret, home, rules, lives, clock, horizon, collected: 0, members: Vec::new() }
    }

    /// Takes in a row of the scope statement: `rule` −1 is of the frame itself.
    pub(crate) fn take(&mut self, rule: i64, param: i64, value: String, collected: Option<i64>) {
        match (usize::try_from(rule), usize::try_from(param)) {
            (Ok(rule), Ok(param)) => self.members.push((rule, param, value)),
            (_, Ok(0)) => (self.epoch, self.collected) = (value, collected.unwrap_or_default()),
            (_, Ok(1)) => self.secret = value,
            (_, Ok(2)) => self.home = value,
            _ => self.rules = value,
        }
    }
}

/// One lane's reading.
#[derive(Debug)]
pub struct LaneRead<'a> {
    /// Read after here …
    pub from: &'a Position,
    /// … up to and with this version …
    pub to: i64,
    /// … tombstones only above this version …
    pub floor: i64,
    /// … in these buckets …
    pub buckets: &'a [Bucket],
    /// … and no more changes than this.
    pub limit: usize,
    /// Stop after this many bytes of rows.
    pub max_bytes: usize,
}

/// Sorts after every key.
pub(super) const LAST: &str = "\u{10FFFF}";

impl LaneRead<'_> {
    /// Where to go on in the rows of this slot: after the version and these key parts; no parts mean after all of it.
    pub(super) fn rows_after(&self, slot: usize) -> (i64, &[String]) {
        match &self.from.tie {
            Some(tie) if tie.slot < slot => (self.from.version - 1, &[]),
            Some(tie) if tie.slot == slot => (self.from.version, &tie.key),
            _ => (self.from.version, &[]),
        }
    }

    /// Where to go on in the tombstones, which come after all rows of their version: after the version, table and id.
    pub(super) fn tombstones_after(&self, tables: &[&'static TableDesc]) -> (i64, &str, &str) {
        match &self.from.tie {
            Some(tie) if tie.slot < tables.len() => (self.from.version - 1, LAST, LAST),
            Some(tie) => {
                let table = tables.get(tie.slot - tables.len()).map_or(LAST, |table| table.name);
                (self.from.version, table, tie.key.first().map_or("", String::as_str))
            }
            None => (self.from.version, LAST, LAST),
        }
    }
}

/// One row or tombstone.
#[derive(Debug)]
pub struct Change {
    /// Its version.
    pub version: i64,
    /// Its slot.
    pub slot: usize,
    /// Its key's parts.
    pub key: Vec<String>,
    /// What became of it.
    pub body: Body,
}

/// What became of a row.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// It is this JSON object now.
    Row(Vec<u8>),
    /// It is gone from a bucket.
    Gone {
        /// True when it was deleted, false when it lives on elsewhere.
        deleted: bool,
        /// Its `client_id`, where that differs from the key.
        client_key: Option<String>,
    },
}

/// A parameter value for a membership query.
#[derive(Clone, Debug)]
pub struct ScopeArg {
    /// The value as text; NULL, which equals nothing, where the claim is absent.
    pub text: Option<String>,
    /// The column's type.
    pub sql: SqlType,
}

/// A living row, and a bucket that shows it.
#[derive(Debug)]
pub struct Image {
    /// The bucket.
    pub bucket: Bucket,
    /// The row.
    pub change: Change,
}
