//! One local transaction.

use super::{SqliteStore, StoreError, Touched};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, QueryResult, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait, Value,
};
use std::sync::PoisonError;

/// The store's writer, held until commit; dropped without one, nothing happened.
pub(super) struct Tx<'a> {
    pub(super) tx: DatabaseTransaction,
    pub(super) store: &'a SqliteStore,
}

impl SqliteStore {
    pub(super) async fn begin(&self) -> Result<Tx<'_>, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.fuse.burn()?;
        let tx = self.db.begin_with_options(options).await?;
        // What a transaction that came to nothing touched.
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(Tx { tx, store: self })
    }
}

impl Tx<'_> {
    pub(super) async fn run(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64, StoreError> {
        self.store.fuse.burn()?;
        Ok(self.tx.execute_raw(statement(sql, values)).await?.rows_affected())
    }

    pub(super) async fn one(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<QueryResult>, StoreError> {
        self.store.fuse.burn()?;
        Ok(self.tx.query_one_raw(statement(sql, values)).await?)
    }

    pub(super) async fn all(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, StoreError> {
        self.store.fuse.burn()?;
        Ok(self.tx.query_all_raw(statement(sql, values)).await?)
    }

    /// A part of it that can be taken back by itself.
    pub(super) async fn part(&self) -> Result<Tx<'_>, StoreError> {
        self.store.fuse.burn()?;
        Ok(Tx { tx: self.tx.begin().await?, store: self.store })
    }

    /// Keeps a part.
    pub(super) async fn keep(self) -> Result<(), StoreError> {
        self.store.fuse.burn()?;
        Ok(self.tx.commit().await?)
    }

    /// Takes a part back.
    pub(super) async fn revoke(self) -> Result<(), StoreError> {
        self.store.fuse.burn()?;
        Ok(self.tx.rollback().await?)
    }

    /// Commits; the tables whose rows changed.
    pub(super) async fn commit(self) -> Result<Touched, StoreError> {
        self.store.fuse.burn()?;
        // Before the connection goes to the next: what that touches is its own to tell.
        let touched = std::mem::take(&mut *self.store.touched.lock().unwrap_or_else(PoisonError::into_inner));
        self.tx.commit().await?;
        Ok(touched)
    }
}

fn statement(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}
