//! The built-in verifier: JWT with HS256, nothing else, no leeway, the caller's clock.

use super::{AuthError, Authenticator, BoxFuture, Expected, claims::principal, header::understood};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use nizhal_core::{Actor, DateTimeUtc, Principal};
use serde_json::{Map, Value};
use std::{fmt, marker::PhantomData, time::Duration};

/// Verifies HS256 tokens whose claims are the app's type `A`.
///
/// `userId`, `ownerId` (texts that are not empty) and `exp` are required; `nbf` is honoured where given.
pub struct JwtHs256<A> {
    key: DecodingKey,
    rules: Validation,
    expected: Expected,
    claims: PhantomData<fn() -> A>,
}

impl<A: Actor> JwtHs256<A> {
    /// A verifier with this secret.
    pub fn new(secret: &[u8]) -> Self {
        let mut rules = Validation::new(Algorithm::HS256);
        // Times are checked below against the caller's clock; the library reads the wall clock.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        Self { key: DecodingKey::from_secret(secret), rules, expected: Expected::default(), claims: PhantomData }
    }

    /// The same, for tokens to and from these.
    #[must_use]
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.expected = expected;
        self
    }

    /// Verifies one token.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] or [`AuthError::Expired`].
    pub fn verify(&self, token: &str, now: DateTimeUtc) -> Result<Principal, AuthError> {
        understood(token)?;
        let token = jsonwebtoken::decode::<Map<String, Value>>(token, &self.key, &self.rules);
        let claims = token.map_err(|_| AuthError::Invalid)?.claims;
        principal::<A>(claims, &self.expected, now)
    }
}

impl<A> fmt::Debug for JwtHs256<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwtHs256")
    }
}

impl<A: Actor> Authenticator for JwtHs256<A> {
    fn authenticate<'a>(&'a self, token: &'a str, now: DateTimeUtc) -> BoxFuture<'a, Result<Principal, AuthError>> {
        Box::pin(std::future::ready(self.verify(token, now)))
    }
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The claims are no JSON object.
    #[error("claims must serialise to a JSON object")]
    NotAnObject,
    /// It would expire beyond any calendar.
    #[error("the token's life is too long")]
    TooLong,
    /// The claims do not serialise, or the signature failed.
    #[error("the token cannot be signed")]
    Sign(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Signs a token with these claims that expires `ttl` after `now`.
///
/// # Errors
/// [`IssueError`] when the claims are no JSON object.
pub fn issue_token(
    secret: &[u8],
    claims: &impl serde::Serialize,
    ttl: Duration,
    now: DateTimeUtc,
) -> Result<String, IssueError> {
    let mut claims = match serde_json::to_value(claims) {
        Ok(Value::Object(claims)) => claims,
        Ok(_) => return Err(IssueError::NotAnObject),
        Err(error) => return Err(IssueError::Sign(error.into())),
    };
    let ttl = chrono::Duration::from_std(ttl).map_err(|_| IssueError::TooLong)?;
    let expires_at = now.checked_add_signed(ttl).ok_or(IssueError::TooLong)?;
    claims.insert("iat".to_owned(), now.timestamp().into());
    claims.insert("exp".to_owned(), expires_at.timestamp().into());
    let header = Header::new(Algorithm::HS256);
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret))
        .map_err(|error| IssueError::Sign(error.into()))
}

#[cfg(test)]
mod tests;
