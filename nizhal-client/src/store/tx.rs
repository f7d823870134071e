//! One local transaction.

use super::{ChangedTables, SqliteStore, StoreError, error::is_interrupt, failpoint::Failpoint, guard::Standing};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, QueryResult, RuntimeErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait, Value,
};
use std::sync::Arc;

/// The store's writer, held until commit. Dropped without [`commit`](Self::commit) or [`rollback`](Self::rollback), nothing
/// happened, and its connection is closed.
pub(super) struct Tx<'a> {
    tx: DatabaseTransaction,
    pub(super) store: &'a SqliteStore,
    standing: Arc<Standing>,
}

impl SqliteStore {
    pub(super) async fn begin(&self) -> Result<Tx<'_>, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.guard.check_file()?;
        self.failpoints.fail()?;
        // The pool gives no connection that the driver believes to be inside of a transaction, and BEGIN fails inside of one.
        let tx = self.db.begin_with_options(options).await.inspect_err(|_| self.guard.suspect())?;
        Ok(Tx { tx, store: self, standing: self.guard.watch_transaction() })
    }
}

impl Tx<'_> {
    pub(super) async fn run(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64, StoreError> {
        self.pass().await?;
        Ok(self.tx.execute_raw(statement(sql, values)).await?.rows_affected())
    }

    pub(super) async fn one(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<QueryResult>, StoreError> {
        self.pass().await?;
        Ok(self.tx.query_one_raw(statement(sql, values)).await?)
    }

    pub(super) async fn all(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, StoreError> {
        self.pass().await?;
        Ok(self.tx.query_all_raw(statement(sql, values)).await?)
    }

    /// Whether SQLite rolled it back by itself, or somebody else ended it.
    pub(super) fn is_lost(&self) -> bool {
        self.standing.is_lost()
    }

    /// A savepoint for somebody else's statements.
    pub(super) async fn savepoint(&self) -> Result<DatabaseTransaction, StoreError> {
        self.pass().await?;
        Ok(self.tx.begin().await?)
    }

    /// Keeps what was done since the savepoint.
    pub(super) async fn release(&self, savepoint: DatabaseTransaction) -> Result<(), StoreError> {
        self.pass().await?;
        Ok(savepoint.commit().await?)
    }

    /// Takes back what was done since the savepoint.
    pub(super) async fn rollback_to(&self, savepoint: DatabaseTransaction) -> Result<(), StoreError> {
        self.pass().await?;
        Ok(savepoint.rollback().await?)
    }

    /// A part of it that can be taken back by itself.
    pub(super) async fn part(&self) -> Result<Tx<'_>, StoreError> {
        Ok(Tx { tx: self.savepoint().await?, store: self.store, standing: self.standing.clone() })
    }

    /// Keeps a part.
    pub(super) async fn keep(self) -> Result<(), StoreError> {
        self.pass().await?;
        Ok(self.tx.commit().await?)
    }

    /// Takes a part back.
    pub(super) async fn revoke(self) -> Result<(), StoreError> {
        self.pass().await?;
        Ok(self.tx.rollback().await?)
    }

    /// Commits; the tables whose rows changed.
    ///
    /// # Errors
    /// When SQLite does not say that it committed: nothing is on the disk then.
    pub(super) async fn commit(self) -> Result<ChangedTables, StoreError> {
        self.pass().await?;
        // Before the connection goes to the next: what that touches is its own to tell.
        let changed_tables = std::mem::take(&mut *self.store.guard.changed_tables());
        if !self.standing.allow_commit() {
            return Err(StoreError::RolledBack);
        }
        match self.tx.commit().await {
            // The driver may have released a savepoint that somebody left behind, and believe that it committed.
            Ok(()) if !self.standing.is_committed() => Err(StoreError::RolledBack),
            // An interrupt can come after the commit itself: SQLite rolls back whatever else fails in the middle of it.
            Err(error) if !(self.standing.is_committed() && is_interrupt(&error)) => Err(error.into()),
            _ => Ok(self.store.guard.check_file().map(|()| changed_tables)?),
        }
    }

    /// Takes all of it back and keeps the connection, which dropping it does not. When it fails, the connection is closed, which
    /// takes all back too.
    pub(super) async fn rollback(self) {
        let done = match self.pass().await {
            Ok(()) if self.standing.allow_rollback() => self.tx.rollback().await.map_err(StoreError::from),
            Ok(()) => Err(StoreError::RolledBack),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::debug!(%error, "a connection is closed, since its transaction could not be rolled back");
        }
    }

    /// Before a statement.
    ///
    /// # Errors
    /// When the transaction is over, or the statement is to fail.
    async fn pass(&self) -> Result<(), StoreError> {
        if self.is_lost() {
            return Err(StoreError::RolledBack);
        }
        let Some(Failpoint { fault, rolls_back }) = self.store.failpoints.pass()? else { return Ok(()) };
        if rolls_back {
            // Behind the driver's back, as SQLite does it.
            self.tx.execute_unprepared(fault.rolls_back()).await?;
        }
        Err(DbErr::Exec(RuntimeErr::SqlxError(Arc::new(sqlx::Error::from(fault)))).into())
    }
}

fn statement(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}
