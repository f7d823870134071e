//! Nizhal's sync server, in seven floors; imports run downwards only, and a test holds it.
//!
//! 0 `schema` `observe` `counts` `environment` `settings` `contract` `share` · 1 `scope` `hub` `auth` · 2 `store` · 3 `engine` ·
//! 4 `job` `retention` `cluster` `blob` `image` · 5 `http` · 6 `app`

pub mod auth;
pub mod contract;
pub mod engine;
pub mod hub;
pub mod schema;
pub mod settings;
pub mod store;

mod app;
mod blob;
mod cluster;
mod counts;
mod environment;
mod http;
mod image;
mod job;
mod observe;
mod retention;
mod scope;
mod share;
#[cfg(test)]
mod testing;

pub use app::{DevToken, Nizhal, StartError};
pub use auth::{AuthError, Authenticator, Expected, Jwks, JwtHs256, JwtJwks};
pub use blob::{BlobStoreError, BlobStoreFault};
pub use environment::SystemEnvironment;
pub use http::{Server, service};
// What a simulator needs in the place of HTTP.
#[doc(hidden)]
pub use http::{BlobCall, BlobEndpoints, Lines, push_body};
// And what a test needs in the place of a worker.
#[doc(hidden)]
pub use job::{JobEnd, run_next_alone as run_next_job};
pub use observe::{ConflictEvent, ErrorEvent, Observer, Observers, PullEvent, PushEvent, PushedMutation};
pub use settings::{
    AdmissionSettings, BlobSettings, BlobStoreSetting, BlobStoreUrl, ConnectionSettings, Cors, ImageSettings,
    JwksSource, LogFormat, MimePattern, Mode, NatsSettings, RateLimit, Realtime, RealtimeSettings, Settings,
    SocketSettings,
};

// What `#[nizhal::main]` calls.
#[doc(hidden)]
pub use http::block_on;

/// Names that generated code refers to; not for people.
#[doc(hidden)]
pub mod __private_server {
    pub use crate::block_on;
}
