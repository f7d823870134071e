//! A push's transaction: its own on Postgres, shared with whoever waits on SQLite.

use super::{
    StoreError,
    database::{Backend, Store},
    postgres, sqlite,
};
use sea_orm::DatabaseTransaction;

/// The end of a transaction of [`Store::begin_push`].
#[derive(Debug)]
pub struct CommitSlot<'a>(On<'a>);

#[derive(Debug)]
enum On<'a> {
    Postgres(postgres::TransactionEnd<'a>),
    Sqlite(sqlite::CommitSlot<'a>),
}

impl Store {
    /// Begins the transaction of a push; one that is to be alone shares its commit with nobody.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_push(&self, alone: bool) -> Result<(DatabaseTransaction, CommitSlot<'_>), StoreError> {
        match &self.backend {
            Backend::Postgres(store) => {
                let (tx, end) = store.begin().await?;
                Ok((tx, CommitSlot(On::Postgres(end))))
            }
            Backend::Sqlite(store) => {
                let (tx, slot) = store.begin_push(alone).await?;
                Ok((tx, CommitSlot(On::Sqlite(slot))))
            }
        }
    }
}

impl CommitSlot<'_> {
    /// Commits; what comes after may count on it.
    ///
    /// # Errors
    /// When the database fails, or lost the transaction through another push in it: then nothing is kept.
    pub async fn commit(self, tx: DatabaseTransaction) -> Result<(), StoreError> {
        match self.0 {
            On::Postgres(end) => end.commit(tx).await,
            On::Sqlite(slot) => slot.commit(tx).await,
        }
    }

    /// Says on which backend of the database the transaction runs, where that is known.
    pub fn identify(&self, backend: Option<i32>) {
        if let (On::Postgres(end), Some(backend)) = (&self.0, backend) {
            end.identify(backend);
        }
    }

    /// Ends the turn of a push that keeps nothing: its transaction is rolled back here, or was dropped. Where the push broke
    /// the connection, nobody gets it any more.
    pub async fn abandon(self, tx: Option<DatabaseTransaction>, is_broken: bool) {
        match self.0 {
            On::Postgres(end) => end.abandon(tx, is_broken).await,
            On::Sqlite(slot) => slot.abandon(tx, is_broken).await,
        }
    }
}
