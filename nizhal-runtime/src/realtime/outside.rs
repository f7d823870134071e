//! The task that turns writes from outside into pings.

use super::Hub;
use crate::engine::Engine;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// How long to wait when the database cannot be listened to.
const AGAIN: Duration = Duration::from_secs(1);

/// Pings for writes from outside until told to stop; a fault is waited out, and everybody is told to pull after it.
pub(crate) async fn ping_for_others(engine: Arc<Engine>, hub: Hub, mut stopping: watch::Receiver<bool>) {
    let listening = async {
        loop {
            if let Err(error) = listen(&engine, &hub).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "writes from outside are not heard; trying again"
                );
            }
            tokio::time::sleep(AGAIN).await;
            hub.ping_all();
        }
    };
    tokio::select! {
        () = listening => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}

async fn listen(engine: &Engine, hub: &Hub) -> Result<(), crate::store::StoreError> {
    let mut outside = engine.store.outside().await?;
    loop {
        match engine.store.heard(&mut outside).await? {
            Some(buckets) => hub.ping(&buckets),
            None => hub.ping_all(),
        }
    }
}
