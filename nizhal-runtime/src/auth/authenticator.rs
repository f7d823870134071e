//! What verifies a token, and why it may name nobody.

pub use futures_util::future::BoxFuture;
use nizhal_core::{DateTimeUtc, Principal};

/// Why a token names nobody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No token came.
    #[error("a bearer token is required")]
    Missing,
    /// It is malformed, signed by somebody else, or lacks a claim.
    #[error("the token is not valid")]
    Invalid,
    /// It was valid once.
    #[error("the token has expired")]
    Expired,
    /// What tells its bearer from others is longer than may be kept.
    #[error("the token's user has a longer id than 1024 bytes")]
    TooLong,
    /// The verifier itself could not work, a key server that is away for example: try again later.
    #[error("the token cannot be checked now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Verifies tokens; the built-in ones are [`JwtHs256`](super::JwtHs256) and [`JwtJwks`](super::JwtJwks).
pub trait Authenticator: Send + Sync + 'static {
    /// Who the bearer of this token is at this moment.
    ///
    /// # Errors
    /// [`AuthError`] when it names nobody; [`AuthError::Unavailable`] when that cannot be told now.
    fn authenticate<'a>(&'a self, token: &'a str, now: DateTimeUtc) -> BoxFuture<'a, Result<Principal, AuthError>>;
}
