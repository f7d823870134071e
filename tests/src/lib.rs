//! The test harness: real databases, the real server, and a device that knows nothing but the wire.
//!
//! A test is an `async fn` that takes an [`App`]; [`both!`] runs it on Postgres and on SQLite, each time on a database
//! of its own:
//!
//! ```ignore
//! both![two_devices_converge];
//!
//! async fn two_devices_converge(app: App) { /* … */ }
//! ```

mod app;
pub mod blob;
mod database;
mod device;
mod forwarder;
mod fuzz;
mod http;
pub mod issuer;
mod peer;
mod postgres;
mod proxy;
mod raw;
mod server;
mod socket;
mod statement_proxy;
mod temp;
mod tls;
pub mod token;
mod wait;

pub use app::{App, play, run};
pub use database::{Connection, Database, Kind};
pub use device::{Device, Page, Reply};
pub use forwarder::Forwarder;
pub use fuzz::try_all;
pub use http::http;
pub use peer::Peer;
pub use postgres::{Cluster, Durability};
pub use proxy::{Proxy, Weather};
pub use raw::{RawFrame, RawSocket, raise_file_limit};
pub use server::{Address, Server, SetUp, verb};
pub use socket::{Frame, Socket};
pub use statement_proxy::{COMMIT_FAULT, StatementFault, StatementProxy};
pub use temp::TempDir;
pub use tls::{TlsFront, certify};
pub use wait::{DEADLINE, until, within};
