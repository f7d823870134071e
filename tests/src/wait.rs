//! Waiting for something that can be observed, with a deadline that only a broken server reaches.

use std::time::{Duration, Instant};

/// How long a test waits for something that ought to happen at once.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Asks until the answer is yes.
///
/// # Panics
/// When it is still no at the deadline.
pub async fn until(what: &str, mut observed: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !observed().await {
        assert!(begun.elapsed() < DEADLINE, "never seen: {what}");
        // Only so as not to burn a core between two looks; nothing relies on its length.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for what something else does, and longer than [`until`], for a busy machine must not fail a test; `told` says how things
/// stand when it was in vain.
///
/// # Panics
/// When it is not done at the deadline.
pub async fn within<T>(what: &str, done: impl Future<Output = T>, told: impl FnOnce() -> String) -> T {
    match tokio::time::timeout(2 * DEADLINE, done).await {
        Ok(done) => done,
        Err(_) => panic!("waited in vain for {what}: {}", told()),
    }
}
