//! The ledger on devices in Rust, against its real server over real sockets.

mod converge;
mod fixture;
mod kill;
mod network;
mod refused;
mod share;
mod token;
mod watch;
