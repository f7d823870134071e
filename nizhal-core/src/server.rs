//! What only a server has: a mutator that runs on a device too asks for it and goes on without.

use crate::{__private::BoxFuture, DateTimeUtc, Result};
use sea_orm::{Condition, DatabaseTransaction, DeleteMany, EntityTrait, QueryFilter, Select, UpdateMany};
use std::sync::Arc;

/// What a mutation's actor may draw and see, as the server judges it.
pub trait ActorScope: Send + Sync {
    /// The next number of this series in this bucket, on the mutation's own transaction; the actor must hold the bucket.
    fn next<'a>(&'a self, tx: &'a DatabaseTransaction, series: &'a str, bucket: &'a str) -> BoxFuture<'a, Result<i64>>;

    /// What a row of this table meets that the actor sees; no row meets it where no rule syncs the table.
    fn visible(&self, table: &str) -> Condition;
}

/// What a server puts into a mutator's context; a device has none of it.
#[derive(Clone)]
pub struct ServerParts {
    /// What the actor may draw and see.
    pub scope: Arc<dyn ActorScope>,
    /// Its own time when the mutation began.
    pub now: DateTimeUtc,
    /// Whether each of the mutator's statements has a savepoint, so that it may go on after one that failed.
    pub savepoints: bool,
}

/// The server that a mutator runs on; see [`Ctx::server`](crate::Ctx::server).
#[derive(Clone, Copy)]
pub struct ServerSide<'a> {
    pub(crate) tx: &'a DatabaseTransaction,
    pub(crate) parts: &'a ServerParts,
}

impl ServerSide<'_> {
    /// The server's own time when the mutation began, in UTC with microseconds: [`Ctx::now`](crate::Ctx::now) is the device's word.
    pub fn now(self) -> DateTimeUtc {
        self.parts.now
    }

    /// The next number of a series within a bucket, from 1 and without a gap: for receipts and invoices.
    ///
    /// `series` says what is counted, `bucket` whose: a bucket that the actor holds, by its parameter's value (`shop-1`; several
    /// are percent-encoded and joined with `/`) or with its rule's wire name (`myShops:shop-1`): both are one series. A bare value
    /// that is a bucket of the actor's in two rules draws nothing. The mutator may also be `privileged` for a table of the rule.
    /// Until the mutation ends, others that want a number of the same series in the same bucket wait for it, and nobody else does;
    /// so take it late. When the mutation is refused or fails, its number goes to the next one.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::Error::Forbidden) when the bucket is not the actor's, and then the mutation is refused whatever the
    /// mutator makes of it; [`Error::Internal`](crate::Error::Internal) when a bare value names two of its buckets;
    /// [`Error::Db`](crate::Error::Db) when the database fails.
    pub async fn next_in_bucket(self, series: &str, bucket: &str) -> Result<i64> {
        self.parts.scope.next(self.tx, series, bucket).await
    }
}

/// A query whose rows are those of one table: a select, a bulk update or a bulk delete.
pub trait OfOneTable: QueryFilter {
    /// The table's name.
    fn table() -> &'static str;
}

impl<E: EntityTrait> OfOneTable for Select<E> {
    fn table() -> &'static str {
        E::default().table_name()
    }
}

impl<E: EntityTrait> OfOneTable for UpdateMany<E> {
    fn table() -> &'static str {
        E::default().table_name()
    }
}

impl<E: EntityTrait> OfOneTable for DeleteMany<E> {
    fn table() -> &'static str {
        E::default().table_name()
    }
}
