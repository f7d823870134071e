//! Buckets on demand: what an app is subscribed to, and for how long the device keeps what it no longer is.

use crate::client::Client;
use crate::environment::Clock;
use crate::session::Event;
use crate::store::{SqliteStore, StoreError};
use nizhal_core::{Bucket, limits::MAX_BUCKET_NAME_BYTES, limits::MAX_NAMED_BUCKETS};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Why a bucket cannot be subscribed to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The app has no such rule.
    #[error("the app has no rule `{0}`")]
    UnknownRule(String),
    /// Devices get the buckets of this rule unasked.
    #[error(
        "rule `{0}` is not on demand: write #[on_demand(ttl = \"…\")] above it, or read its rows without a subscription"
    )]
    NotOnDemand(String),
    /// A bucket has one value for each parameter of its rule.
    #[error("rule `{rule}` has {wanted} parameters, and there are {given} values")]
    Parameters {
        /// The rule.
        rule: String,
        /// How many parameters it has.
        wanted: usize,
        /// How many values were given.
        given: usize,
    },
    /// The values are longer than a bucket's name may be.
    #[error("the bucket's name is longer than {MAX_BUCKET_NAME_BYTES} bytes")]
    TooLong,
    /// A pull can name no more of them.
    #[error(
        "a device subscribes to at most {MAX_NAMED_BUCKETS} buckets; those that were given up count until their time is over"
    )]
    TooMany,
    /// The store failed.
    #[error("the local store failed")]
    Store(#[from] StoreError),
}

/// A bucket that the app is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribedBucket {
    /// Its name, `rule:value`.
    pub bucket: String,
    /// Whether its rows are here, as far as they are this user's to see.
    pub complete: bool,
}

/// The buckets of a device, as far as it knows of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// The rules of which not all buckets are here yet: those of a later priority, while a first sync goes on.
    pub later_rules: Vec<String>,
    /// The buckets that are subscribed to, or were until a short while ago.
    pub subscribed: Vec<SubscribedBucket>,
}

/// The subscriptions of one process, shared with its driver.
pub(crate) struct Subscriptions {
    clock: Arc<dyn Clock>,
    held: Mutex<BTreeMap<String, SubscribedCount>>,
    /// Changes when a pull was stored.
    stored: watch::Sender<u64>,
}

/// A bucket that somebody holds a [`Subscription`] of, or did until the last renewal.
#[derive(Clone, Copy, Debug)]
struct SubscribedCount {
    count: usize,
    ttl_ms: i64,
    /// Until when the store keeps it, as far as this process has written.
    until_ms: i64,
    /// When the last subscription was dropped.
    dropped_ms: Option<i64>,
}

impl SubscribedCount {
    /// The time to write, where what is written falls short of it. A bucket that is held is written again at half of its time, so that a
    /// device that dies keeps it for that long at least.
    fn due(&self, now_ms: i64) -> Option<i64> {
        match self.dropped_ms {
            Some(dropped_ms) => Some(dropped_ms.saturating_add(self.ttl_ms)),
            None => {
                (self.until_ms.saturating_sub(now_ms) <= self.ttl_ms / 2).then(|| now_ms.saturating_add(self.ttl_ms))
            }
        }
    }
}

impl Subscriptions {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, held: Mutex::default(), stored: watch::Sender::new(0) }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, SubscribedCount>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    /// Tells those who wait for rows that some came.
    pub(crate) fn pulled(&self) {
        self.stored.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Writes how long buckets are kept, where that changed.
    pub(crate) async fn renew(&self, store: &SqliteStore) -> Result<(), StoreError> {
        let now_ms = self.now_ms();
        let due: Vec<(String, i64)> =
            self.held().iter().filter_map(|(bucket, held)| Some((bucket.clone(), held.due(now_ms)?))).collect();
        if due.is_empty() {
            return Ok(());
        }
        store.keep_subscriptions(&due).await?;
        let mut all = self.held();
        for (bucket, until_ms) in due {
            let Some(held) = all.get_mut(&bucket) else { continue };
            held.until_ms = until_ms;
            if held.count == 0 {
                all.remove(&bucket);
            }
        }
        Ok(())
    }

    /// The same before a pull, which names no bucket whose time is over.
    pub(crate) async fn before_pull(&self, store: &SqliteStore) -> Result<(), StoreError> {
        self.renew(store).await?;
        store.end_subscriptions(self.now_ms()).await
    }

    fn hold(&self, bucket: &str, ttl_ms: i64, until_ms: i64) {
        let mut held = self.held();
        let entry =
            held.entry(bucket.to_owned()).or_insert(SubscribedCount { count: 0, ttl_ms, until_ms, dropped_ms: None });
        (entry.count, entry.until_ms, entry.dropped_ms) = (entry.count + 1, until_ms, None);
    }

    fn drop_one(&self, bucket: &str) {
        let now_ms = self.now_ms();
        if let Some(entry) = self.held().get_mut(bucket) {
            entry.count = entry.count.saturating_sub(1);
            entry.dropped_ms = (entry.count == 0).then_some(now_ms);
        }
    }
}

