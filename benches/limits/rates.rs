//! Pushes one by one and in batches, with the limit in turn.

use super::{
    app::Running,
    load::{self, Pushes},
    report::{Report, median},
};
use std::time::Duration;

/// Medians of mutations a second.
pub(crate) struct Rates {
    single: f64,
    batches: f64,
    limit: f64,
}

impl Rates {
    pub(crate) async fn measure(
        server: &Running,
        connections: usize,
        period: Duration,
        rounds: usize,
        mut theirs: impl AsyncFnMut() -> f64,
    ) -> Self {
        let (mut single, mut batches, mut limit) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            single.push(load::pushes(server, Pushes { connections, size: 1, period }).await);
            limit.push(theirs().await);
            batches.push(load::pushes(server, Pushes { connections, size: 50, period }).await);
        }
        Self { single: median(&single), batches: median(&batches), limit: median(&limit) }
    }

    /// A row for each, with their targets.
    pub(crate) fn tell(&self, report: &mut Report, at: &str, [single, batches]: [&str; 2]) {
        report.row(&format!("{at}, 1 mutation a request"), self.single, Some(self.limit), single);
        report.row(&format!("{at}, 50 a request"), self.batches, Some(self.limit), batches);
    }
}
