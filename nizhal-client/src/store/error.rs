//! What can go wrong with the local store.

use crate::session::{Failure, FailureKind};
use sea_orm::{DbErr, RuntimeErr};

/// The local store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite failed.
    #[error("the local database failed")]
    Db(#[from] DbErr),
    /// SQLite failed below the ORM.
    #[error("the local database failed")]
    Sqlx(#[from] sqlx::Error),
    /// A file beside the database could not be used.
    #[error("the local database's files cannot be used")]
    Io(#[from] std::io::Error),
    /// The server's answer is not the protocol's.
    #[error("the answer is not the protocol's: {0}")]
    Malformed(String),
    /// A row of the server's answer is not the protocol's.
    #[error("the answer is not the protocol's")]
    Row(#[from] nizhal_core::local::cell::MalformedRow),
    /// The server's answer names images that were not fetched with it.
    #[error("the answer names images that did not come with it")]
    ImagesMissing,
    /// The store belongs to somebody else.
    #[error("this store belongs to another user: open another file, or let it be wiped with OtherUser::Wipe")]
    OtherUser,
    /// Another process works on a file that is to be made anew.
    #[error("the local database is broken, and another process still has it open: close it there, then open it again")]
    InUse,
    /// SQLite rolled a transaction back by itself, as when the disk is full: nothing of it was written.
    #[error("the local database rolled the transaction back")]
    RolledBack,
    /// A mutator ended the transaction that it ran in: nothing of it was written.
    #[error(
        "the mutator `{name}` ended its transaction: COMMIT and ROLLBACK are the engine's, and so is what rolls all back \
         (`or rollback`, `raise(rollback, …)`, an error of a statement that the mutator passed over)"
    )]
    EndedByMutator {
        /// The mutator.
        name: &'static str,
        /// The mutation's place in the outbox.
        seq: i64,
    },
    /// Its file is not where it was opened any more.
    #[error("{0}: open the store anew")]
    Displaced(#[from] nizhal_core::Displaced),
    /// The store's own content makes no sense.
    #[error("the local database holds what this client never wrote: {0}")]
    Broken(String),
}

/// SQLite's codes for a file that is no good any more: corruption, no database at all. Not those of a disk that is full, cannot be read
/// now, or may not be: such a file is left alone.
const LOST: [i64; 2] = [11, 26];

/// The codes of trouble that passes, and that no mutator is to blame for: a lock, memory, an interrupt, the disk, its room.
const TRANSIENT: [i64; 6] = [5, 6, 7, 9, 10, 13];

/// Whether the file itself is broken or gone.
pub(super) fn is_loss(error: &DbErr) -> bool {
    primary_code(error).is_some_and(|code| LOST.contains(&code))
}

/// Whether the disk or the system is in trouble that passes.
pub(super) fn is_transient(error: &DbErr) -> bool {
    primary_code(error).is_some_and(|code| TRANSIENT.contains(&code))
}

/// Whether a value is there already that a unique index keeps single.
pub(super) fn is_duplicate(error: &DbErr) -> bool {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            error.as_database_error().is_some_and(|error| error.is_unique_violation())
        }
        _ => false,
    }
}

/// Whether SQLite was told to stop in the middle of it.
pub(super) fn is_interrupt(error: &DbErr) -> bool {
    primary_code(error) == Some(9)
}

fn primary_code(error: &DbErr) -> Option<i64> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error))
        | DbErr::Conn(RuntimeErr::SqlxError(error)) => sqlite_code(error),
        _ => None,
    }
}

impl StoreError {
    /// Whether the file itself is broken or gone.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Sqlx(error) => sqlite_code(error).is_some_and(|code| LOST.contains(&code)),
            Self::Db(error) => is_loss(error),
            Self::Broken(_) => true,
            _ => false,
        }
    }

    /// The failure as the schedule takes it.
    pub fn failure(&self) -> Failure {
        let (kind, code) = match self {
            Self::Malformed(_) | Self::Row(_) | Self::ImagesMissing => (FailureKind::Malformed, "malformed"),
            Self::Displaced(_) => (FailureKind::StoreLost, "store_vanished"),
            _ if self.is_lost() => (FailureKind::StoreLost, "store_lost"),
            _ => (FailureKind::Store, "store"),
        };
        let cause = std::error::Error::source(self).map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure::new(kind, code, format!("{self}{cause}"))
    }
}

/// The primary code, which extended ones carry in their lowest byte.
fn sqlite_code(error: &sqlx::Error) -> Option<i64> {
    let code = error.as_database_error().and_then(|error| error.code())?;
    code.parse::<i64>().ok().map(|code| code & 0xff)
}
