//! The task that forgets old tombstones, answers, dead jobs, audit entries and blobs that no row names, so that history does not cost
//! for ever; and releases the jobs of replayed mutations when these are final.

use crate::{
    blob::{BlobError, Blobs, Collected},
    engine::Engine,
    store::Forgotten,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How often it looks; what it forgets is days old.
const COLLECT_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How often the audit log is indexed by bucket, so that who looks for one waits for few entries.
const INDEX_INTERVAL: Duration = Duration::from_secs(60);
/// How often the jobs are released of replayed mutations that are final.
const RELEASE_INTERVAL: Duration = Duration::from_secs(30);
/// How often the whole blob store is listed, for objects that no row knows.
const LIST_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// How many days each thing is kept; for ever where there is no number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) tombstone_days: Option<u32>,
    pub(crate) audit_days: Option<u32>,
    pub(crate) blob_days: Option<u32>,
}

/// Forgets tombstones, acknowledged answers, dead jobs, audit entries and blobs older than these days, at once and then every hour, until
/// told to stop.
pub(crate) async fn collect(
    engine: Arc<Engine>,
    blobs: Option<Blobs>,
    Retention { tombstone_days, audit_days, blob_days }: Retention,
    mut stopping: watch::Receiver<bool>,
) {
    let collecting = async {
        let mut listed = None;
        loop {
            if let Some(days) = tombstone_days {
                match engine.store.collect_tombstones(days).await {
                    Ok(0) => {}
                    Ok(count) => {
                        tracing::info!(count, days, "old tombstones are forgotten; cursors older than they start again")
                    }
                    Err(error) => not_now(&error, "tombstones"),
                }
                match engine.store.forget_answers(days).await {
                    Ok(Forgotten { answers: 0, clients: 0, jobs: 0 }) => {}
                    Ok(Forgotten { answers, clients, jobs }) => {
                        tracing::info!(
                            answers,
                            clients,
                            jobs,
                            days,
                            "old answers of mutations, silent clients and dead jobs are forgotten"
                        );
                    }
                    Err(error) => not_now(&error, "answers"),
                }
            }
            if let Some(days) = audit_days {
                match engine.store.collect_audit(days).await {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(count, days, "old audit entries are forgotten"),
                    Err(error) => not_now(&error, "audit entries"),
                }
            }
            if let Some(blobs) = &blobs {
                collect_blobs(&engine, blobs, blob_days, &mut listed).await;
                match engine.forget_images().await {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(count, "images that no first sync takes any more are removed"),
                    Err(error) => not_now(&error, "images"),
                }
            }
            match engine.forget_settled().await {
                Ok(0) => {}
                Ok(count) => {
                    tracing::info!(count, "replayed mutations that nothing comes before any more are forgotten")
                }
                Err(error) => not_now(&error, "replayed mutations"),
            }
            if let Err(error) = engine.store.check_partitions().await {
                not_now(&error, "partitions");
            }
            tokio::time::sleep(COLLECT_INTERVAL).await;
        }
    };
    let indexing = async {
        while engine.store.is_audited() {
            tokio::time::sleep(INDEX_INTERVAL).await;
            if let Err(error) = engine.store.index_audit().await {
                not_now(&error, "the index of the audit log");
            }
        }
        std::future::pending::<()>().await;
    };
    let releasing = async {
        loop {
            match engine.release_jobs().await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "jobs of replayed mutations that are final are released"),
                Err(error) => not_now(&error, "jobs of replayed mutations"),
            }
            tokio::time::sleep(RELEASE_INTERVAL).await;
        }
    };
    tokio::select! {
        () = collecting => {}
        () = releasing => {}
        () = indexing => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}

/// Removes what is over of blobs, and once a day the objects that no row knows. `listed` is when that was done last.
async fn collect_blobs(engine: &Engine, blobs: &Blobs, days: Option<u32>, listed: &mut Option<Instant>) {
    let now = engine.environment.now();
    match blobs.collect(now, days).await {
        Ok(Collected { parts: 0, blobs: 0 }) => {}
        Ok(Collected { parts, blobs }) => tracing::info!(parts, blobs, days, "blobs that no row names are removed"),
        Err(error) => blobs_not_now(&error),
    }
    let is_due = listed.is_none_or(|listed| listed.elapsed() >= LIST_INTERVAL);
    let (Some(days), true) = (days, is_due) else { return };
    match blobs.remove_strays(now, days).await {
        Ok(objects) => {
            *listed = Some(Instant::now());
            if objects > 0 {
                tracing::info!(objects, days, "objects that no row knows are removed from the blob store");
            }
        }
        Err(error) => blobs_not_now(&error),
    }
}

fn blobs_not_now(error: &BlobError) {
    not_now(error, "blobs");
}

fn not_now(error: &(dyn std::error::Error + 'static), what: &str) {
    tracing::warn!(error, what, "this could not be done; trying again later");
}
