//! What actors may hear, kept so that not every ping to every socket asks the database, and never kept too long.
//!
//! A kept scope may be used while it is certain that no membership under it changed more than [`MAX_AGE`] ago. Changed memberships
//! are notified by the very transaction that changes them, and Postgres delivers notifications in the order of their commits. So
//! when a notification of our own comes back, all that was committed before it has been heard, and every scope that was not made
//! stale by then is as good as one read at that moment. [`ListenBarrier`] sends one when the last is too old, for all sockets together.
//! When it does not come back, because the connection is lost or dead, scopes are read from the database each time.
//!
//! Decision: book/src/decisions/realtime.md#a-sockets-scope-is-cached-with-a-listen-barrier

mod listen_barrier;

pub(crate) use listen_barrier::{ListenBarrier, MAX_AGE};

use crate::{
    engine::{Engine, ScopeError},
    hub::{CachedScope, ScopeCell},
};
use nizhal_core::{Bucket, Principal};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};
use tokio::sync::Semaphore;

/// Scopes that are read at once; the rest wait, so that sockets leave the database's connections to pulls and pushes.
const READERS: usize = 4;
/// Dead entries are swept out when there are twice as many as lived after the last time, or so many.
const SWEEP_AT: usize = 1024;

/// Every actor's scope who is connected; cheap to clone.
#[derive(Clone)]
pub(crate) struct Scopes {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Arc<Engine>,
    listen_barrier: ListenBarrier,
    cells: Mutex<HashMap<Vec<Option<String>>, Weak<ScopeCell>>>,
    sweep_at: AtomicUsize,
    readers: Semaphore,
    reads: AtomicU64,
    hits: AtomicU64,
}

impl Scopes {
    pub(crate) fn new(engine: Arc<Engine>, listen_barrier: ListenBarrier) -> Self {
        let inner = Inner {
            engine,
            listen_barrier,
            cells: Mutex::default(),
            sweep_at: AtomicUsize::new(SWEEP_AT),
            readers: Semaphore::new(READERS),
            reads: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The place of an actor's scope; not read yet, unless somebody with the same claims did.
    pub(crate) fn of(&self, principal: &Principal) -> Arc<ScopeCell> {
        let key = self.inner.engine.scope_key(principal);
        let mut all = self.inner.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scope_cell) = all.get(&key).and_then(Weak::upgrade) {
            return scope_cell;
        }
        if all.len() >= self.inner.sweep_at.load(Relaxed) {
            all.retain(|_, scope_cell| scope_cell.strong_count() > 0);
            self.inner.sweep_at.store((all.len() * 2).max(SWEEP_AT), Relaxed);
        }
        let scope_cell = Arc::new(ScopeCell::new(self.inner.engine.memberships(principal)));
        all.insert(key, Arc::downgrade(&scope_cell));
        scope_cell
    }

    /// The actor's buckets, as they were at most [`MAX_AGE`] ago.
    ///
    /// # Errors
    /// When the database must be asked and fails, or there are too many.
    pub(crate) async fn read(
        &self,
        scope_cell: &ScopeCell,
        principal: &Principal,
    ) -> Result<Arc<BTreeSet<Bucket>>, ScopeError> {
        if let Some(buckets) = self.fresh(scope_cell).await {
            self.inner.hits.fetch_add(1, Relaxed);
            return Ok(buckets);
        }
        let _reading = scope_cell.reading.lock().await;
        // Somebody may have read it while we waited.
        if let Some(cached) = scope_cell.cached().filter(|cached| self.is_fresh(cached)) {
            self.inner.hits.fetch_add(1, Relaxed);
            return Ok(cached.buckets);
        }
        self.read_now(scope_cell, principal).await
    }

    /// The actor's buckets as they are now: for who comes, and may have been let in or put out a moment ago.
    ///
    /// # Errors
    /// When the database fails, or there are too many.
    pub(crate) async fn read_now(
        &self,
        scope_cell: &ScopeCell,
        principal: &Principal,
    ) -> Result<Arc<BTreeSet<Bucket>>, ScopeError> {
        let _reader = self.inner.readers.acquire().await;
        self.inner.reads.fetch_add(1, Relaxed);
        // Before the database is asked: a change that comes meanwhile makes the answer stale.
        let (read_at, changes) = (Instant::now(), scope_cell.changes());
        let buckets = Arc::new(self.inner.engine.scope(principal).await?);
        scope_cell.cache(CachedScope { buckets: buckets.clone(), read_at, changes });
        Ok(buckets)
    }

    async fn fresh(&self, scope_cell: &ScopeCell) -> Option<Arc<BTreeSet<Bucket>>> {
        let cached = scope_cell.cached()?;
        if !self.is_fresh(&cached) && !self.inner.listen_barrier.ensure_fresh().await {
            return None;
        }
        // What was heard until the proof came may have made it stale.
        Some(scope_cell.cached()?.buckets)
    }

    fn is_fresh(&self, cached: &CachedScope) -> bool {
        cached.read_at.elapsed() < MAX_AGE || self.inner.listen_barrier.is_fresh()
    }

    /// The way by which it is known that everything was heard.
    pub(crate) fn listen_barrier(&self) -> &ListenBarrier {
        &self.inner.listen_barrier
    }

    /// How often the database was asked, and how often not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.inner.reads.load(Relaxed), self.inner.hits.load(Relaxed))
    }
}
