//! What the engine asks a snapshot for, and what it gets.

use crate::engine::Bucket;
use nizhal_core::SqlType;

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
    /// The last version drawn by anyone: no honest cursor is above it.
    pub clock: i64,
    /// Versions up to here are all committed and visible.
    pub horizon: i64,
    /// Tombstones up to here may have been collected.
    pub collected: i64,
    /// Parameter values that membership tables give the actor: `(rule, parameter, value)` by index.
    pub members: Vec<(usize, usize, String)>,
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
    /// The value as text.
    pub text: String,
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
