//! What an attacker tries: a file a kind, on both databases.

mod deferred;
mod errors;
mod invitation;
mod jobs;
mod numbers;
mod private;
mod row_size;
mod session;
mod values;
mod world;
mod write_set;
