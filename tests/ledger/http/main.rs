//! The credit ledger through its real server, on both databases: one module a promise.

// The workspace's lints: the example's manifest, to which this test belongs, has a user's own.
#![warn(missing_docs, unreachable_pub)]
#![warn(clippy::dbg_macro, clippy::todo, clippy::unimplemented, clippy::large_futures, clippy::needless_pass_by_value)]

mod admission;
mod args;
mod audit;
mod auth;
mod backup;
mod blob;
mod clash;
mod contract;
mod converge;
mod crash;
mod cursor;
mod development;
mod dice;
mod encoding;
mod epoch;
mod fixture;
mod forget;
mod full_disk;
mod fuzz;
mod held;
mod jobs;
mod jwks;
mod kill;
mod leak;
mod log;
mod membership;
mod merge;
mod metrics;
mod moves;
mod oracle;
mod overlap;
mod paging;
mod plan;
mod pooler;
mod provision;
mod push;
mod ready;
mod request;
mod restore;
mod round_trips;
mod scope;
mod sequence;
mod servers;
mod silence;
mod slow;
mod socket;
mod stats;
mod storm;
mod stream;
mod tls;
mod too_many;
mod wire2_pull;
mod wire2_push;
mod writers;

use fixture::BINARY;
