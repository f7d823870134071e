//! The ledger on devices in Rust, against its real server over real sockets.

mod converge;
mod fixture;
mod kill;
mod network;
mod process;
mod refused;
mod share;
mod tls;
mod token;
mod watch;

/// The app's binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_ledger-server");
