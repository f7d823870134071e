//! The queries of the engine to a snapshot, and their answers.

use super::error::StoreError;
use nizhal_core::{Bucket, Principal, SqlType, TableDesc};
use std::collections::BTreeSet;

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

/// The version clock as it was before the snapshot was taken.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The last version drawn by anyone: no honest cursor is above it.
    pub last: i64,
    /// Versions up to here are all committed and visible.
    pub horizon: i64,
    /// The incarnation of the database now.
    pub incarnation: String,
    /// The WAL position in this incarnation: what a horizon lets through is at or before this place.
    pub wal_lsn: i64,
}

/// The standing of the client that asks.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Its last mutation.
    pub last: i64,
    /// The last version that one of its mutations drew.
    pub last_version: i64,
    /// Whether some row of the actor's buckets was written above the horizon: what a mutation wrote may be hidden there.
    pub outrun: bool,
}

/// A parameter's value that a membership table gives: `(rule, parameter, value)` by index.
pub type Membership = (usize, usize, String);

/// The facts that hold for the whole snapshot.
#[derive(Clone, Debug, Default)]
pub struct PullHeader {
    /// The database's epoch.
    pub epoch: String,
    /// What signs cursors.
    pub secret: String,
    /// The fingerprint of the rules that the database is provisioned for.
    pub rules: String,
    /// The generations of the rules, as JSON.
    pub generations: String,
    /// The fingerprint of the tables and their triggers that the rows were read under; `None` where no row was, and on SQLite.
    pub triggers: Option<String>,
    /// The incarnation that was recorded last; when the database is in another one now, it was restored, failed over or started again.
    pub recorded_incarnation: String,
    /// Tombstones up to here may have been collected.
    pub collected: i64,
    /// Parameter values that membership tables give the actor.
    pub members: Vec<Membership>,
    /// The client that asks, where it is known.
    pub client: Option<Client>,
}

impl PullHeader {
    /// Adds a row of the scope statement: `rule` −1 is of the header itself.
    pub(crate) fn push_scope_row(&mut self, rule: i64, param: i64, value: String, collected: Option<i64>) {
        match (usize::try_from(rule), usize::try_from(param)) {
            (Ok(rule), Ok(param)) => self.members.push((rule, param, value)),
            (_, Ok(0)) => (self.epoch, self.collected) = (value, collected.unwrap_or_default()),
            (_, Ok(1)) => self.secret = value,
            (_, Ok(2)) => self.recorded_incarnation = value,
            (_, Ok(3)) => self.rules = value,
            _ => self.generations = value,
        }
    }
}

/// The query of a pull.
#[derive(Debug)]
pub struct PullQuery<'a> {
    /// Whose buckets.
    pub principal: &'a Principal,
    /// The client whose last mutation is asked for.
    pub client: Option<&'a str>,
    /// The lanes, each to be read in those of its buckets that are the actor's now.
    pub lanes: Vec<LaneRead<'a>>,
    /// The actor's buckets that are in no lane are one lane more, read from the beginning: so many changes of it. When it is 0 they
    /// are not read.
    pub gained: usize,
    /// Enough bytes of rows for a lane.
    pub max_bytes: usize,
    /// The most buckets that the actor may hold; of more, nothing need be read.
    pub max_buckets: usize,
}

impl<'a> PullQuery<'a> {
    /// Whether the header alone answers it.
    pub(super) fn needs_header_only(&self) -> bool {
        self.gained == 0 && self.lanes.iter().all(|lane| lane.limit == 0)
    }

    /// The buckets that each lane is read in, those in no lane last.
    pub fn covered(&self, mut scope: BTreeSet<Bucket>) -> Vec<Vec<Bucket>> {
        let own = |lane: &LaneRead<'_>| lane.buckets.iter().filter(|bucket| scope.remove(bucket)).cloned().collect();
        let mut covered: Vec<Vec<Bucket>> = self.lanes.iter().map(own).collect();
        covered.push(if self.gained == 0 { Vec::new() } else { scope.into_iter().collect() });
        covered
    }
}

/// The query of a pull that asks for the header alone.
#[derive(Clone, Copy, Debug)]
pub struct IdleProbe<'a> {
    /// Whose buckets.
    pub principal: &'a Principal,
    /// The client whose last mutation is asked for.
    pub client: Option<&'a str>,
}

/// One lane's reading.
#[derive(Clone, Copy, Debug)]
pub struct LaneRead<'a> {
    /// Read after here …
    pub from: &'a Position,
    /// … tombstones only above this version …
    pub floor: i64,
    /// … in these buckets …
    pub buckets: &'a [Bucket],
    /// … and no more changes than this; none at all when it is 0.
    pub limit: usize,
}

/// Where a lane of gained buckets begins.
pub(super) const START: &Position = &Position { version: 0, tie: None };

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

/// Whoever takes the rows of a scan, as they come.
pub trait LineTaker: Send {
    /// Why it takes no more.
    type Error: From<StoreError>;

    /// Takes a line's worth of JSON objects with commas between, behind the head of their slot, and how many they are.
    fn take(&mut self, line: Vec<u8>, rows: usize) -> impl Future<Output = Result<(), Self::Error>> + Send;
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
    /// The row's state.
    pub state: RowState,
}

impl Change {
    /// The bytes of the row that it brings.
    pub fn bytes(&self) -> usize {
        match &self.state {
            RowState::Row(row) => row.len(),
            RowState::Gone { .. } | RowState::Unreadable(_) => 0,
        }
    }
}

/// A page of rows alone, which needs no tombstones.
#[derive(Debug)]
pub struct RowPage {
    /// By slot: the rows' JSON objects with commas between, and how many.
    pub rows: Vec<(usize, Vec<u8>, usize)>,
    /// The rows among them that cannot be told.
    pub unreadable: Vec<Change>,
    /// Where the lane stands after them.
    pub position: Position,
}

/// A row that devices do not get, because a value in it is none that its column's type can say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Unreadable {
    /// Its table.
    pub table: String,
    /// Its key as text.
    pub id: String,
    /// The column of the value.
    pub column: String,
}

/// The state of a row that changed.
#[derive(Debug, PartialEq, Eq)]
pub enum RowState {
    /// It is this JSON object now.
    Row(Vec<u8>),
    /// It is there, and the value of this column cannot be told.
    Unreadable(&'static str),
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

/// A living row that a tombstone was read of, and a bucket that shows it.
#[derive(Debug)]
pub struct Image {
    /// The bucket.
    pub bucket: Bucket,
    /// The id in the tombstone.
    pub id: String,
    /// The row.
    pub change: Change,
}
