//! A push: its mutations in order (`order`), alone (`attempt`, `transact`) or several in one transaction (`batch`), each `run` by its mutator;
//! those that are replayed in their places (`replay`).

mod acknowledged;
mod actor;
mod attempt;
mod batch;
mod blob;
mod judge;
mod key;
mod order;
mod replay;
mod reply;
mod run;
#[cfg(test)]
mod tests;
mod transact;
mod trial;

pub(super) use actor::is_privileged;
pub(super) use run::{checked, is_unheld};

pub use reply::{Answer, Ids, PushError, PushReply, Verdict};
