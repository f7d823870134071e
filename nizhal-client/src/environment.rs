//! What a device takes from outside, so that tests and simulators can turn it: time, ids, the network's presence, credentials.

use nizhal_core::{__private::BoxFuture, DateTimeUtc, Uuid};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Time.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, which may jump; mutations are stamped with it.
    fn now(&self) -> DateTimeUtc;
    /// Milliseconds that never go back; waits are measured in them.
    fn steady_ms(&self) -> i64;
    /// Waits until then, in [`steady_ms`](Self::steady_ms).
    fn sleep_until(&self, at_ms: i64) -> BoxFuture<'static, ()>;
}

/// The system's time.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    begun: Instant,
    begun_ms: i64,
}

impl Default for SystemClock {
    fn default() -> Self {
        // Near the Unix epoch's count, so that moments can be shown; but steady from here on.
        Self { begun: Instant::now(), begun_ms: chrono::Utc::now().timestamp_millis() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> DateTimeUtc {
        let now = chrono::Utc::now();
        // Microseconds are what every database keeps.
        DateTimeUtc::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
    fn steady_ms(&self) -> i64 {
        self.begun_ms + i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX / 2)
    }
    fn sleep_until(&self, at_ms: i64) -> BoxFuture<'static, ()> {
        let wait = u64::try_from(at_ms - self.steady_ms()).unwrap_or(0);
        Box::pin(tokio::time::sleep(Duration::from_millis(wait)))
    }
}

/// Fresh ids.
pub trait Ids: Send + Sync + 'static {
    /// One that nobody else has.
    fn new_id(&self) -> Uuid;
}

/// UUIDs of version 7 from the system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// Whether the device may use the network.
pub trait Connectivity: Send + Sync + 'static {
    /// Its state, now and from now on.
    fn changes(&self) -> watch::Receiver<bool>;
}

/// Says what it was told to say; on at first.
#[derive(Clone, Debug)]
pub struct Switch(watch::Sender<bool>);

impl Default for Switch {
    fn default() -> Self {
        Self(watch::Sender::new(true))
    }
}

impl Switch {
    /// A switch that stands so.
    pub fn new(online: bool) -> Self {
        Self(watch::Sender::new(online))
    }

    /// Turns it.
    pub fn set(&self, online: bool) {
        self.0.send_replace(online);
    }
}

impl Connectivity for Switch {
    fn changes(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The user must sign in again.
    #[error("nobody is signed in")]
    SignedOut,
    /// Whoever gives out tokens cannot be reached now.
    #[error("no token can be had now: {0}")]
    Unreachable(String),
}

/// Where tokens come from.
pub trait Credentials: Send + Sync + 'static {
    /// The token to send.
    fn token(&self) -> BoxFuture<'_, Result<String, CredentialsError>>;
    /// Asked once when the server refuses the token; afterwards [`token`](Self::token) is asked again.
    fn refresh(&self) -> BoxFuture<'_, Result<(), CredentialsError>>;
}

/// One token for ever.
impl Credentials for String {
    fn token(&self) -> BoxFuture<'_, Result<String, CredentialsError>> {
        Box::pin(async { Ok(self.clone()) })
    }
    fn refresh(&self) -> BoxFuture<'_, Result<(), CredentialsError>> {
        Box::pin(async { Err(CredentialsError::SignedOut) })
    }
}
