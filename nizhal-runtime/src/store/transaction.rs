//! How transactions of the app's database begin and end.

use super::{
    database::{Backend, Store},
    error::StoreError,
};
use sea_orm::{DatabaseTransaction, TransactionTrait};

impl Store {
    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        match &self.backend {
            Backend::Postgres(store) => Ok(store.begin().await?.0),
            Backend::Sqlite(store) => store.begin().await,
        }
    }

    /// The same, which draws no version that pulls would take for news: on Postgres no transaction does before it writes rows.
    pub(super) async fn begin_undrawn(&self) -> Result<DatabaseTransaction, StoreError> {
        match &self.backend {
            Backend::Postgres(_) => self.begin().await,
            Backend::Sqlite(store) => Ok(store.db().begin().await?),
        }
    }

    /// Commits a transaction of [`begin`](Self::begin).
    ///
    /// # Errors
    /// When the database fails: then nobody may count on it, and nobody gets its connection any more.
    pub async fn commit(&self, tx: DatabaseTransaction) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Postgres(store) => store.commit(tx).await,
            Backend::Sqlite(store) => store.commit(tx).await,
        }
    }

    /// Rolls back a transaction of [`begin`](Self::begin).
    ///
    /// # Errors
    /// When the database fails; nobody gets its connection any more.
    pub async fn roll_back(&self, tx: DatabaseTransaction) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Postgres(store) => store.roll_back(tx).await,
            Backend::Sqlite(store) => store.roll_back(tx).await,
        }
    }

    /// Closes the connection of an open transaction when that ends, because the app's code broke it.
    pub async fn mark_connection_broken(&self, tx: &DatabaseTransaction) {
        match &self.backend {
            Backend::Postgres(store) => store.mark_connection_broken(tx).await,
            Backend::Sqlite(store) => store.mark_connection_broken().await,
        }
    }

    /// Whether the database rolled back by itself the transaction that is open; only SQLite does so.
    pub fn is_lost(&self) -> bool {
        match &self.backend {
            Backend::Postgres(_) => false,
            Backend::Sqlite(store) => store.is_lost(),
        }
    }
}
