//! Nizhal's sync server: http → engine ← store; realtime and auth beside them.

pub mod engine;
pub mod realtime;
pub mod schema;
pub mod store;
