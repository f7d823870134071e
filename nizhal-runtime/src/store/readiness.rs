//! When the database was last found whole and writable, so that many who ask cost it one look.

use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// How long a good answer stands.
const MAX_AGE: Duration = Duration::from_secs(5);

/// The last good answer.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Option<Instant>>);

impl Readiness {
    /// Waits for whoever looks now; `None` when what was found is fresh, else the place to write a good answer down.
    pub(super) async fn stale(&self) -> Option<MutexGuard<'_, Option<Instant>>> {
        let last = self.0.lock().await;
        if last.is_some_and(|at| at.elapsed() < MAX_AGE) { None } else { Some(last) }
    }
}
