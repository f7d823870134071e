//! Mutations that take effect in the order they were made: one that arrives late takes its place among those that ran, and those behind it
//! run again.
//!
//! The rows of a space, and the results of its mutations, are those of a database on which they ran one by one in the order of their
//! places. A place (`place`) is the mutation's stamp, unless its client has a later one, or the space is settled there. What is behind a late
//! mutation is taken back by sets, from images that triggers kept (`store/replay.rs`), and runs again under its own stamp, ids and claims
//! (`again`). All that one client sends at once takes its places together (`arrive`), so that all of it costs one rewind of each space: alone
//! (`alone`), or several in one transaction (`several`). What of it is too dear is bounded (`engine/reruns.rs`).
//!
//! Decision: book/src/decisions/replay.md#late-mutations-run-on-the-server

mod again;
mod alone;
mod arrive;
mod place;
mod several;
mod space;

pub(super) use several::SentTogether;
