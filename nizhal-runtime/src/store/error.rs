//! What can go wrong with a database, sorted by what the caller can do about it.

use super::fault::{Fault, fault};
use nizhal_core::Displaced;
use sea_orm::{DbErr, RuntimeErr};
use std::sync::Arc;

/// The advice where prepared statements get mixed up.
pub(super) const MIXES: &str = "the pooler that DATABASE_URL leads to mixes up the prepared statements of its clients: set \
    max_prepared_statements = 200 there (pgbouncer from 1.21 on), or let DATABASE_URL lead to the database itself";

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or is too busy: try again later (503).
    #[error("the database is unavailable")]
    Unavailable(#[source] DbErr),
    /// A connection remembers a plan from before a column changed its type: another connection may do it at once (503).
    #[error("a connection's prepared statement is older than the table")]
    StalePlan(#[source] DbErr),
    /// A statement failed and its transaction went on: Postgres takes nothing more of it.
    #[error("the transaction went on after a statement failed")]
    Aborted,
    /// It refused a statement, or a commit: what the data or a rule of the user's forbids, or a fault of the server (500).
    #[error("the database refused a statement")]
    Statement(#[source] DbErr),
    /// It holds something that does not fit the declared schema: an operator must act.
    #[error("{0}")]
    Schema(String),
    /// It was undone for the sake of another transaction: the same may succeed at once (503).
    #[error("another transaction was quicker")]
    Overtaken,
    /// A commit that it shared with others was refused, maybe for the sake of one of them: it is to run alone (503).
    #[error("a commit that was shared was refused")]
    SharedCommit,
    /// App code left its transaction or its connection other than it may; the text says how.
    #[error("{0}")]
    Unsealed(&'static str),
    /// The triggers that note what is written are not as they were known to be: they are to be looked into (503).
    #[error("the triggers of synced tables changed meanwhile")]
    UnknownTriggers,
    /// A SQLite file is not where it was opened any more: an operator must act (503 until then).
    #[error(
        "{0}: put it back under its name; or stop the server, which writes what it holds into the file that it opened, and start it \
         again on the file that you want"
    )]
    Displaced(#[from] Displaced),
    /// Others hold the database for longer than one waits for it (503).
    #[error("the database is busy")]
    Busy,
    /// The actor has as many clients as it may (429).
    #[error(
        "the actor has {limit} clients, as many as it may (NIZHAL_MAX_CLIENTS_PER_ACTOR): go on under a clientID that it has; clients that are \
         silent for a long time are forgotten"
    )]
    TooManyClients {
        /// The most that one may have.
        limit: u32,
    },
    /// The actor has as many answers as it may, and none of them may be forgotten yet (429).
    #[error(
        "the actor has {limit} stored answers, as many as it may (NIZHAL_MAX_ANSWERS_PER_ACTOR): number the mutations of a client and go on \
         behind those that were answered, and their answers are forgotten"
    )]
    TooManyAnswers {
        /// The most that one may have.
        limit: u64,
    },
    /// Another server provisioned it for other rules than this server's (503).
    #[error(
        "the database was migrated to other sync rules than this server's: start the server of the newer version here too"
    )]
    OtherRules,
    /// A pooler before it is not set up as it must be: an operator must act (503 until then).
    #[error("{0}")]
    Pooler(&'static str, #[source] DbErr),
}

impl StoreError {
    /// The control row is gone, without which nothing is known of the whole database.
    pub(super) fn no_control() -> Self {
        Self::Schema(
            "the database has no control row (table `_nizhal_control` is empty), and so no epoch: wait for a restore to end, or run `migrate`, \
             which begins a new epoch"
                .to_owned(),
        )
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match fault(&error) {
            Fault::Pooler => Self::Pooler(MIXES, error),
            Fault::Retry | Fault::Unavailable => Self::Unavailable(error),
            Fault::StalePlan => Self::StalePlan(error),
            Fault::Aborted => Self::Aborted,
            Fault::Final | Fault::Bug => Self::Statement(error),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))).into()
    }
}
