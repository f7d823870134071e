//! An engine's images: where they are kept, and the buckets that are to get one.

use super::keep::ImageStore;
use crate::{
    schema::Schema,
    store::{Generations, WantedImage},
};
use chrono::TimeDelta;
use nizhal_core::{Bucket, DateTimeUtc, image};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Notify;

/// The most buckets that wait for an image; those beyond wait for the next first sync.
const MAX_WAITING: usize = 1_000;
/// How long a bucket that could have no image is not tried again for whoever asks for its file.
const IMPOSSIBLE_TIME: TimeDelta = TimeDelta::minutes(1);

/// An engine's images.
pub(crate) struct Images {
    pub(super) store: Arc<dyn ImageStore>,
    /// The least rows of a bucket for which one is made.
    pub(super) min_rows: i64,
    /// The shapes of the rules' tables, by name; without those that no device can keep.
    pub(super) shapes: BTreeMap<String, String>,
    waiting: Mutex<BTreeMap<Bucket, Demand>>,
    /// When it was found that a bucket can have no image.
    impossible: Mutex<BTreeMap<Bucket, DateTimeUtc>>,
    /// Wakes the task that makes images.
    wake: Notify,
}

/// Why a bucket is to get an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// A first sync could have used one, if there are rows enough.
    Sync,
    /// Somebody asked for its file.
    File,
}

impl Images {
    pub(super) fn new(schema: &Schema, store: Arc<dyn ImageStore>, min_rows: u32) -> Self {
        let shapes = schema.rules().iter().filter_map(|rule| Some((rule.name.to_owned(), image::shape(&rule.tables)?)));
        let (waiting, impossible, wake) = (Mutex::default(), Mutex::default(), Notify::new());
        Self { store, min_rows: min_rows.into(), shapes: shapes.collect(), waiting, impossible, wake }
    }

    /// Notes that a bucket can have no image now.
    pub(super) fn note_impossible(&self, bucket: &Bucket, now: DateTimeUtc) {
        let mut impossible = self.impossible.lock().unwrap_or_else(PoisonError::into_inner);
        impossible.retain(|_, at| is_recent(*at, now));
        impossible.insert(bucket.clone(), now);
    }

    /// Whether that was found a moment ago.
    pub(super) fn was_impossible(&self, bucket: &Bucket, now: DateTimeUtc) -> bool {
        let impossible = self.impossible.lock().unwrap_or_else(PoisonError::into_inner);
        impossible.get(bucket).is_some_and(|at| is_recent(*at, now))
    }

    /// Waits for a bucket that is to get an image.
    pub(super) async fn next(&self) -> (Bucket, Demand) {
        loop {
            let woken = self.wake.notified();
            if let Some(demand) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_first() {
                return demand;
            }
            woken.await;
        }
    }

    pub(super) fn wanted(&self, bucket: &Bucket, generations: &Generations) -> Option<WantedImage> {
        let (tag, shape) = (generations.tags.get(&bucket.rule)?, self.shapes.get(&bucket.rule)?);
        Some(WantedImage { bucket: bucket.clone(), tag: tag.clone(), shape: shape.clone() })
    }

    pub(super) fn demand<'a>(&self, buckets: impl IntoIterator<Item = &'a Bucket>, demand: Demand) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for bucket in buckets {
            if waiting.len() >= MAX_WAITING {
                break;
            }
            let now = waiting.entry(bucket.clone()).or_insert(demand);
            *now = demand.max(*now);
        }
        if !waiting.is_empty() {
            self.wake.notify_one();
        }
    }
}

/// Less than a minute away, in either direction: a clock that jumps back must not hold a bucket back.
fn is_recent(at: DateTimeUtc, now: DateTimeUtc) -> bool {
    (now - at).abs() < IMPOSSIBLE_TIME
}
