//! The queue of one socket: merged pings and a bounded number of presence changes.

use super::{diff::PresenceDiff, scope_cell::ScopeCell};
use nizhal_core::Bucket;
use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// The most buckets with a ping waiting for one socket; beyond it the reader is too slow.
const MAX_PINGS: usize = 4096;
/// The most presence changes waiting for one socket.
const MAX_DIFFS: usize = 256;
/// The most bytes of them, if they are more than one.
const MAX_DIFF_BYTES: usize = 1024 * 1024;

/// The pings and presence changes that waited for a socket.
#[derive(Debug, Default)]
pub struct Batch {
    /// The buckets to pull, each once.
    pub pings: BTreeSet<Bucket>,
    /// Presence changes, in order.
    pub diffs: Vec<Arc<PresenceDiff>>,
    /// Their bytes.
    pub diff_bytes: usize,
    /// Whether something had to be left out: the socket must be closed.
    pub overflow: bool,
}

/// The queue between the hub and one socket; whoever fills it never waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pending: Mutex<Batch>,
    filled: Notify,
    /// What the socket may hear.
    scope_cell: Option<Arc<ScopeCell>>,
}

impl Queue {
    pub(super) fn of(scope_cell: Option<Arc<ScopeCell>>) -> Self {
        Self { scope_cell, ..Self::default() }
    }

    pub(super) fn ping(&self, bucket: &Bucket) {
        if let Some(scope_cell) = self.scope_cell.as_ref().filter(|_| bucket.is_membership()) {
            scope_cell.changed();
        }
        let mut pending = self.lock();
        if !pending.pings.contains(bucket) {
            if pending.pings.len() >= MAX_PINGS {
                pending.overflow = true;
            } else {
                pending.pings.insert(bucket.clone());
            }
        }
        drop(pending);
        self.filled.notify_one();
    }

    pub(super) fn diff(&self, diff: Arc<PresenceDiff>, bytes: usize) {
        let mut pending = self.lock();
        let is_full = pending.diffs.len() >= MAX_DIFFS || pending.diff_bytes + bytes > MAX_DIFF_BYTES;
        if is_full && !pending.diffs.is_empty() {
            pending.overflow = true;
        } else {
            pending.diffs.push(diff);
            pending.diff_bytes += bytes;
        }
        drop(pending);
        self.filled.notify_one();
    }

    pub(super) fn take_batch(&self) -> Batch {
        mem::take(&mut *self.lock())
    }

    /// Puts back what could not be delivered, before what came since.
    pub(super) fn restore(&self, batch: Batch) {
        let mut pending = self.lock();
        pending.pings.extend(batch.pings);
        let since = mem::replace(&mut pending.diffs, batch.diffs);
        pending.diffs.extend(since);
        pending.diff_bytes += batch.diff_bytes;
        pending.overflow |= batch.overflow || pending.diffs.len() > MAX_DIFFS || pending.pings.len() > MAX_PINGS;
    }

    /// Resolves when something was put in since the last time.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(value: usize) -> Bucket {
        Bucket::new("shops", vec![value.to_string()])
    }

    fn diff() -> Arc<PresenceDiff> {
        Arc::new(PresenceDiff { bucket: bucket(0), joins: serde_json::Map::new(), leaves: serde_json::Map::new() })
    }

    #[test]
    fn pings_of_one_bucket_merge() {
        let queue = Queue::default();
        for _ in 0..3 {
            queue.ping(&bucket(1));
            queue.ping(&bucket(2));
        }
        let batch = queue.take_batch();
        assert_eq!(batch.pings, BTreeSet::from([bucket(1), bucket(2)]));
        assert!(!batch.overflow);
        assert!(queue.take_batch().pings.is_empty());
    }

    #[test]
    fn a_full_queue_says_so_and_grows_no_further() {
        let queue = Queue::default();
        (0..MAX_PINGS).for_each(|value| queue.ping(&bucket(value)));
        queue.ping(&bucket(0));
        assert!(!queue.lock().overflow, "a bucket that waits already takes no room");
        queue.ping(&bucket(MAX_PINGS));
        let batch = queue.take_batch();
        assert!(batch.overflow);
        assert_eq!(batch.pings.len(), MAX_PINGS);
        (0..=MAX_DIFFS).for_each(|_| queue.diff(diff(), 9));
        let batch = queue.take_batch();
        assert!(batch.overflow);
        assert_eq!(batch.diffs.len(), MAX_DIFFS);
        queue.diff(diff(), MAX_DIFF_BYTES + 1);
        assert!(!queue.lock().overflow, "one may be larger");
        queue.diff(diff(), 1);
        let batch = queue.take_batch();
        assert!(batch.overflow && batch.diffs.len() == 1);
    }

    #[test]
    fn what_is_put_back_merges_with_what_came_since() {
        let queue = Queue::default();
        queue.ping(&bucket(1));
        let batch = queue.take_batch();
        queue.ping(&bucket(1));
        queue.ping(&bucket(2));
        queue.restore(batch);
        assert_eq!(queue.take_batch().pings.len(), 2);
    }
}
