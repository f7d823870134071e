//! The task that forgets old tombstones, answers, dead jobs and audit entries, so that history does not cost for ever.

use crate::{
    engine::Engine,
    store::{Forgotten, StoreError},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// How often it looks; what it forgets is days old.
const COLLECT_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How often the audit log is indexed by bucket, so that who looks for one waits for few entries.
const INDEX_INTERVAL: Duration = Duration::from_secs(60);

/// Forgets tombstones, acknowledged answers, dead jobs and audit entries older than these days, at once and then every hour, until told to stop.
pub(crate) async fn collect(
    engine: Arc<Engine>,
    tombstone_days: Option<u32>,
    audit_days: Option<u32>,
    mut stopping: watch::Receiver<bool>,
) {
    let collecting = async {
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
    tokio::select! {
        () = collecting => {}
        () = indexing => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}

fn not_now(error: &StoreError, what: &str) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, what, "this could not be done; trying again later");
}
