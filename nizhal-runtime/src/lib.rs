//! Nizhal's sync server: http → engine ← store; realtime and auth beside them.

pub mod auth;
pub mod contract;
pub mod engine;
pub mod realtime;
pub mod schema;
pub mod settings;
pub mod store;

mod app;
mod collector;
mod counts;
mod environment;
mod http;
mod job;
mod observe;
mod server;
#[cfg(test)]
mod testing;

pub use app::{DevToken, Nizhal, StartError};
pub use auth::{AuthError, Authenticator, Expected, Jwks, JwtHs256, JwtJwks};
pub use environment::SystemEnvironment;
pub use http::service;
// What a simulator needs in the place of HTTP.
#[doc(hidden)]
pub use http::push_body;
pub use observe::{ConflictEvent, ErrorEvent, Observer, Observers, PullEvent, PushEvent, PushedMutation};
pub use server::Server;
pub use settings::{
    Cors, JwksSource, Mode, NatsSettings, RateLimit, Realtime, RealtimeSettings, Settings, SocketSettings,
};

/// Runs a future on the runtime that the server needs; what `#[nizhal::main]` calls.
#[doc(hidden)]
pub fn block_on<F: Future>(future: F) -> F::Output {
    actix_web::rt::System::new().block_on(future)
}

/// Names that generated code refers to; not for people.
#[doc(hidden)]
pub mod __private_server {
    pub use crate::block_on;
}
