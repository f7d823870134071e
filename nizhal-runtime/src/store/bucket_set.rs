//! Bucket lists that are too long for a cursor, kept under the hash of their content, so that a copy is as good as the row.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The most bytes of sets that one process holds.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The sets that were used last.
#[derive(Debug, Default)]
pub(super) struct BucketSets(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By hash, with the time of last use.
    sets: HashMap<String, (Arc<str>, u64)>,
    bytes: usize,
    uses: u64,
}

impl BucketSets {
    pub(super) fn get(&self, id: &str) -> Option<Arc<str>> {
        let mut kept = self.lock();
        kept.uses += 1;
        let now = kept.uses;
        let (set, used) = kept.sets.get_mut(id)?;
        *used = now;
        Some(set.clone())
    }

    pub(super) fn keep(&self, id: &str, set: Arc<str>) {
        let mut kept = self.lock();
        kept.uses += 1;
        let now = kept.uses;
        kept.bytes += set.len();
        if let Some((old, _)) = kept.sets.insert(id.to_owned(), (set, now)) {
            kept.bytes -= old.len();
        }
        while kept.bytes > MAX_BYTES {
            let oldest = kept.sets.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| id.clone());
            let Some((old, _)) = oldest.and_then(|id| kept.sets.remove(&id)) else { return };
            kept.bytes -= old.len();
        }
    }

    /// Forgets all: another epoch's database may not have them.
    pub(super) fn clear(&self) {
        *self.lock() = Kept::default();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
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
