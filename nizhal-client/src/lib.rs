//! Nizhal on a device: a local SQLite database that the app reads with sea-orm, the same mutators as on the server for instant
//! effect, a durable outbox, and sync that cannot get stuck unnoticed.

pub mod schema;
pub mod session;
pub mod store;
mod wire;
