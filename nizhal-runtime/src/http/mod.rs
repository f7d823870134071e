//! HTTP: one file a URL, one place for errors; the only room that names actix-web.

mod admin;
mod admission;
mod audit;
mod authorize;
mod bearer;
mod blob;
mod blob_alone;
mod blob_part;
mod blob_range;
mod blob_read;
mod body;
mod contract;
mod cors;
mod credentials;
mod error;
mod gate;
mod gzip;
mod health;
mod image;
mod limit;
mod lines;
mod listen;
mod metrics;
mod outcome;
mod own_routes;
mod pace;
mod paced;
mod peer;
mod pull;
mod push;
mod respond;
mod routes;
mod server;
mod socket;
mod stats;
mod stream;
mod unread;
mod wire;

pub use blob_alone::{BlobCall, BlobEndpoints};
pub(crate) use gate::{Version, VersionError, VersionGate};
pub use lines::Lines;
pub use listen::block_on;
pub(crate) use listen::{ListenError, Listening};
pub use outcome::push_body;
pub(crate) use own_routes::{OwnRoutes, ServiceConfig};
pub use routes::service;
pub(crate) use server::Parts;
pub use server::Server;

#[cfg(test)]
mod tests;
