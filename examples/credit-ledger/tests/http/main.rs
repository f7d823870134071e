//! The credit ledger through its real server, on both databases: one module a promise.

mod args;
mod auth;
mod contract;
mod converge;
mod crash;
mod cursor;
mod development;
mod encoding;
mod fixture;
mod held;
mod jobs;
mod leak;
mod membership;
mod moves;
mod oracle;
mod overlap;
mod paging;
mod provision;
mod push;
mod request;
mod sequence;
mod stream;
