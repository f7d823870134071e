//! The engine's state: one app over one store, and what it has learnt of it.

use super::{
    ReplayBounds, ScopeError, image::Images, page, predictor::IdlePredictor, quota::AnswerQuota, reruns::Reruns,
};
use crate::{
    environment::Environment,
    hub::Hub,
    observe::Observers,
    schema::Schema,
    scope::{self, Choices},
    settings::{MAX_BUCKETS, StorageSettings},
    store::{self, Generations, PullHeader, Store, StoreError},
};
use nizhal_core::{BlobHash, BlobRef, Bucket, HlcClock, NodeId, Principal, TableDesc};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// How long a mutator may take.
const MUTATOR_TIMEOUT: Duration = Duration::from_secs(60);

/// One app's engine over one store.
pub struct Engine {
    pub(crate) schema: Arc<Schema>,
    pub(crate) store: Arc<Store>,
    pub(crate) hub: Hub,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) hlc: Mutex<HlcClock>,
    pub(in crate::engine) observers: Observers,
    pub(in crate::engine) max_buckets: usize,
    /// The largest row that a mutation may leave, as JSON.
    pub(in crate::engine) max_row_bytes: usize,
    /// The answers that actors may still file.
    pub(in crate::engine) answers: AnswerQuota,
    /// Wakes a worker of this process.
    pub(crate) job_wake: Notify,
    /// The synced tables; a table's place is its slot.
    pub(in crate::engine) tables: Vec<&'static TableDesc>,
    /// Whether a row of it may come twice in an answer; by slot.
    pub(in crate::engine) repeats: Vec<bool>,
    /// Whether the stamps of mutations matter to some table.
    pub(in crate::engine) merges_columns: bool,
    /// Whether some mutations run again, so that results change.
    pub(in crate::engine) replays: bool,
    /// How much runs again at most, and what did.
    pub(in crate::engine) replay_bounds: ReplayBounds,
    pub(in crate::engine) reruns: Reruns,
    /// Whether some table names blobs.
    pub(in crate::engine) has_blobs: bool,
    /// Whether answers name the constraint that a mutation broke.
    pub(in crate::engine) names_violations: bool,
    /// How long a mutator may take.
    pub(in crate::engine) mutator_timeout: Duration,
    /// Changes when the rules do.
    pub(in crate::engine) fingerprint: String,
    /// The same of each rule, by name.
    rules: BTreeMap<String, String>,
    /// The generations of the rules that were read last, and their text.
    generations: Mutex<(String, Arc<Generations>)>,
    /// The epoch and the secret that were read last; each answer shows whether they still hold.
    pub(in crate::engine) keys: Mutex<Keys>,
    /// Whether the next pull will find something new.
    pub(in crate::engine) predictor: Mutex<IdlePredictor>,
    /// Images, where there is a store for them.
    pub(in crate::engine) images: Option<Images>,
}

/// The keys that cursors are read by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) epoch: String,
    pub(crate) secret: String,
}

impl Engine {
    /// The database that it works on.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// An engine over a provisioned store.
    pub fn new(schema: Arc<Schema>, store: Store, hub: Hub, environment: Arc<dyn Environment>, node: NodeId) -> Self {
        let (tables, fingerprint, rules) = (schema.synced(), store::fingerprint(&schema), schema.fingerprints());
        let (repeats, merges_columns) = (page::repeats(&tables, schema.rules()), schema.merges_columns());
        let replays = !schema.replayed().is_empty();
        let has_blobs = schema.tables().iter().any(|table| table.blob_columns().next().is_some());
        let (hlc, job_wake) = (Mutex::new(HlcClock::new(node)), Notify::new());
        let (observers, max_buckets) = (Observers::default(), MAX_BUCKETS);
        let StorageSettings { max_row_bytes, max_answers_per_actor, .. } = StorageSettings::default();
        Self {
            schema,
            store: Arc::new(store),
            hub,
            environment,
            hlc,
            observers,
            max_buckets,
            max_row_bytes,
            answers: AnswerQuota::new(max_answers_per_actor),
            job_wake,
            tables,
            repeats,
            merges_columns,
            replays,
            replay_bounds: ReplayBounds::default(),
            reruns: Reruns::default(),
            has_blobs,
            names_violations: false,
            mutator_timeout: MUTATOR_TIMEOUT,
            fingerprint,
            rules,
            generations: Mutex::default(),
            keys: Mutex::default(),
            predictor: Mutex::default(),
            images: None,
        }
    }

