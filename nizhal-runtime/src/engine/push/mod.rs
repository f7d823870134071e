//! A push: its mutations in order (`order`), alone (`attempt`) or several in one transaction (`batch`), each `run` by its mutator.

mod acknowledged;
mod attempt;
mod batch;
#[cfg(test)]
mod faults;
mod judge;
mod order;
mod reply;
mod run;

pub use reply::{Answer, Ids, PushFailure, PushReply, Verdict};
