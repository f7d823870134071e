//! How servers hear of each other and of writers from outside: one trait, three adapters.
//!
//! What an adapter carries are hints: a lost message costs time, never data. So no adapter may fail or delay a push; what it
//! cannot carry stays in the outbox, merged, and a gap is answered by telling everybody to pull.

mod database;
#[cfg(feature = "nats")]
mod nats;

pub(crate) use database::{Local, Postgres};
#[cfg(feature = "nats")]
pub(crate) use nats::{Nats, NatsError};

use crate::store::{Heard, StoreError};
use futures_util::future::BoxFuture;

/// A way to hear, and perhaps to tell other servers.
pub(crate) trait Adapter: Send + Sync + 'static {
    /// What stats call it.
    fn name(&self) -> &'static str;

    /// The most bytes of one message; `None` when there are no others to tell.
    fn room(&self) -> Option<usize>;

    /// Begins to hear: all that is told from then on.
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Ear>, AdapterError>>;

    /// Tells the others, in order.
    fn tell<'a>(&'a self, messages: &'a [String]) -> BoxFuture<'a, Result<(), AdapterError>>;

    /// Whether something that was told may be lost with a connection.
    fn forgets(&self) -> bool {
        false
    }
}

/// What hears. An error means that something may have been missed: open another.
pub(crate) trait Ear: Send {
    /// The next that is heard.
    fn next(&mut self) -> BoxFuture<'_, Result<Heard, AdapterError>>;
}

/// Why an adapter does not work right now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdapterError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error("it took too long")]
    Slow,
    #[error("the connection hears nothing any more")]
    Deaf,
}
