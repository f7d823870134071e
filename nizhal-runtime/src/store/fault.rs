//! What a failed statement means: whether the same transaction would fail again. One table a database, by SQLSTATE and by result code.
//!
//! Decision: book/src/decisions/pushing.md#a-failure-is-final-if-it-would-happen-again

use sea_orm::{DbErr, RuntimeErr};
use sqlx::{error::DatabaseError, sqlite::SqliteError};

/// What a failed statement, or a failed COMMIT, means for the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The same transaction may succeed at once: deadlock, serialization failure, a busy file.
    Retry,
    /// The database is away or out of room: try later.
    Unavailable,
    /// The connection remembers a statement's plan from before a column changed its type: another connection has none.
    StalePlan,
    /// A statement before it failed and the transaction went on, which Postgres does not allow.
    Aborted,
    /// A pooler gives one session's statements to another: no data of anybody's is at fault, but an operator must act.
    Pooler,
    /// The data or a rule of the user's forbids it; it would again.
    Final,
    /// A statement that can never work, or a database that is not what it should be: somebody must act, and then it may.
    Bug,
}

use Fault::{Aborted, Bug, Final, Pooler, Retry, StalePlan, Unavailable};

/// A state or a class of states that is in no table: a user's trigger raised a code of its own, and would again.
const UNKNOWN_STATE: Fault = Final;

/// States that mean something else than their class does; see appendix A of the Postgres manual.
const STATES: &[(&str, Fault)] = &[
    // read_only_sql_transaction: a standby took over.
    ("25006", Unavailable),
    // in_failed_sql_transaction
    ("25P02", Aborted),
    // idle_in_transaction_session_timeout, transaction_timeout: our own time-outs.
    ("25P03", Unavailable),
    ("25P04", Unavailable),
    // transaction_integrity_constraint_violation
    ("40002", Final),
    // statement_completion_unknown
    ("40003", Unavailable),
    // duplicate_prepared_statement: we name them well, so somebody between us and the database does not.
    ("42P05", Pooler),
    // object_in_use, lock_not_available
    ("55006", Unavailable),
    ("55P03", Unavailable),
];

/// Classes, the first two characters of a state.
const CLASSES: &[(&str, Fault)] = &[
    // sql_statement_not_yet_complete, connection_exception
    ("03", Bug),
    ("08", Unavailable),
    // feature_not_supported, invalid_transaction_initiation, locator_exception, invalid_grantor, invalid_role_specification
    ("0A", Bug),
    ("0B", Bug),
    ("0F", Bug),
    ("0L", Bug),
    ("0P", Bug),
    // case_not_found, cardinality_violation, data_exception, integrity_constraint_violation
    ("20", Final),
    ("21", Final),
    ("22", Final),
    ("23", Final),
    // invalid_cursor_state, invalid_transaction_state
    ("24", Bug),
    ("25", Bug),
    // invalid_sql_statement_name: as 42P05.
    ("26", Pooler),
    // triggered_data_change_violation
    ("27", Final),
    // invalid_authorization_specification: a password that was changed.
    ("28", Unavailable),
    // dependent_privilege_descriptors_still_exist, invalid_transaction_termination
    ("2B", Bug),
    ("2D", Bug),
    // invalid_cursor_name, external_routine_invocation_exception, savepoint_exception
    ("34", Bug),
    ("39", Bug),
    ("3B", Bug),
    // invalid_catalog_name: the database was dropped. invalid_schema_name
    ("3D", Unavailable),
    ("3F", Bug),
    // transaction_rollback: serialization_failure, deadlock_detected
    ("40", Retry),
    // syntax_error_or_access_rule_violation
    ("42", Bug),
    // with_check_option_violation
    ("44", Final),
    // insufficient_resources
    ("53", Unavailable),
    // program_limit_exceeded: a text too long for its index
    ("54", Final),
    // object_not_in_prerequisite_state
    ("55", Bug),
    // operator_intervention, query_canceled among them; system_error
    ("57", Unavailable),
    ("58", Unavailable),
    // snapshot_too_old
    ("72", Retry),
    // config_file_error, fdw_error
    ("F0", Unavailable),
    ("HV", Unavailable),
    // plpgsql_error: a trigger's own refusal
    ("P0", Final),
    // internal_error, data_corrupted
    ("XX", Bug),
];