    /// The same, with these observers.
    #[must_use]
    pub fn with_observers(mut self, observers: Observers) -> Self {
        self.observers = observers;
        self
    }

    /// The same, where an actor may hold so many buckets.
    #[must_use]
    pub fn with_max_buckets(mut self, most: usize) -> Self {
        self.max_buckets = most;
        self
    }

    /// The same, where so much may be stored.
    #[must_use]
    pub fn with_storage(mut self, storage: &StorageSettings) -> Self {
        self.max_row_bytes = storage.max_row_bytes;
        self.answers = AnswerQuota::new(storage.max_answers_per_actor);
        self
    }

    /// The same, where so much runs again at most.
    #[must_use]
    pub fn with_replay_bounds(mut self, bounds: ReplayBounds) -> Self {
        self.replay_bounds = bounds;
        self
    }

    /// The same, where answers name the constraint that a mutation broke, its column and its table, as in development they may.
    #[must_use]
    pub fn with_named_violations(mut self, named: bool) -> Self {
        self.names_violations = named;
        self
    }

    /// The same, where a mutator may take so long.
    #[must_use]
    pub fn with_mutator_timeout(mut self, timeout: Duration) -> Self {
        self.mutator_timeout = timeout;
        self
    }

    /// Who hears of what happens.
    pub fn observers(&self) -> &Observers {
        &self.observers
    }

    /// The actor's buckets now.
    ///
    /// # Errors
    /// When the database fails, or there are too many.
    pub async fn scope(&self, principal: &Principal) -> Result<BTreeSet<Bucket>, ScopeError> {
        let header = self.store.header(principal).await?;
        Ok(Choices::new(&self.schema, principal, &header.members).buckets(self.max_buckets)?)
    }

    /// The reference by which a row names this blob that the actor sees now, where a pull would give it that row and column; `None`
    /// where none does, whether the blob exists or not.
    ///
    /// # Errors
    /// Where a pull has one: when the database fails or is of other rules, or there are too many buckets.
    pub async fn visible_blob(&self, principal: &Principal, hash: BlobHash) -> Result<Option<BlobRef>, ScopeError> {
        let header = self.store.header(principal).await?;
        self.same_rules(&header.rules)?;
        Choices::new(&self.schema, principal, &header.members).buckets(self.max_buckets)?;
        Ok(self.store.visible_blob(principal, hash).await?)
    }

    /// Whether the database is still provisioned for the rules that this server knows. Another server may have changed them:
    /// triggers then note other buckets than ours, and exits of our rules go unnoticed.
    pub(in crate::engine) fn same_rules(&self, rules: &str) -> Result<(), StoreError> {
        if rules == self.fingerprint { Ok(()) } else { Err(StoreError::OtherRules) }
    }

    /// The generations that the rules are of.
    pub(in crate::engine) fn generations(&self, header: &PullHeader) -> Arc<Generations> {
        self.generations_of(&header.generations)
    }

    /// The same, as the control row has them.
    pub(in crate::engine) fn generations_of(&self, text: &str) -> Arc<Generations> {
        let mut cached = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.0 != text || cached.0.is_empty() {
            let read = Generations::read(text, &self.rules);
            *cached = (text.to_owned(), Arc::new(read));
        }
        cached.1.clone()
    }

    /// All of the actor's claims that its buckets depend on: who has the same ones holds the same buckets.
    pub(crate) fn scope_key(&self, principal: &Principal) -> Vec<Option<String>> {
        scope::key(&self.schema, principal)
    }

    /// The keys under which changes of the actor's memberships are pinged.
    pub(crate) fn memberships(&self, principal: &Principal) -> Vec<Bucket> {
        scope::memberships(&self.schema, principal)
    }

    /// Whether the database answers, is provisioned for this server's rules, holds all of the engine's parts and takes writes.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ready(&self) -> Result<(), StoreError> {
        // Taking it asks for the clock, so it fails where they are absent.
        self.store.reader().await?.close().await?;
        self.same_rules(&self.store.provisioned_rules().await?)?;
        self.store.check_partitions().await?;
        self.store.check_whole().await
    }
}
