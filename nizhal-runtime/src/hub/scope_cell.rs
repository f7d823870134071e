//! One actor's scope as it was last read, which pings of its memberships make stale.

use nizhal_core::Bucket;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

/// A scope is read again after this time even when nothing speaks against it.
const MAX_AGE: Duration = Duration::from_secs(600);

/// An actor's scope: shared by all sockets whose claims give them the same one.
#[derive(Debug)]
pub(crate) struct ScopeCell {
    memberships: Vec<Bucket>,
    /// Counts changes of its memberships.
    changes: AtomicU64,
    cached: Mutex<Option<CachedScope>>,
    pub(crate) reading: tokio::sync::Mutex<()>,
}

/// A scope that was read.
#[derive(Clone, Debug)]
pub(crate) struct CachedScope {
    pub(crate) buckets: Arc<BTreeSet<Bucket>>,
    /// When the database was read.
    pub(crate) read_at: Instant,
    /// The number of changes when the database was read.
    pub(crate) changes: u64,
}

impl ScopeCell {
    /// The place of a scope that rests on these memberships; it is not read yet.
    pub(crate) fn new(memberships: Vec<Bucket>) -> Self {
        let (changes, cached, reading) = (AtomicU64::new(0), Mutex::default(), tokio::sync::Mutex::default());
        Self { memberships, changes, cached, reading }
    }

    /// The keys under which changes are pinged.
    pub(crate) fn memberships(&self) -> &[Bucket] {
        &self.memberships
    }

    /// One of its memberships changed.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, SeqCst);
    }

    /// What is kept, if nothing speaks against it.
    pub(crate) fn cached(&self) -> Option<CachedScope> {
        let cached = self.lock().clone();
        cached.filter(|cached| cached.changes == self.changes.load(SeqCst) && cached.read_at.elapsed() < MAX_AGE)
    }

    /// Keeps what was read, until something speaks against it.
    pub(crate) fn cache(&self, cached: CachedScope) {
        *self.lock() = Some(cached);
    }

    /// How often its memberships have changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Option<CachedScope>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