/// What Postgres says, under `feature_not_supported`, of a plan whose columns changed their types.
const STALE_PLAN: &str = "cached plan must not change result type";
/// What it says, under `insufficient_privilege`, of a row that a policy forbids.
const ROW_SECURITY: &str = "row-level security policy";

/// Primary result codes of SQLite; those that are in no table are bugs.
const CODES: &[(i32, Fault)] = &[
    // PERM
    (3, Unavailable),
    // ABORT: the transaction was rolled back under the statement.
    (4, Retry),
    // BUSY, LOCKED: another process holds the file, and was waited for.
    (5, Unavailable),
    (6, Unavailable),
    // NOMEM, READONLY, INTERRUPT, IOERR
    (7, Unavailable),
    (8, Unavailable),
    (9, Unavailable),
    (10, Unavailable),
    // FULL, CANTOPEN
    (13, Unavailable),
    (14, Unavailable),
    // PROTOCOL, SCHEMA: the statement is to be prepared again.
    (15, Retry),
    (17, Retry),
    // TOOBIG, CONSTRAINT, MISMATCH
    (18, Final),
    (19, Final),
    (20, Final),
];

/// CONSTRAINT_COMMITHOOK: SQLite had rolled the transaction back, and out of it nothing is written (`sqlite/guard.rs`).
const COMMIT_HOOK: i32 = 531;

/// What SQLite says, under the code that stands for any error, of values and not of the statement.
const VALUE_MESSAGES: &[&str] =
    &["malformed JSON", "bad JSON path", "JSON path error", "integer overflow", "pattern too complex"];

/// Sorts a database error.
pub(crate) fn fault(error: &DbErr) -> Fault {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => sqlx_fault(cause),
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Unavailable,
        DbErr::RecordNotInserted | DbErr::RecordNotUpdated | DbErr::RecordNotFound(_) => Final,
        // A value that does not fit its type, and a refusal of the app's own: the same again.
        DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. } | DbErr::ConvertFromU64(_) | DbErr::Custom(_) => {
            Final
        }
        _ => Bug,
    }
}

fn sqlx_fault(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Database(refusal) => refusal_fault(refusal.as_ref()),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => Unavailable,
        sqlx::Error::RowNotFound
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::ColumnDecode { .. } => Final,
        _ => Bug,
    }
}

fn refusal_fault(refusal: &dyn DatabaseError) -> Fault {
    let code = refusal.code().unwrap_or_default();
    if is_sqlites(refusal) { sqlite_fault(&code, refusal.message()) } else { postgres_fault(&code, refusal.message()) }
}

/// Whether a statement was ended for the time that it took, or because an operator said so.
pub(crate) fn is_cancelled(error: &DbErr) -> bool {
    // query_canceled
    refusal(error).is_some_and(|refusal| refusal.code().as_deref() == Some("57014"))
}

/// Whether a statement called this function of ours, and it is not there.
pub(super) fn is_undefined_function(error: &DbErr, name: &str) -> bool {
    // undefined_function
    refusal(error).is_some_and(|refusal| refusal.code().as_deref() == Some("42883") && refusal.message().contains(name))
}

/// The database's answer to a statement that it refused.
fn refusal(error: &DbErr) -> Option<&dyn DatabaseError> {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error else {
        return None;
    };
    cause.as_database_error()
}

fn is_sqlites(refusal: &dyn DatabaseError) -> bool {
    #[cfg(any(test, feature = "failpoints"))]
    if refusal.try_downcast_ref::<super::failpoint::Injected>().is_some() {
        return true;
    }
    refusal.try_downcast_ref::<SqliteError>().is_some()
}

