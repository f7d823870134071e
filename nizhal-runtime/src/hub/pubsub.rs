//! The in-process hub: buckets to sockets.

use super::{
    diff::PresenceDiff,
    outbox::Outbox,
    queue::{Batch, Queue},
    scope_cell::ScopeCell,
};
use nizhal_core::Bucket;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The listeners of each bucket; cheap to clone.
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
    writes_heard: AtomicU64,
    /// What other servers are to hear.
    outbox: Outbox,
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
    /// Tells every listener of these buckets to pull, on other servers too. Never blocks and never fails.
    pub fn ping(&self, buckets: &[Bucket]) {
        self.inner.outbox.wrote(buckets);
        self.deliver(buckets);
    }

    /// Tells the listeners of this server.
    pub(crate) fn deliver(&self, buckets: &[Bucket]) {
        self.inner.writes_heard.fetch_add(1, Relaxed);
        let listeners = self.inner.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for bucket in buckets {
            for queue in listeners.get(bucket).into_iter().flat_map(HashMap::values) {
                queue.ping(bucket);
            }
        }
    }

    /// Tells every listener of this server to pull, and to ask what it may hear: something may have been missed.
    pub fn ping_all(&self) {
        self.inner.writes_heard.fetch_add(1, Relaxed);
        let listeners = self.inner.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for (bucket, queues) in listeners.iter() {
            for queue in queues.values() {
                queue.ping(bucket);
            }
        }
    }

    /// Tells every listener of the bucket who came and who went, which takes so many bytes.
    pub(super) fn publish(&self, diff: PresenceDiff, bytes: usize) {
        let diff = Arc::new(diff);
        let listeners = self.inner.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for queue in listeners.get(&diff.bucket).into_iter().flat_map(HashMap::values) {
            queue.diff(diff.clone(), bytes);
        }
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.inner.outbox
    }

    /// A new listener, to no bucket yet.
    pub fn listen(&self) -> Listener {
        self.listen_as(None)
    }

    /// A new listener whose scope is this one; pings of its memberships make the scope stale before they wake anybody.
    pub(crate) fn listen_as(&self, scope_cell: Option<Arc<ScopeCell>>) -> Listener {
        self.inner.sockets.fetch_add(1, Relaxed);
        let id = self.inner.next_id.fetch_add(1, Relaxed);
        let mut listener = Listener {
            id,
            hub: self.clone(),
            queue: Arc::new(Queue::of(scope_cell.clone())),
            buckets: Arc::default(),
            scope_cell,
        };
        listener.watch();
        listener
    }

    /// How many writes this server has heard of.
    pub(crate) fn write_count(&self) -> u64 {
        self.inner.writes_heard.load(Relaxed)
    }

    /// Counts ping frames that went out.
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
    buckets: Arc<BTreeSet<Bucket>>,
    /// Its actor's scope; it is also woken by pings of the memberships that this rests on.
    scope_cell: Option<Arc<ScopeCell>>,
}

impl Listener {
    /// Unique among the listeners of this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The buckets it listens to.
    pub fn buckets(&self) -> &Arc<BTreeSet<Bucket>> {
        &self.buckets
    }

    fn watch(&mut self) {
        let Some(scope_cell) = &self.scope_cell else { return };
        let mut listeners = self.hub.inner.listeners.write().unwrap_or_else(PoisonError::into_inner);
        for key in scope_cell.memberships() {
            listeners.entry(key.clone()).or_default().insert(self.id, self.queue.clone());
        }
    }

    /// Its actor's scope.
    pub(crate) fn scope_cell(&self) -> Option<&Arc<ScopeCell>> {
        self.scope_cell.as_ref()
    }

    /// Listens to exactly these buckets from now on.
    pub fn listen_to(&mut self, buckets: impl Into<Arc<BTreeSet<Bucket>>>) {
        let buckets = buckets.into();
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

    /// Takes all that waits for the socket.
    pub fn take_batch(&self) -> Batch {
        self.queue.take_batch()
    }

    /// Puts back what could not be delivered.
    pub fn restore(&self, batch: Batch) {
        self.queue.restore(batch);
    }
}

fn leave(listeners: &mut HashMap<Bucket, HashMap<u64, Arc<Queue>>>, key: &Bucket, id: u64) {
    if let Some(peers) = listeners.get_mut(key) {
        peers.remove(&id);
        if peers.is_empty() {
            listeners.remove(key);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.listen_to(BTreeSet::new());
        let mut listeners = self.hub.inner.listeners.write().unwrap_or_else(PoisonError::into_inner);
        for key in self.scope_cell.iter().flat_map(|scope_cell| scope_cell.memberships()) {
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
        shop.listen_to(BTreeSet::from([bucket("shops")]));
        channel.listen_to(BTreeSet::from([bucket("channels")]));
        hub.ping(&[bucket("shops"), bucket("nobody")]);
        assert_eq!(shop.take_batch().pings, [bucket("shops")].into());
        assert!(channel.take_batch().pings.is_empty(), "two rules with equal values share nothing");
    }

    #[test]
    fn a_lost_bucket_pings_no_more() {
        let hub = Hub::default();
        let mut listener = hub.listen();
        listener.listen_to(BTreeSet::from([bucket("a"), bucket("b")]));
        listener.listen_to(BTreeSet::from([bucket("b")]));
        hub.ping(&[bucket("a"), bucket("b")]);
        assert_eq!(listener.take_batch().pings, [bucket("b")].into());
    }

    #[test]
    fn counts_return_to_zero() {
        let hub = Hub::default();
        let mut listener = hub.listen();
        listener.listen_to(BTreeSet::from([bucket("a"), bucket("b")]));
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
        listener.listen_to(BTreeSet::from([bucket("a")]));
        hub.ping(&[bucket("a")]);
        listener.filled().await;
        assert_eq!(listener.take_batch().pings.len(), 1);
    }
}
