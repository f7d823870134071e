//! Who this device is and how far it has come.

use super::{SqliteStore, StoreError, tx::Tx};
use crate::session::Memory;
use sea_orm::{ConnectionTrait as _, DbBackend, QueryResult, Statement};

/// The one row of `_nizhal_meta`.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub(super) client_id: String,
    pub(super) node: String,
    pub(super) next_number: i64,
    pub(super) hlc: Option<String>,
    pub(super) cursor: String,
    pub(super) epoch: Option<String>,
    pub(super) complete: bool,
    /// Where a snapshot that comes in pages goes on, while it is not whole.
    pub(super) staged: Option<String>,
    pub(super) staged_reset: bool,
    waiting: i64,
    dead_letters: i64,
    unseen: i64,
    held: i64,
    uploads: i64,
    untried_uploads: i64,
    /// Rules of which buckets are still to come, and buckets on demand whose rows are not here.
    pub(super) incomplete: i64,
}

const READ: &str = "select client_id, node, next_number, hlc, cursor, epoch, complete, staged, staged_reset, waiting, \
    parked, (select count(*) from _nizhal_outbox where state = 1 and covered = 0) as unseen, \
    (select count(*) from _nizhal_outbox where number = 0) as held, \
    (select count(*) from _nizhal_blobs where state = 0) as uploads, \
    (select count(*) from _nizhal_blobs where state = 0 and tries = 0) as untried_uploads, \
    (select count(*) from _nizhal_later) + (select count(*) from _nizhal_subscriptions where complete = 0) as incomplete \
    from _nizhal_meta";

impl Tx<'_> {
    pub(super) async fn meta(&self) -> Result<Meta, StoreError> {
        Meta::of(self.one(READ, []).await?)
    }
}

impl SqliteStore {
    pub(super) async fn memory(&self) -> Result<Memory, StoreError> {
        let read = Statement::from_string(DbBackend::Sqlite, READ);
        Ok(Meta::of(self.reads.query_one_raw(read).await?)?.memory())
    }
}

impl Meta {
    fn of(row: Option<QueryResult>) -> Result<Self, StoreError> {
        let row = row.ok_or_else(|| StoreError::Broken("its first row is missing".to_owned()))?;
        Ok(Self {
            client_id: row.try_get("", "client_id")?,
            node: row.try_get("", "node")?,
            next_number: row.try_get("", "next_number")?,
            hlc: row.try_get("", "hlc")?,
            cursor: row.try_get("", "cursor")?,
            epoch: row.try_get("", "epoch")?,
            complete: row.try_get("", "complete")?,
            staged: row.try_get("", "staged")?,
            staged_reset: row.try_get("", "staged_reset")?,
            waiting: row.try_get("", "waiting")?,
            dead_letters: row.try_get("", "parked")?,
            unseen: row.try_get("", "unseen")?,
            held: row.try_get("", "held")?,
            uploads: row.try_get("", "uploads")?,
            untried_uploads: row.try_get("", "untried_uploads")?,
            incomplete: row.try_get("", "incomplete")?,
        })
    }

    /// Where the next pull begins.
    pub(super) fn position(&self) -> &str {
        self.staged.as_deref().unwrap_or(&self.cursor)
    }

    pub(super) fn memory(&self) -> Memory {
        let count = |count: i64| usize::try_from(count).unwrap_or(0);
        Memory {
            waiting: count(self.waiting),
            held: count(self.held),
            dead_letters: count(self.dead_letters),
            unseen: count(self.unseen),
            uploads: count(self.uploads),
            untried_uploads: count(self.untried_uploads),
            has_cursor: !self.cursor.is_empty(),
            staging: self.staged.is_some(),
            complete: self.complete,
            incomplete: count(self.incomplete),
        }
    }
}
