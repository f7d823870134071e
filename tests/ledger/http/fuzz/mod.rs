//! Invariant 32, by random input: cursors, push bodies, frames and query strings, all through the real server.

mod cursor;
mod push;
mod query;
mod stream;

use nizhal_tests::try_all;
