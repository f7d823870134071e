//! Tokens for development: signed here, because there is no identity provider yet.

use super::{Nizhal, StartError};
use crate::{
    auth::issue_token,
    settings::{Mode, Secret, Settings},
};
use nizhal_core::DateTimeUtc;
use serde_json::Value;
use std::time::Duration;

/// How long the tokens that a start prints are good.
pub(super) const DEV_TOKEN_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(super) fn sign(secret: &Secret, claims: &Value, ttl: Duration, now: DateTimeUtc) -> Result<String, StartError> {
    Ok(issue_token(secret.bytes(), claims, ttl, now)?)
}

impl Nizhal {
    /// The `token` verb: a token with these claims, as the app's claims type reads them.
    pub(super) fn token(&self, settings: &Settings, words: &[String], ttl: Duration) -> Result<String, StartError> {
        if settings.mode == Mode::Production {
            return Err(StartError::TokenInProduction);
        }
        if settings.jwks()?.is_some() {
            return Err(StartError::TokenOfIssuer);
        }
        let claims = self.claims.ok_or(StartError::NoRules)?.read(words).map_err(StartError::Claims)?;
        let secret = settings.auth_secret.as_ref().ok_or(StartError::TokenWithoutSecret)?;
        sign(secret, &claims, ttl, self.environment.now())
    }
}
