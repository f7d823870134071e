//! Bucket lists that are too long for a cursor, kept under the hash of their content, so that a copy is as good as the row.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The most bytes of sets that one process holds.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The interval at which a set that is in use is stored again; the database forgets one that was not stored for days.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// The sets that were used last.
#[derive(Debug, Default)]
pub(super) struct BucketSets(Mutex<SetCache>);

#[derive(Debug, Default)]
struct SetCache {
    /// By hash.
    sets: HashMap<String, Set>,
    bytes: usize,
    uses: u64,
}

#[derive(Debug)]
struct Set {
    buckets: Arc<str>,
    /// When it was used last, in uses.
    used: u64,
    /// When the database last stored that it is in use.
    stored_at: Option<Instant>,
}

impl BucketSets {
    pub(super) fn get(&self, id: &str) -> Option<Arc<str>> {
        let mut cache = self.lock();
        cache.uses += 1;
        let now = cache.uses;
        let set = cache.sets.get_mut(id)?;
        set.used = now;
        Some(set.buckets.clone())
    }

    /// Whether the database stored this set not long ago.
    pub(super) fn is_recently_stored(&self, id: &str) -> bool {
        let recent = |stored_at: Instant| stored_at.elapsed() < STORE_AGAIN_AFTER;
        self.lock().sets.get(id).and_then(|set| set.stored_at).is_some_and(recent)
    }

    /// Keeps a set that the database has just stored.
    pub(super) fn keep_stored(&self, id: &str, buckets: Arc<str>) {
        self.keep(id, buckets);
        if let Some(set) = self.lock().sets.get_mut(id) {
            set.stored_at = Some(Instant::now());
        }
    }

    pub(super) fn keep(&self, id: &str, buckets: Arc<str>) {
        let mut cache = self.lock();
        cache.uses += 1;
        let now = cache.uses;
        cache.bytes += buckets.len();
        if let Some(old) = cache.sets.insert(id.to_owned(), Set { buckets, used: now, stored_at: None }) {
            cache.bytes -= old.buckets.len();
        }
        while cache.bytes > MAX_BYTES {
            let oldest = cache.sets.iter().min_by_key(|(_, set)| set.used).map(|(id, _)| id.clone());
            let Some(old) = oldest.and_then(|id| cache.sets.remove(&id)) else { return };
            cache.bytes -= old.buckets.len();
        }
    }

    /// Forgets all: another epoch's database may not have them.
    pub(super) fn clear(&self) {
        *self.lock() = SetCache::default();
    }

    fn lock(&self) -> MutexGuard<'_, SetCache> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv28_the_sets_used_last_are_kept_within_their_bytes() {
        let sets = BucketSets::default();
        let third: Arc<str> = "x".repeat(MAX_BYTES / 3).into();
        for id in ["a", "b", "c"] {
            sets.keep(id, third.clone());
            sets.keep(id, third.clone());
        }
        assert!(sets.get("a").is_some());
        sets.keep("d", third);
        assert!(sets.get("b").is_none(), "it was used least lately");
        assert!(["a", "c", "d"].iter().all(|id| sets.get(id).is_some()));
        sets.keep("e", "x".repeat(MAX_BYTES + 1).into());
        assert!(sets.get("e").is_none() && sets.lock().bytes <= MAX_BYTES);
    }
}
