//! How far long work is, for whoever waits for it: a line whenever a statement, or many short ones, take long.

use super::error::StoreError;
use std::time::Duration;
use tokio::time::Instant;

/// How often work that goes on is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// The most characters of a statement in a line.
const SHOWN: usize = 120;

/// The progress of a list of statements.
#[derive(Debug)]
pub(super) struct Progress {
    work: &'static str,
    number: usize,
    count: usize,
}

impl Progress {
    /// The progress of work of this name, which has so many statements.
    pub(super) fn of(work: &'static str, count: usize) -> Self {
        Self { work, number: 0, count }
    }

    /// Runs the next statement for as long as it takes; `detail` tells how far it is.
    pub(super) async fn run<T, E: Into<StoreError>, D: Future<Output = Option<String>>>(
        &mut self,
        statement: &str,
        running: impl Future<Output = Result<T, E>>,
        detail: impl Fn() -> D,
    ) -> Result<T, StoreError> {
        self.number += 1;
        let (began, mut running) = (Instant::now(), std::pin::pin!(running));
        let (work, number, of) = (self.work, self.number, self.count);
        let shown: String = statement.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        loop {
            if let Ok(done) = tokio::time::timeout(REPORT_INTERVAL, running.as_mut()).await {
                if began.elapsed() >= REPORT_INTERVAL {
                    let seconds = began.elapsed().as_secs();
                    tracing::info!(work, number, of, seconds, statement = shown, "a long statement ended");
                }
                return done.map_err(Into::into);
            }
            let detail = tokio::time::timeout(REPORT_INTERVAL, detail()).await.ok().flatten().unwrap_or_default();
            let seconds = began.elapsed().as_secs();
            tracing::info!(work, number, of, seconds, detail, statement = shown, "a statement goes on");
        }
    }
}

/// Work in many short steps, of which nobody knows how many there will be.
#[derive(Debug)]
pub(super) struct Steps {
    work: &'static str,
    began: Instant,
    reported: Instant,
}

impl Steps {
    pub(super) fn of(work: &'static str) -> Self {
        let now = Instant::now();
        Self { work, began: now, reported: now }
    }

    /// After a step: so much is done by now.
    pub(super) fn reach(&mut self, done: u64) {
        if self.reported.elapsed() < REPORT_INTERVAL {
            return;
        }
        self.reported = Instant::now();
        tracing::info!(work = self.work, done, seconds = self.began.elapsed().as_secs(), "work in steps goes on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::ready,
        io,
        sync::{Arc, Mutex},
    };
    use tokio::time::sleep;

    /// The log of a test.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn logged(work: impl AsyncFnOnce()) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || writer.clone()).finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        work().await;
        String::from_utf8(log.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_statement_is_told_of_and_a_short_one_is_not() {
        let lines = logged(async || {
            let mut progress = Progress::of("provisioning", 2);
            let takes = async |seconds| {
                sleep(Duration::from_secs(seconds)).await;
                Ok::<_, StoreError>(())
            };
            progress.run("create table\n  t", takes(1), || ready(None)).await.unwrap();
            progress.run("create index", takes(12), || ready(Some("half".to_owned()))).await.unwrap();
        });
        let lines = lines.await;
        assert_eq!(lines.len(), 3, "{lines:?}");
        for line in &lines[..2] {
            assert!(line.contains("a statement goes on work=\"provisioning\" number=2 of=2"), "{line}");
            assert!(line.contains("detail=\"half\" statement=\"create index\""), "{line}");
        }
        assert!(lines[2].contains("a long statement ended") && lines[2].contains("seconds=12"), "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn short_steps_that_go_on_are_told_of_now_and_then() {
        let lines = logged(async || {
            let mut steps = Steps::of("forgetting answers");
            for done in 0..12 {
                steps.reach(done);
                sleep(Duration::from_secs(1)).await;
            }
        });
        let lines = lines.await;
        let told: Vec<bool> =
            [5, 10].iter().map(|done| lines.iter().any(|line| line.contains(&format!("done={done} ")))).collect();
        assert_eq!((lines.len(), told), (2, vec![true, true]), "{lines:?}");
    }
}
