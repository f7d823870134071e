//! The ledger on devices in Rust, against its real server over real sockets.

// The workspace's lints: the example's manifest, to which this test belongs, has a user's own.
#![warn(missing_docs, unreachable_pub)]
#![warn(clippy::dbg_macro, clippy::todo, clippy::unimplemented, clippy::large_futures, clippy::needless_pass_by_value)]

mod blob;
mod converge;
mod fixture;
mod image;
mod image_fault;
mod kill;
mod network;
mod process;
mod refused;
mod share;
mod tls;
mod token;
mod watch;

/// The app's binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_credit-ledger");
