//! What only a server has: a mutator that runs on a device too asks for it and goes on without.

use crate::{__private::BoxFuture, DateTimeUtc, Result};
use sea_orm::DatabaseTransaction;

/// Where a mutator's numbers come from.
pub trait Numbers: Send + Sync {
    /// The next number of this series in this bucket, on the mutation's own transaction.
    fn next<'a>(&'a self, tx: &'a DatabaseTransaction, series: &'a str, bucket: &'a str) -> BoxFuture<'a, Result<i64>>;
}

/// What a server puts into a mutator's context; a device has none of it.
#[derive(Clone, Copy)]
pub struct ServerParts {
    /// Where numbers come from.
    pub numbers: &'static dyn Numbers,
    /// Its own time when the mutation began.
    pub now: DateTimeUtc,
    /// Whether each of the mutator's statements has a savepoint, so that it may go on after one that failed.
    pub savepoints: bool,
}

/// The server that a mutator runs on; see [`Ctx::server`](crate::Ctx::server).
#[derive(Clone, Copy)]
pub struct ServerSide<'a> {
    pub(crate) tx: &'a DatabaseTransaction,
    pub(crate) parts: ServerParts,
}

impl ServerSide<'_> {
    /// The server's own time when the mutation began, in UTC with microseconds: [`Ctx::now`](crate::Ctx::now) is the device's word.
    pub fn now(self) -> DateTimeUtc {
        self.parts.now
    }

    /// The next number of a series within a bucket, from 1 and without a gap: for receipts and invoices.
    ///
    /// `series` says what is counted, `bucket` whose: a shop's id, for one. Until the mutation ends, others that want a number of the
    /// same series in the same bucket wait for it, and nobody else does; so take it late. When the mutation is refused or fails,
    /// its number goes to the next one.
    ///
    /// # Errors
    /// [`Error::Db`](crate::Error::Db) when the database fails.
    pub async fn next_in_bucket(self, series: &str, bucket: &str) -> Result<i64> {
        self.parts.numbers.next(self.tx, series, bucket).await
    }
}
