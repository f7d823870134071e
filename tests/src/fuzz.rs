//! Random inputs, made smaller where one fails.

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError, TestRunner},
};
use tokio::{runtime::Handle, task::block_in_place};

/// Tries this run's inputs, of which a quick run has `quick`; one that fails is made smaller and shown.
///
/// # Panics
/// With that input.
pub fn try_all<S: Strategy>(quick: u64, inputs: &S, test: impl AsyncFn(S::Value) -> Result<(), TestCaseError>) {
    let cases = u32::try_from(nizhal_seeds::count(quick)).unwrap_or(u32::MAX);
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 500,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(nizhal_seeds::first()),
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let tried = block_in_place(|| runner.run(inputs, |input| Handle::current().block_on(test(input))));
    tried.unwrap_or_else(|failure| panic!("{failure}"));
}
