//! Tokens signed by an identity provider: RS256, ES256 and EdDSA by the keys that it publishes.
//!
//! The algorithm is the key's, never the token's choice, so a public key cannot be passed off as an HS256 secret. Keys are
//! cached. A token that names an unknown key makes the set be read again, at most [`BURST`] times at once and then every
//! [`REREAD_INTERVAL`], whatever names garbage carries; a reading that fails leaves the keys as they are.

mod fetch;
mod key;

use super::{AuthError, Authenticator, BoxFuture, Expected, claims::principal, header::understood};
use crate::settings::JwksSource;
use fetch::{FetchError, fetch};
use governor::{DefaultDirectRateLimiter, Quota};
use jsonwebtoken::{Algorithm, Header};
use key::{KeyError, Keys, Verification};
use nizhal_core::{Actor, DateTimeUtc, Principal};
use serde_json::{Map, Value};
use std::{
    error::Error,
    fmt,
    marker::PhantomData,
    num::NonZeroU32,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::watch;
use ureq::tls::RootCerts;

/// How often tokens with unknown keys may have the set read in a row …
const BURST: NonZeroU32 = NonZeroU32::new(3).unwrap();
/// … and how long it takes until they may again.
const REREAD_INTERVAL: Duration = Duration::from_secs(30);
/// How often the set is read in any case, so that a key that was withdrawn is forgotten.
pub(crate) const REFRESH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// They are not there, or are none.
    #[error("the keys at {place} cannot be used (NIZHAL_JWKS)")]
    Keys {
        /// Where they should be.
        place: String,
        /// What is wrong with them.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The authority to trust is not there, or is none.
    #[error("the authority in {place} cannot be used: name a PEM file with its certificates (NIZHAL_JWKS_CA)")]
    Authority {
        /// The file.
        place: String,
        /// What is wrong with it.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
}

/// The keys of an issuer, kept fresh.
pub struct Jwks {
    source: JwksSource,
    /// Whom to trust where they are read over TLS.
    roots: RootCerts,
    keys: RwLock<Arc<Keys>>,
    /// Held by the one who reads, so that all who wait share what it finds.
    reading: tokio::sync::Mutex<()>,
    limit: DefaultDirectRateLimiter,
}

impl Jwks {
    /// Reads the keys for the first time. An issuer that is away is asked again when the first token comes. Over TLS it is trusted
    /// when the web's usual authorities signed its certificate, or the one in the PEM file `authority`, which then is the only one.
    ///
    /// # Errors
    /// When either is a file that cannot be used: nobody but its owner can mend that.
    pub async fn open(source: JwksSource, authority: Option<&Path>) -> Result<Self, JwksError> {
        let roots = match authority {
            None => RootCerts::WebPki,
            Some(path) => fetch::roots(path).await.map_err(|cause| {
                let place = path.display().to_string();
                JwksError::Authority { place, cause: cause.into() }
            })?,
        };
        let quota = Quota::with_period(REREAD_INTERVAL).unwrap_or_else(|| Quota::per_minute(BURST)).allow_burst(BURST);
        let jwks = Self {
            source,
            roots,
            keys: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
            limit: DefaultDirectRateLimiter::direct(quota),
        };
        match jwks.read().await {
            Err(error) if matches!(jwks.source, JwksSource::File(_)) => Err(error),
            _ => Ok(jwks),
        }
    }

    /// Reads the keys again and again, until told to stop.
    pub(crate) async fn keep_fresh(self: Arc<Self>, every: Duration, mut stopping: watch::Receiver<bool>) {
        let reading = async {
            loop {
                tokio::time::sleep(every).await;
                let _one = self.reading.lock().await;
                // Logged where it fails; the keys stay.
                let _ = self.read().await;
            }
        };
        tokio::select! {
            () = reading => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    /// The claims of a token that one of the keys signed.
    async fn verify(&self, token: &str) -> Result<Map<String, Value>, AuthError> {
        let header = understood(token)?;
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) {
            return Err(AuthError::Invalid);
        }
        let keys = self.keys();
        match keys.verify(token, &header) {
            Verification::Good(claims) => Ok(claims),
            Verification::Bad => Err(AuthError::Invalid),
            Verification::Unknown => self.verify_anew(token, &header, &keys).await,
        }
    }

    /// The same by newer keys than these, if there are any.
    async fn verify_anew(&self, token: &str, header: &Header, than: &Keys) -> Result<Map<String, Value>, AuthError> {
        let _one = self.reading.lock().await;
        // Logged where it fails.
        let is_newer =
            self.keys().generation != than.generation || (self.limit.check().is_ok() && self.read().await.is_ok());
        let keys = self.keys();
        match keys.verify(token, header) {
            Verification::Good(claims) => Ok(claims),
            // The issuer may have a new key that could not be read, because it is away or because it was asked often.
            Verification::Unknown if !is_newer => {
                Err(AuthError::Unavailable("the issuer's keys cannot be read".into()))
            }
            Verification::Bad | Verification::Unknown => Err(AuthError::Invalid),
        }
    }

    /// Reads the set and takes it in; when it cannot, the keys stay as they are.
    async fn read(&self) -> Result<(), JwksError> {
        let parse = |document: Vec<u8>| Keys::parse(&document, self.keys().generation + 1).map_err(ReadError::from);
        let read = fetch(&self.source, &self.roots).await.map_err(ReadError::from).and_then(parse);
        match read {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                Ok(())
            }
            Err(cause) => {
                let error = JwksError::Keys { place: self.source.to_string(), cause: cause.into() };
                tracing::warn!(error = &error as &dyn Error, "the issuer's keys could not be read; those known stay");
                Err(error)
            }
        }
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Verifies tokens by an issuer's public keys; the claims are the app's type `A`.
pub struct JwtJwks<A> {
    keys: Arc<Jwks>,
    expected: Expected,
    claims: PhantomData<fn() -> A>,
}

impl<A: Actor> JwtJwks<A> {
    /// A verifier with these keys.
    pub fn new(keys: Arc<Jwks>, expected: Expected) -> Self {
        Self { keys, expected, claims: PhantomData }
    }
}

impl<A> fmt::Debug for JwtJwks<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JwtJwks").field(&self.keys).finish()
    }
}

impl<A: Actor> Authenticator for JwtJwks<A> {
    fn authenticate<'a>(&'a self, token: &'a str, now: DateTimeUtc) -> BoxFuture<'a, Result<Principal, AuthError>> {
        Box::pin(async move { principal::<A>(self.keys.verify(token).await?, &self.expected, now) })
    }
}

#[cfg(test)]
mod tests;