/// A subscription to a bucket on demand. When it is dropped, the device keeps the bucket for the `ttl` of its rule; a restart of the app
/// changes nothing about that.
#[must_use = "a bucket that nobody is subscribed to is forgotten"]
pub struct Subscription {
    bucket: String,
    client: Client,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.client.inner.subscriptions.drop_one(&self.bucket);
    }
}

impl Subscription {
    /// The bucket's name, `rule:value`.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Whether the bucket's rows are here. A bucket that is not this user's has none, and counts as here when the server was asked for it:
    /// the server does not tell whether it exists.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn is_complete(&self) -> Result<bool, StoreError> {
        let all = self.client.inner.store.subscribed().await?;
        Ok(all.iter().any(|one| one.bucket == self.bucket && one.complete))
    }

    /// Waits until the bucket's rows are here.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn ready(&self) -> Result<(), StoreError> {
        let mut stored = self.client.inner.subscriptions.stored.subscribe();
        while !self.is_complete().await? {
            // The client holds the sender.
            let _ = stored.changed().await;
        }
        Ok(())
    }
}

impl Client {
    /// Subscribes to a bucket of a rule on demand: its rows come with the next pull, and stay until the `ttl` of the rule has passed since
    /// the last subscription was dropped. `params` has one value for each parameter of the rule, in their order.
    ///
    /// ```ignore
    /// let project = client.subscribe("projectSteps", [project_id]).await?;
    /// project.ready().await?;
    /// ```
    ///
    /// # Errors
    /// When the app has no such rule on demand, the values do not fit it, or the store fails.
    pub async fn subscribe<P: ToString>(
        &self,
        rule: &str,
        params: impl IntoIterator<Item = P>,
    ) -> Result<Subscription, SubscribeError> {
        let params: Vec<String> = params.into_iter().map(|param| param.to_string()).collect();
        let inner = &self.inner;
        let known = inner.store.schema().rules().iter().find(|known| known.name == rule);
        let known = known.ok_or_else(|| SubscribeError::UnknownRule(rule.to_owned()))?;
        let on_demand = known.on_demand.ok_or_else(|| SubscribeError::NotOnDemand(rule.to_owned()))?;
        if known.params.len() != params.len() {
            let (rule, wanted, given) = (rule.to_owned(), known.params.len(), params.len());
            return Err(SubscribeError::Parameters { rule, wanted, given });
        }
        let bucket = Bucket::new(rule, params).qualified();
        if bucket.len() > MAX_BUCKET_NAME_BYTES {
            return Err(SubscribeError::TooLong);
        }
        let ttl_ms = i64::try_from(on_demand.ttl_s).unwrap_or(i64::MAX).saturating_mul(1_000);
        let until_ms = inner.subscriptions.now_ms().saturating_add(ttl_ms);
        if !inner.store.subscribe(&bucket, until_ms, MAX_NAMED_BUCKETS).await? {
            return Err(SubscribeError::TooMany);
        }
        inner.subscriptions.hold(&bucket, ttl_ms, until_ms);
        let subscription = Subscription { bucket, client: self.clone() };
        // What is here already costs no request.
        if !subscription.is_complete().await? {
            let _ = inner.to.send(crate::driver::Message::Event(Event::Nudge));
        }
        Ok(subscription)
    }

    /// The buckets that are not here yet, and those that are subscribed to. [`Status::incomplete`](crate::session::Status) counts those that
    /// are not here.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn buckets(&self) -> Result<Buckets, StoreError> {
        let store = &self.inner.store;
        Ok(Buckets { later_rules: store.later_rules().await?, subscribed: store.subscribed().await? })
    }
}
