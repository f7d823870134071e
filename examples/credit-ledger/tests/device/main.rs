//! The ledger on devices in Rust, against its real server over real sockets.

mod converge;
mod fixture;
