//! The credit ledger through its real server, on both databases: one module a promise.

mod args;
mod auth;
mod clash;
mod contract;
mod converge;
mod crash;
mod cursor;
mod development;
mod encoding;
mod epoch;
mod fixture;
mod held;
mod kill;
mod leak;
mod membership;
mod moves;
mod oracle;
mod overlap;
mod paging;
mod provision;
mod push;
mod request;
mod restore;
mod sequence;
mod stream;
mod writers;
