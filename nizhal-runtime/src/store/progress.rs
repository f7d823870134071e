//! What provisioning is at, for whoever waits for it: a line whenever a statement takes long.

use super::error::StoreError;
use std::time::{Duration, Instant};

/// How often a statement that goes on is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// The most characters of a statement in a line.
const SHOWN: usize = 120;

/// Which statement of how many runs.
#[derive(Debug)]
pub(super) struct Progress {
    number: usize,
    count: usize,
}

impl Progress {
    pub(super) fn of(count: usize) -> Self {
        Self { number: 0, count }
    }

    /// Runs the next statement for as long as it takes; `detail` tells how far it is.
    pub(super) async fn run<T>(
        &mut self,
        statement: &str,
        work: impl Future<Output = Result<T, sqlx::Error>>,
        detail: impl AsyncFn() -> Option<String>,
    ) -> Result<T, StoreError> {
        self.number += 1;
        let (began, mut work) = (Instant::now(), std::pin::pin!(work));
        let (number, of) = (self.number, self.count);
        let shown: String = statement.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        loop {
            if let Ok(done) = tokio::time::timeout(REPORT_INTERVAL, work.as_mut()).await {
                if began.elapsed() >= REPORT_INTERVAL {
                    tracing::info!(
                        number,
                        of,
                        seconds = began.elapsed().as_secs(),
                        statement = shown,
                        "a long statement ended"
                    );
                }
                return Ok(done?);
            }
            let detail = tokio::time::timeout(REPORT_INTERVAL, detail()).await.ok().flatten().unwrap_or_default();
            let seconds = began.elapsed().as_secs();
            tracing::info!(number, of, seconds, detail, statement = shown, "provisioning goes on");
        }
    }
}
