//! The task that makes images of buckets, one at a time and beside the requests.

use crate::engine::{Demand, Engine, Making};
use nizhal_core::Bucket;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long a bucket is left alone for which none was to be made.
const LEAVE_ALONE: Duration = Duration::from_secs(60);

/// Makes the images that pulls missed, until told to stop.
pub(crate) async fn make(engine: Arc<Engine>, mut stopping: watch::Receiver<bool>) {
    let making = async {
        let mut left_alone: BTreeMap<Bucket, Instant> = BTreeMap::new();
        loop {
            let (bucket, demand) = engine.next_demand().await;
            left_alone.retain(|_, since| since.elapsed() < LEAVE_ALONE);
            if demand == Demand::Sync && left_alone.contains_key(&bucket) {
                continue;
            }
            match engine.make_image(&bucket, demand).await {
                Ok(Making::Made) => {}
                Ok(making) => {
                    tracing::debug!(bucket = bucket.qualified(), ?making, "no image is made");
                    left_alone.insert(bucket, Instant::now());
                }
                Err(error) => {
                    let (error, bucket_name) = (&error as &dyn std::error::Error, bucket.qualified());
                    tracing::warn!(error, bucket = bucket_name, "an image could not be made; first syncs bring rows");
                    left_alone.insert(bucket, Instant::now());
                }
            }
        }
    };
    tokio::select! {
        () = making => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}
