//! The error a mutator returns: a refusal that is final, or a fault that is not.

use sea_orm::DbErr;

/// The result of a mutator and of what it calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a mutation did not apply.
///
/// Only [`Error::Rejected`], [`Error::InvalidArgs`], [`Error::Forbidden`] and [`Error::TransactionControl`] are final: they use up the
/// sequence number and a replay hears them again. Everything else rolls back and may be retried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The mutator said no; made by `reject!`.
    #[error("{0}")]
    Rejected(String),
    /// The arguments do not fit the mutator's type.
    #[error("{0}")]
    InvalidArgs(String),
    /// It wanted something of a bucket that is not the actor's.
    #[error("the bucket is not the actor's")]
    Forbidden,
    /// The database failed.
    #[error("the database failed")]
    Db(#[from] DbErr),
    /// A device ran what only a server can; it leaves the mutation to the server.
    #[error("`{0}` works on a server only: mark the mutator #[mutator(server)], or ask `ctx.server()` first")]
    ServerOnly(&'static str),
    /// It ran a statement that begins or ends a transaction, or that would outlive it on the connection. It would again, so this
    /// is final too.
    #[error("{0}")]
    TransactionControl(String),
    /// Anything else that is not the caller's fault.
    #[error("internal fault")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A deterministic refusal with a reason for people.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected(reason.into())
    }

    /// A fault that is neither the caller's nor the database's.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }
}

/// A deterministic refusal: `Err(reject!("customer {id} not found"))`.
///
/// The reason reaches the device and is stored with the mutation, so it must not name another tenant's data.
#[macro_export]
macro_rules! reject {
    ($($arg:tt)+) => { $crate::Error::rejected(::std::format!($($arg)+)) };
}
