//! Invariant 32, by random input: cursors, push bodies, frames and query strings, all through the real server.

mod cursor;
mod push;
mod query;
mod stream;

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use tokio::{runtime::Handle, task::block_in_place};

/// Tries this many inputs, the same on each run; one that fails is made smaller and shown.
fn try_all<S: Strategy>(cases: u32, inputs: &S, test: impl AsyncFn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let tried = block_in_place(|| runner.run(inputs, |input| Handle::current().block_on(test(input))));
    tried.unwrap_or_else(|failure| panic!("{failure}"));
}