fn postgres_fault(state: &str, message: &str) -> Fault {
    match state {
        "0A000" if message.contains(STALE_PLAN) => return StalePlan,
        "42501" if message.contains(ROW_SECURITY) => return Final,
        _ => {}
    }
    let lookup =
        |table: &[(&str, Fault)], key: &str| table.iter().find(|(found, _)| *found == key).map(|(_, fault)| *fault);
    let class = state.get(..2).unwrap_or_default();
    lookup(STATES, state).or_else(|| lookup(CLASSES, class)).unwrap_or(UNKNOWN_STATE)
}

/// Extended result codes; the low byte is the primary one.
fn sqlite_fault(code: &str, message: &str) -> Fault {
    let Ok(code) = code.parse::<i32>() else { return Bug };
    let primary = code & 0xff;
    if code == COMMIT_HOOK {
        return Aborted;
    }
    if primary == 1 && VALUE_MESSAGES.iter().any(|value| message.contains(value)) {
        return Final;
    }
    CODES.iter().find(|(code, _)| *code == primary).map_or(Bug, |(_, fault)| *fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv17_transient_faults_are_never_final() {
        for state in ["40001", "40P01", "40000", "72000"] {
            assert_eq!(postgres_fault(state, ""), Retry, "{state}");
        }
        for state in ["57P01", "57014", "53300", "53100", "08006", "55P03", "25P03", "25006", "58030", "28P01", "3D000"]
        {
            assert_eq!(postgres_fault(state, ""), Unavailable, "{state}");
        }
        assert_eq!(postgres_fault("0A000", "cached plan must not change result type"), StalePlan);
        assert_eq!([("26000", Pooler), ("42P05", Pooler)].map(|(state, _)| postgres_fault(state, "")), [Pooler; 2]);
        for (code, wanted) in
            [("5", Unavailable), ("517", Unavailable), ("516", Retry), ("13", Unavailable), ("3338", Unavailable)]
        {
            assert_eq!(sqlite_fault(code, ""), wanted, "{code}");
        }
    }

    #[test]
    fn inv41_what_would_fail_again_is_final() {
        for state in
            ["23505", "23503", "23514", "22003", "22P02", "21000", "54000", "40002", "44000", "P0001", "P0004", "27000"]
        {
            assert_eq!(postgres_fault(state, ""), Final, "{state}");
        }
        // Codes of users' own, of a class that is nobody's and of one that is the standard's for them.
        for state in ["ZX001", "45000", "SHOP1", "99999", "38001"] {
            assert_eq!(postgres_fault(state, ""), Final, "{state}");
        }
        assert_eq!(postgres_fault("42501", r#"new row violates row-level security policy for table "t""#), Final);
        for code in ["19", "787", "1811", "2067", "18", "20"] {
            assert_eq!(sqlite_fault(code, ""), Final, "{code}");
        }
        assert_eq!(sqlite_fault("1", "malformed JSON"), Final);
        for error in [DbErr::Type("t".to_owned()), DbErr::RecordNotUpdated, DbErr::Custom("no".to_owned())] {
            assert_eq!(fault(&error), Final, "{error}");
        }
    }

    #[test]
    fn what_a_programmer_must_mend_is_no_refusal() {
        for state in ["42P01", "42703", "42804", "42501", "0A000", "XX000", "55000"] {
            assert_eq!(postgres_fault(state, ""), Bug, "{state}");
        }
        for (code, message) in
            [("1", "no such table: t"), ("1", "near \"selec\": syntax error"), ("11", ""), ("21", "")]
        {
            assert_eq!(sqlite_fault(code, message), Bug, "{code} {message}");
        }
        assert_eq!((postgres_fault("25P02", ""), sqlite_fault("531", "")), (Aborted, Aborted));
    }

    #[test]
    fn no_state_is_in_a_table_twice() {
        for table in [STATES, CLASSES] {
            let mut keys: Vec<&str> = table.iter().map(|(key, _)| *key).collect();
            let all = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), all);
        }
    }
}
