//! The workers: tasks that run jobs until the server stops.

mod failure;
mod run;
mod share;

pub(crate) use run::run_next;
pub use run::{JobEnd, run_next_alone};
pub(crate) use share::Workers;

use crate::engine::Engine;
use std::{error::Error, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

/// The interval at which a worker polls when nobody wakes it: for jobs that fall due, and for those of other processes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Starts this many workers; each ends after the job it is at, once the server stops.
pub(crate) fn start(engine: &Arc<Engine>, workers: u32, stopping: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    if engine.schema.job_names().is_empty() {
        return Vec::new();
    }
    // SQLite has one writer, and a job is one for as long as it runs.
    let workers = if engine.store.has_one_writer() { workers.min(1) } else { workers };
    let all = Workers::new(workers);
    (0..workers).map(|_| tokio::spawn(work(engine.clone(), all.clone(), stopping.clone()))).collect()
}

async fn work(engine: Arc<Engine>, workers: Arc<Workers>, mut stopping: watch::Receiver<bool>) {
    while !*stopping.borrow() {
        match run_next(&engine, &workers, engine.environment.now()).await {
            Ok(Some(_)) => continue,
            Ok(None) => {}
            Err(error) => tracing::warn!(error = &error as &dyn Error, "a job could not be run; trying again"),
        }
        tokio::select! {
            () = engine.job_wake.notified() => {}
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }
}

#[cfg(test)]
mod tests;
