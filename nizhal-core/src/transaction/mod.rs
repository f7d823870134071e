//! The transaction that app code works on: any statement runs, but for those that would end it or outlive it.

mod statement;

use crate::Error;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult,
    Statement, StreamTrait, TransactionError, TransactionOptions, TransactionSession, TransactionStream,
    TransactionTrait, prelude::async_trait::async_trait,
};
use statement::Misuse;
use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// A transaction of Nizhal's in the hands of app code: what [`Ctx::db`](crate::Ctx::db) and
/// [`JobCtx::db`](crate::JobCtx::db) give.
///
/// Any sea-orm query runs on it, and so does a part that is rolled back by itself, by
/// [`begin`](sea_orm::TransactionTrait::begin). Statements that begin or end a transaction, and those that would change the
/// connection for whoever has it next (`SET`, `RESET`, `DISCARD`, `set_config(…, false)`), or touch what Nizhal knows of a transaction's
/// writes, are refused before they are sent, and the mutation with them. A function that takes it takes `&impl ConnectionTrait`.
pub struct GuardedTransaction {
    tx: DatabaseTransaction,
    misuse: Arc<OnceLock<String>>,
    /// Whether each statement has a savepoint, so that one may fail and others go on.
    savepoints: bool,
    state: Mutex<State>,
}

/// What became of the statements on one level of a transaction.
#[derive(Debug, Default)]
struct State {
    /// Whether one failed.
    has_failed: bool,
    /// What Postgres said to one that came after.
    aborted: Option<DbErr>,
}

impl fmt::Debug for GuardedTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedTransaction").field("misuse", &self.misuse).finish_non_exhaustive()
    }
}

impl GuardedTransaction {
    /// Guards a transaction; `savepoints`: each statement has one, so that others may go on after one that failed.
    pub(crate) fn new(tx: DatabaseTransaction, savepoints: bool) -> Self {
        Self { tx, misuse: Arc::default(), savepoints, state: Mutex::default() }
    }

    /// The transaction, and the error that app code comes to whatever it returned: it ran a statement that was not its to run, or
    /// went on after one that failed where Postgres takes nothing more, and so decided by what it could not read.
    pub(crate) fn into_parts(self) -> (DatabaseTransaction, Option<Error>) {
        let misuse = self.misuse.get().cloned();
        let State { aborted, .. } = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (self.tx, misuse.map(Error::TransactionControl).or(aborted.map(Error::Db)))
    }

    /// The transaction for statements of ours.
    pub(crate) fn inner(&self) -> &DatabaseTransaction {
        &self.tx
    }

    /// Judges a statement before it is sent; none is sent after one that was refused.
    fn check(&self, sql: &str) -> Result<(), DbErr> {
        if self.misuse.get().is_none()
            && let Some((verb, misuse)) = statement::misuse(sql)
        {
            let text = match misuse {
                Misuse::Transaction => format!(
                    "{verb} is not the app's to run: the transaction begins and ends by itself; use `ctx.db().begin()` for a \
                     part that may be rolled back"
                ),
                Misuse::WriteSet => {
                    format!("{verb} is Nizhal's own: what a mutation wrote is judged, and its answer written, by it")
                }
                Misuse::Session => format!(
                    "{verb} would outlive the transaction on its connection: use SET LOCAL, set_config(…, true), \
                     pg_advisory_xact_lock or a cursor without hold"
                ),
            };
            let _ = self.misuse.set(text);
        }
        match self.misuse.get() {
            Some(text) => Err(DbErr::Custom(text.clone())),
            None => Ok(()),
        }
    }

    /// Takes note of how a statement ended.
    fn ended<T>(&self, sql: &str, result: Result<T, DbErr>) -> Result<T, DbErr> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let aborts = !self.savepoints && ConnectionTrait::get_database_backend(&self.tx) == DbBackend::Postgres;
        match &result {
            // Back to a savepoint of its own.
            Ok(_) if state.has_failed && statement::is_about_savepoints(sql) => *state = State::default(),
            Err(error) if state.has_failed && aborts && state.aborted.is_none() => state.aborted = Some(error.clone()),
            Err(_) => state.has_failed = true,
            Ok(_) => {}
        }
        result
    }

    fn nested(&self, tx: DatabaseTransaction) -> Self {
        Self { tx, misuse: self.misuse.clone(), savepoints: self.savepoints, state: Mutex::default() }
    }
}

/// Sends a statement; in a savepoint of its own where each has one.
macro_rules! send {
    ($guarded:expr, $sql:expr, |$tx:ident| $sent:expr) => {{
        $guarded.check($sql)?;
        if !$guarded.savepoints || statement::is_about_savepoints($sql) {
            let $tx = &$guarded.tx;
            return $guarded.ended($sql, $sent.await);
        }
        let part = $guarded.tx.begin().await?;
        let $tx = &part;
        match $sent.await {
            Ok(done) => part.commit().await.map(|()| done),
            Err(error) => part.rollback().await.and(Err(error)),
        }
    }};
}

#[async_trait]
impl ConnectionTrait for GuardedTransaction {
    fn get_database_backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(&self.tx)
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let sql = statement.sql.clone();
        send!(self, &sql, |tx| tx.execute_raw(statement))
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        send!(self, sql, |tx| tx.execute_unprepared(sql))
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let sql = statement.sql.clone();
        send!(self, &sql, |tx| tx.query_one_raw(statement))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let sql = statement.sql.clone();
        send!(self, &sql, |tx| tx.query_all_raw(statement))
    }
}

impl StreamTrait for GuardedTransaction {
    type Stream<'a> = TransactionStream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(self)
    }

    fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        match self.check(&statement.sql) {
            Ok(()) => self.tx.stream_raw(statement),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

#[async_trait]
impl TransactionTrait for GuardedTransaction {
    type Transaction = Self;

    async fn begin(&self) -> Result<Self, DbErr> {
        Ok(self.nested(self.tx.begin().await?))
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<Self, DbErr> {
        Ok(self.nested(self.tx.begin_with_config(isolation_level, access_mode).await?))
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        Ok(self.nested(self.tx.begin_with_options(options).await?))
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        run(self.begin().await?, callback).await
    }

    async fn transaction_with_config<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        run(self.begin_with_config(isolation_level, access_mode).await?, callback).await
    }
}

async fn run<F, T, E>(part: GuardedTransaction, callback: F) -> Result<T, TransactionError<E>>
where
    F: for<'c> FnOnce(&'c GuardedTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
    T: Send,
    E: fmt::Display + fmt::Debug + Send,
{
    match callback(&part).await {
        Ok(done) => part.commit().await.map(|()| done).map_err(TransactionError::Connection),
        Err(error) => {
            part.rollback().await?;
            Err(TransactionError::Transaction(error))
        }
    }
}

#[async_trait]
impl TransactionSession for GuardedTransaction {
    async fn commit(self) -> Result<(), DbErr> {
        self.tx.commit().await
    }

    async fn rollback(self) -> Result<(), DbErr> {
        self.tx.rollback().await
    }
}
