//! A push's transaction: its own on Postgres, shared with whoever waits on SQLite.

use super::{
    StoreError,
    database::{Backend, Store},
    sqlite,
};
use sea_orm::{DatabaseTransaction, TransactionTrait};

/// What ends a transaction of [`Store::begin_push`].
#[derive(Debug)]
pub struct Turn<'a>(Option<sqlite::Turn<'a>>);

impl Store {
    /// Begins the transaction of a push. One that failed must be dropped, or rolled back, before its turn is abandoned.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_push(&self) -> Result<(DatabaseTransaction, Turn<'_>), StoreError> {
        match &self.backend {
            Backend::Postgres(store) => Ok((store.db().begin().await?, Turn(None))),
            Backend::Sqlite(store) => {
                let (tx, turn) = store.begin_push().await?;
                Ok((tx, Turn(Some(turn))))
            }
        }
    }
}

impl Turn<'_> {
    /// Commits; what comes after may count on it.
    ///
    /// # Errors
    /// When the database fails, or lost the transaction through another push in it: then nothing is kept.
    pub async fn commit(self, tx: DatabaseTransaction) -> Result<(), StoreError> {
        match self.0 {
            Some(turn) => turn.commit(tx).await,
            None => Ok(tx.commit().await?),
        }
    }

    /// Ends the turn of a push that keeps nothing.
    pub async fn abandon(self) {
        if let Some(turn) = self.0 {
            turn.abandon().await;
        }
    }
}
