//! The in-process hub: buckets to sockets.

use super::{Batch, PresenceDiff, queue::Queue};
use crate::engine::Bucket;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Who listens to which bucket; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    listeners: RwLock<HashMap<Bucket, HashMap<u64, Arc<Queue>>>>,
    next_id: AtomicU64,
    sockets: AtomicU64,
    subscriptions: AtomicU64,
    pings_sent: AtomicU64,
}

/// Counts for the stats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubStats {
    /// Listeners now.
    pub sockets: u64,
    /// Pairs of listener and bucket now.
    pub subscriptions: u64,
    /// Ping frames sent since the start.
    pub pings_sent: u64,
}

impl Hub {
    /// Tells every listener of these buckets to pull. Never blocks and never fails.
    pub fn ping(&self, buckets: &[Bucket]) {
        let listeners = self.inner.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for bucket in buckets {
            for queue in listeners.get(bucket).into_iter().flat_map(HashMap::values) {
                queue.ping(bucket);
            }
        }
    }

    /// Tells every listener to pull: something may have been missed.
    pub fn ping_all(&self) {
        let listeners = self.inner.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for (bucket, queues) in listeners.iter() {
            for queue in queues.values() {
                queue.ping(bucket);
            }
        }
    }

    /// Tells every listener of the bucket who came and who went.
    pub(super) fn publish(&self, diff: PresenceDiff) {
        let diff = Arc::new(diff);
        let listeners = self.inner.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for queue in listeners.get(&diff.bucket).into_iter().flat_map(HashMap::values) {
            queue.diff(diff.clone());
        }
    }

    /// A new listener, to no bucket yet.
    pub fn listen(&self) -> Listener {
        self.inner.sockets.fetch_add(1, Relaxed);
        let id = self.inner.next_id.fetch_add(1, Relaxed);
        Listener { id, hub: self.clone(), queue: Arc::default(), buckets: BTreeSet::new(), watched: Vec::new() }
    }

    /// Notes that ping frames went out.
    pub fn sent(&self, pings: u64) {
        self.inner.pings_sent.fetch_add(pings, Relaxed);
    }

    /// The counts now.
    pub fn stats(&self) -> HubStats {
        HubStats {
            sockets: self.inner.sockets.load(Relaxed),
            subscriptions: self.inner.subscriptions.load(Relaxed),
            pings_sent: self.inner.pings_sent.load(Relaxed),
        }
    }
}

/// One socket's place in the hub; dropping it gives the place up.
#[derive(Debug)]
pub struct Listener {
    id: u64,
    hub: Hub,
    queue: Arc<Queue>,
    buckets: BTreeSet<Bucket>,
    watched: Vec<Bucket>,
}

impl Listener {
    /// Unique among the listeners of this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The buckets it listens to.
    pub fn buckets(&self) -> &BTreeSet<Bucket> {
        &self.buckets
    }

    /// Is also woken by pings of these keys, for as long as it lives; they are memberships, not buckets.
    pub(crate) fn watch(&mut self, keys: Vec<Bucket>) {
        let mut listeners = self.hub.inner.listeners.write().unwrap_or_else(PoisonError::into_inner);
        for key in &keys {
            listeners.entry(key.clone()).or_default().insert(self.id, self.queue.clone());
        }
        self.watched.extend(keys);
    }

    /// Listens to exactly these buckets from now on.
    pub fn listen_to(&mut self, buckets: BTreeSet<Bucket>) {
        if buckets == self.buckets {
            return;
        }
        let mut listeners = self.hub.inner.listeners.write().unwrap_or_else(PoisonError::into_inner);
        for lost in self.buckets.difference(&buckets) {
            leave(&mut listeners, lost, self.id);
        }
        for gained in buckets.difference(&self.buckets) {
            listeners.entry(gained.clone()).or_default().insert(self.id, self.queue.clone());
        }
        let count = &self.hub.inner.subscriptions;
        count.fetch_add(buckets.len() as u64, Relaxed);
        count.fetch_sub(self.buckets.len() as u64, Relaxed);
        self.buckets = buckets;
    }

    /// Resolves when something waits.
    pub async fn filled(&self) {
        self.queue.filled().await;
    }

    /// Takes what waits.
    pub fn take(&self) -> Batch {
        self.queue.take()
    }

    /// Puts back what could not be delivered.
    pub fn restore(&self, batch: Batch) {
        self.queue.restore(batch);
    }
}

fn leave(listeners: &mut HashMap<Bucket, HashMap<u64, Arc<Queue>>>, key: &Bucket, id: u64) {
    if let Some(others) = listeners.get_mut(key) {
        others.remove(&id);
        if others.is_empty() {
            listeners.remove(key);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.listen_to(BTreeSet::new());
        let mut listeners = self.hub.inner.listeners.write().unwrap_or_else(PoisonError::into_inner);
        for key in &self.watched {
            leave(&mut listeners, key, self.id);
        }
        drop(listeners);
        self.hub.inner.sockets.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(rule: &str) -> Bucket {
        Bucket::new(rule, vec!["42".to_owned()])
    }

    #[test]
    fn a_ping_reaches_the_listeners_of_its_bucket_alone() {
        let hub = Hub::default();
        let (mut shop, mut channel) = (hub.listen(), hub.listen());
        shop.listen_to([bucket("shops")].into());
        channel.listen_to([bucket("channels")].into());
        hub.ping(&[bucket("shops"), bucket("nobody")]);
        assert_eq!(shop.take().pings, [bucket("shops")].into());
        assert!(channel.take().pings.is_empty(), "two rules with equal values share nothing");
    }

    #[test]
    fn a_lost_bucket_pings_no_more() {
        let hub = Hub::default();
        let mut listener = hub.listen();
        listener.listen_to([bucket("a"), bucket("b")].into());
        listener.listen_to([bucket("b")].into());
        hub.ping(&[bucket("a"), bucket("b")]);
        assert_eq!(listener.take().pings, [bucket("b")].into());
    }

    #[test]
    fn counts_return_to_zero() {
        let hub = Hub::default();
        let mut listener = hub.listen();
        listener.listen_to([bucket("a"), bucket("b")].into());
        hub.sent(3);
        assert_eq!(hub.stats(), HubStats { sockets: 1, subscriptions: 2, pings_sent: 3 });
        drop(listener);
        assert_eq!(hub.stats(), HubStats { sockets: 0, subscriptions: 0, pings_sent: 3 });
        assert!(hub.inner.listeners.read().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_ping_wakes_the_listener_even_when_it_came_first() {
        let hub = Hub::default();
        let mut listener = hub.listen();
        listener.listen_to([bucket("a")].into());
        hub.ping(&[bucket("a")]);
        listener.filled().await;
        assert_eq!(listener.take().pings.len(), 1);
    }
}
