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
    /// The store belongs to somebody else.
    #[error("this store belongs to another user: open another file, or let it be wiped with OtherUser::Wipe")]
    OtherUser,
    /// Another process works on a file that is to be made anew.
    #[error("the local database is broken, and another process still has it open: close it there, then open it again")]
    InUse,
    /// The store's own content makes no sense.
    #[error("the local database holds what this client never wrote: {0}")]
    Broken(String),
}

/// SQLite's codes for a file that is no good any more: corruption, no database at all. Not those of a disk that is full, cannot be read
/// now, or may not be: such a file is left alone.
const LOST: [i64; 2] = [11, 26];

/// Whether the file itself is broken or gone.
pub(super) fn is_loss(error: &DbErr) -> bool {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error))
        | DbErr::Conn(RuntimeErr::SqlxError(error)) => tells_of_loss(error),
        _ => false,
    }
}

fn tells_of_loss(error: &sqlx::Error) -> bool {
    // Extended codes carry the primary one in their lowest byte.
    let primary = sqlite_code(error).and_then(|code| code.parse::<i64>().ok()).map(|code| code & 0xff);
    primary.is_some_and(|code| LOST.contains(&code))
}

impl StoreError {
    /// Whether the file itself is broken or gone.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Sqlx(error) => tells_of_loss(error),
            Self::Db(error) => is_loss(error),
            Self::Broken(_) => true,
            _ => false,
        }
    }

    /// The failure as the schedule takes it.
    pub fn failure(&self) -> Failure {
        let (kind, code) = match self {
            Self::Malformed(_) => (FailureKind::Malformed, "malformed"),
            _ if self.is_lost() => (FailureKind::StoreLost, "store_lost"),
            _ => (FailureKind::Store, "store"),
        };
        let cause = std::error::Error::source(self).map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure::new(kind, code, format!("{self}{cause}"))
    }
}

fn sqlite_code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned())
}
