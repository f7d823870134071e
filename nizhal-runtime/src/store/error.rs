//! What can go wrong with a database, sorted by what the caller can do about it.

use super::postgres::MIXES;
use sea_orm::{DbErr, RuntimeErr};
use std::sync::Arc;

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or is too busy: try again later (503).
    #[error("the database is unavailable")]
    Unavailable(#[source] DbErr),
    /// It refused a statement of ours: a fault of the server (500).
    #[error("the database refused a statement")]
    Statement(#[source] DbErr),
    /// It holds something that does not fit the declared schema: an operator must act.
    #[error("{0}")]
    Schema(String),
    /// It was undone for the sake of another transaction: the same may succeed at once (503).
    #[error("another transaction was quicker")]
    Overtaken,
    /// Another server provisioned it for other rules than this server's (503).
    #[error(
        "the database was migrated to other sync rules than this server's: start the server of the newer version here too"
    )]
    OtherRules,
    /// A pooler before it is not set up as it must be: an operator must act (503 until then).
    #[error("{0}")]
    Pooler(&'static str, #[source] DbErr),
}

/// What a failed statement means for the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The same transaction may succeed at once: deadlock, serialization failure, a busy file.
    Retry,
    /// The database is away or out of room: try later.
    Unavailable,
    /// A pooler gives one session's statements to another: no data of anybody's is at fault, but an operator must act.
    Pooler,
    /// The data breaks a constraint; it would again.
    Constraint,
    /// A statement that can never work: a bug.
    Bug,
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match fault(&error) {
            Fault::Pooler => Self::Pooler(MIXES, error),
            Fault::Retry | Fault::Unavailable => Self::Unavailable(error),
            Fault::Constraint | Fault::Bug => Self::Statement(error),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))).into()
    }
}

/// Sorts a database error; by SQLSTATE on Postgres, by result code on SQLite.
pub(crate) fn fault(error: &DbErr) -> Fault {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => sqlx_fault(cause),
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Fault::Unavailable,
        DbErr::RecordNotInserted | DbErr::RecordNotUpdated | DbErr::RecordNotFound(_) => Fault::Constraint,
        _ => Fault::Bug,
    }
}

fn sqlx_fault(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Database(refusal) => {
            let code = refusal.code().unwrap_or_default();
            if refusal.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                sqlite_fault(&code)
            } else {
                postgres_fault(&code)
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => Fault::Unavailable,
        _ => Fault::Bug,
    }
}

/// Classes as in appendix A of the Postgres manual.
fn postgres_fault(state: &str) -> Fault {
    match state {
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => Fault::Retry,
        // lock_not_available, query_canceled, idle_in_transaction_session_timeout: our own time-outs.
        // read_only_sql_transaction: a standby took over.
        "55P03" | "57014" | "25P03" | "25006" => Fault::Unavailable,
        // invalid_sql_statement_name, duplicate_prepared_statement: we name them well, so somebody between us and the database does not.
        "26000" | "42P05" => Fault::Pooler,
        _ => match state.get(..2) {
            // connection, insufficient resources, operator intervention, system error
            Some("08" | "53" | "57" | "58") => Fault::Unavailable,
            // data exception, integrity constraint; P0001 is a trigger's own refusal
            Some("22" | "23") => Fault::Constraint,
            _ if state == "P0001" => Fault::Constraint,
            _ => Fault::Bug,
        },
    }
}

/// Extended result codes; the low byte is the primary one.
fn sqlite_fault(code: &str) -> Fault {
    match code.parse::<i32>().map(|code| code & 0xff) {
        // SQLITE_BUSY, SQLITE_LOCKED
        Ok(5 | 6) => Fault::Retry,
        // SQLITE_NOMEM, READONLY, IOERR, FULL, CANTOPEN
        Ok(7 | 8 | 10 | 13 | 14) => Fault::Unavailable,
        // SQLITE_TOOBIG, CONSTRAINT, MISMATCH
        Ok(18..=20) => Fault::Constraint,
        _ => Fault::Bug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv17_transient_faults_are_never_final() {
        for (state, wanted) in [
            ("40001", Fault::Retry),
            ("40P01", Fault::Retry),
            ("57P01", Fault::Unavailable),
            ("53300", Fault::Unavailable),
            ("08006", Fault::Unavailable),
            ("57014", Fault::Unavailable),
            ("26000", Fault::Pooler),
            ("42P05", Fault::Pooler),
            ("23505", Fault::Constraint),
            ("22003", Fault::Constraint),
            ("42P01", Fault::Bug),
        ] {
            assert_eq!(postgres_fault(state), wanted, "{state}");
        }
        for (code, wanted) in [
            ("5", Fault::Retry),
            ("517", Fault::Retry),
            ("13", Fault::Unavailable),
            ("2067", Fault::Constraint),
            ("1", Fault::Bug),
        ] {
            assert_eq!(sqlite_fault(code), wanted, "{code}");
        }
    }
}
