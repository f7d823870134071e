//! A device's store by itself: what the server says is written by the test.

mod app;
mod blob;
mod broken;
mod cells;
mod client;
mod demand;
mod disk;
mod displaced;
mod document;
mod fault;
mod image;
mod intruder;
mod open;
mod outbox;
mod random;
mod revised;
mod snapshot;

/// Runs one test.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(test);
}
