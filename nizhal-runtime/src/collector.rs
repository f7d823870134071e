//! The task that forgets old tombstones, so that deletes do not cost for ever.

use crate::engine::Engine;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// How often it looks; what it forgets is days old.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Forgets tombstones older than `days` at once and then every hour, until told to stop.
pub(crate) async fn collect(engine: Arc<Engine>, days: u32, mut stopping: watch::Receiver<bool>) {
    let collecting = async {
        loop {
            match engine.store.collect_tombstones(days).await {
                Ok(0) => {}
                Ok(count) => {
                    tracing::info!(count, days, "old tombstones are forgotten; cursors older than they start again")
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "old tombstones could not be forgotten; trying again in an hour");
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = collecting => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}
