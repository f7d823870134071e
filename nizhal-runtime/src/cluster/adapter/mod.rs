//! How servers hear of each other and of writers from outside: one trait, three adapters.
//!
//! What an adapter carries are hints: a lost message costs time, never data. So no adapter may fail or delay a push; what it
//! cannot carry stays in the outbox, merged, and a gap is answered by telling everybody to pull.

mod database;
mod error;
#[cfg(feature = "nats")]
mod nats;
mod port;

pub(crate) use database::{Local, Postgres};
pub(crate) use error::AdapterError;
#[cfg(feature = "nats")]
pub(crate) use nats::Nats;
pub(crate) use port::{Adapter, Receiver};
