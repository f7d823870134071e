//! Presence: who is in a bucket right now, one entry a connection, forgotten with the connection.

use super::Hub;
use crate::engine::Bucket;
use nizhal_core::Uuid;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// `{"<userId>": [{"presence_ref", …payload}]}`.
pub type PresenceState = Map<String, Value>;

/// Who came to a bucket and who left it.
#[derive(Clone, Debug, PartialEq)]
pub struct PresenceDiff {
    /// The bucket.
    pub bucket: Bucket,
    /// New entries.
    pub joins: PresenceState,
    /// Entries that are no more.
    pub leaves: PresenceState,
}

/// Everyone's presence; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    hub: Hub,
    rooms: Arc<Mutex<HashMap<Bucket, BTreeMap<u64, Entry>>>>,
}

#[derive(Clone, Debug)]
struct Entry {
    user_id: String,
    shown: Value,
}

impl Presence {
    /// How long an entry lives without a sign of life.
    pub const SILENCE: Duration = Duration::from_secs(30);

    /// Presence whose changes travel through this hub.
    pub fn new(hub: Hub) -> Self {
        Self { hub, rooms: Arc::default() }
    }

    /// A connection's seat: nowhere yet.
    pub fn seat(&self, connection: u64, user_id: &str) -> Seat {
        Seat { presence: self.clone(), connection, user_id: user_id.to_owned(), tracked: BTreeMap::new() }
    }

    /// Who is in any of these buckets now.
    pub fn state<'a>(&self, buckets: impl IntoIterator<Item = &'a Bucket>) -> PresenceState {
        let rooms = self.lock();
        let mut state = PresenceState::new();
        for entry in buckets.into_iter().filter_map(|bucket| rooms.get(bucket)).flat_map(BTreeMap::values) {
            add(&mut state, entry);
        }
        state
    }

    /// Replaces a connection's entry; `None` takes it away. Publishes under the lock, so that changes keep their order.
    fn replace(&self, bucket: &Bucket, connection: u64, entry: Option<Entry>) {
        let mut rooms = self.lock();
        let (mut joins, mut leaves) = (PresenceState::new(), PresenceState::new());
        if let Some(entry) = &entry {
            add(&mut joins, entry);
        }
        let before = match entry {
            Some(entry) => rooms.entry(bucket.clone()).or_default().insert(connection, entry),
            None => rooms.get_mut(bucket).and_then(|room| room.remove(&connection)),
        };
        if let Some(before) = &before {
            add(&mut leaves, before);
        }
        if rooms.get(bucket).is_some_and(BTreeMap::is_empty) {
            rooms.remove(bucket);
        }
        if !joins.is_empty() || !leaves.is_empty() {
            self.hub.publish(PresenceDiff { bucket: bucket.clone(), joins, leaves });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Bucket, BTreeMap<u64, Entry>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(state: &mut PresenceState, entry: &Entry) {
    let entries = state.entry(entry.user_id.clone()).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(entries) = entries {
        entries.push(entry.shown.clone());
    }
}

/// One connection's entries; dropping it takes them away.
#[derive(Debug)]
pub struct Seat {
    presence: Presence,
    connection: u64,
    user_id: String,
    tracked: BTreeMap<Bucket, Instant>,
}

impl Seat {
    /// Appears in a bucket, or appears there anew with another payload.
    pub fn track(&mut self, bucket: &Bucket, reference: Uuid, payload: &Map<String, Value>, now: Instant) {
        let mut shown = payload.clone();
        shown.insert("presence_ref".to_owned(), reference.to_string().into());
        let entry = Entry { user_id: self.user_id.clone(), shown: shown.into() };
        self.presence.replace(bucket, self.connection, Some(entry));
        self.tracked.insert(bucket.clone(), now + Presence::SILENCE);
    }

    /// Disappears from a bucket.
    pub fn untrack(&mut self, bucket: &Bucket) {
        if self.tracked.remove(bucket).is_some() {
            self.presence.replace(bucket, self.connection, None);
        }
    }

    /// A sign of life.
    pub fn heartbeat(&mut self, bucket: &Bucket, now: Instant) {
        if let Some(until) = self.tracked.get_mut(bucket) {
            *until = now + Presence::SILENCE;
        }
    }

    /// Disappears from every bucket of which `keep` says no.
    pub fn retain(&mut self, keep: impl Fn(&Bucket) -> bool) {
        let gone: Vec<Bucket> = self.tracked.keys().filter(|bucket| !keep(bucket)).cloned().collect();
        gone.iter().for_each(|bucket| self.untrack(bucket));
    }

    /// Drops the entries that were silent too long.
    pub fn expire(&mut self, now: Instant) {
        let silent: Vec<Bucket> =
            self.tracked.iter().filter(|(_, until)| **until <= now).map(|(bucket, _)| bucket.clone()).collect();
        silent.iter().for_each(|bucket| self.untrack(bucket));
    }

    /// When the next entry falls silent.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.tracked.values().min().copied()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.retain(|_| false);
    }
}

#[cfg(test)]
mod tests;
