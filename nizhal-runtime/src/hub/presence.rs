//! Presence: who is in a bucket right now, on any server; one entry a connection, forgotten with the connection.

mod others;

use super::{
    diff::{PresenceDiff, PresenceState},
    message::{self, Body, Change},
    outbox::Waiting,
    pubsub::Hub,
};
use nizhal_core::{Bucket, Uuid};
use others::Others;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Everyone's presence; cheap to clone.
#[derive(Clone, Debug)]
pub struct Presence {
    hub: Hub,
    /// This server among others.
    me: Uuid,
    silence: Duration,
    rooms: Arc<Mutex<Rooms>>,
}

#[derive(Debug, Default)]
struct Rooms {
    rooms: HashMap<Bucket, BTreeMap<Place, Entry>>,
    others: Others,
}

/// A connection, by its server and its number there.
type Place = (Uuid, u64);

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    user_id: String,
    shown: Value,
}

impl Presence {
    /// Presence whose changes travel through this hub; `silence` is how long an entry lives without a sign of life.
    pub(crate) fn new(hub: Hub, me: Uuid, silence: Duration) -> Self {
        Self { hub, me, silence, rooms: Arc::default() }
    }

    /// A connection's seat: nowhere yet.
    pub fn seat(&self, connection: u64, user_id: &str) -> Seat {
        Seat { presence: self.clone(), connection, user_id: user_id.to_owned(), tracked: BTreeMap::new() }
    }

    /// Who is in any of these buckets now.
    pub fn state<'a>(&self, buckets: impl IntoIterator<Item = &'a Bucket>) -> PresenceState {
        let rooms = self.lock();
        let mut state = PresenceState::new();
        for entry in buckets.into_iter().filter_map(|bucket| rooms.rooms.get(bucket)).flat_map(BTreeMap::values) {
            add(&mut state, entry);
        }
        state
    }

    /// Replaces the entry of a connection of ours; `None` takes it away. Tells under the lock, so that changes keep their order.
    fn replace(&self, bucket: &Bucket, connection: u64, entry: Option<Entry>) {
        let mut rooms = self.lock();
        let told = entry.as_ref().map(|entry| (entry.user_id.clone(), entry.shown.clone()));
        rooms.put(&self.hub, bucket, (self.me, connection), entry);
        self.hub.outbox().changed(Change { bucket: message::of(bucket), connection, entry: told });
    }

    /// Takes what waits for the other servers. Under the lock, so that the whole state and the number of its last change belong
    /// together.
    pub(crate) fn take_waiting(&self) -> (Waiting, Vec<Change>) {
        let rooms = self.lock();
        let waiting = self.hub.outbox().take();
        let present = if waiting.state { rooms.of(self.me) } else { Vec::new() };
        (waiting, present)
    }

    /// What another server told of its presence; whether we lack something of it.
    pub(crate) fn heard(&self, from: Uuid, body: Body, now: Instant) -> bool {
        let mut rooms = self.lock();
        match body {
            Body::Changes { first, changes } => {
                let follows = rooms.others.follows(from, first, changes.len() as u64, now);
                if follows {
                    changes.into_iter().for_each(|change| rooms.put_change(&self.hub, from, change));
                }
                !follows
            }
            Body::State { at, present } => {
                rooms.others.stands(from, at, now);
                rooms.replace_all(&self.hub, from, present);
                false
            }
            Body::Beat { at } => !rooms.others.beats(from, at, now),
            _ => {
                rooms.others.lives(from, now);
                false
            }
        }
    }

    /// Forgets a server that said goodbye.
    pub(crate) fn gone(&self, from: Uuid) {
        let mut rooms = self.lock();
        rooms.others.forget(from);
        rooms.replace_all(&self.hub, from, Vec::new());
    }

    /// Forgets servers that were silent since before `silent_since`; tells which.
    pub(crate) fn sweep(&self, silent_since: Instant) -> Vec<Uuid> {
        let silent = self.lock().others.silent(silent_since);
        silent.iter().for_each(|from| self.gone(*from));
        silent
    }

    /// How many other servers are known.
    pub(crate) fn others(&self) -> usize {
        self.lock().others.count()
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    /// Puts an entry in its place, or takes it away, and tells the bucket's listeners when that changes anything.
    fn put(&mut self, hub: &Hub, bucket: &Bucket, place: Place, entry: Option<Entry>) {
        let (mut joins, mut leaves) = (PresenceState::new(), PresenceState::new());
        let room = self.rooms.get(bucket);
        if room.and_then(|room| room.get(&place)) == entry.as_ref() {
            return;
        }
        if let Some(entry) = &entry {
            add(&mut joins, entry);
        }
        let before = match entry {
            Some(entry) => self.rooms.entry(bucket.clone()).or_default().insert(place, entry),
            None => self.rooms.get_mut(bucket).and_then(|room| room.remove(&place)),
        };
        if let Some(before) = &before {
            add(&mut leaves, before);
        }
        if self.rooms.get(bucket).is_some_and(BTreeMap::is_empty) {
            self.rooms.remove(bucket);
        }
        hub.publish(PresenceDiff { bucket: bucket.clone(), joins, leaves });
    }

    fn put_change(&mut self, hub: &Hub, from: Uuid, change: Change) {
        let Change { bucket, connection, entry } = change;
        let entry = entry.map(|(user_id, shown)| Entry { user_id, shown });
        self.put(hub, &message::bucket(bucket), (from, connection), entry);
    }

    /// All that this server shows.
    fn of(&self, server: Uuid) -> Vec<Change> {
        let shown = |(bucket, room): (&Bucket, &BTreeMap<Place, Entry>)| {
            let bucket = message::of(bucket);
            let of_server = room.range((server, 0)..=(server, u64::MAX));
            let change = |(place, entry): (&Place, &Entry)| {
                let entry = Some((entry.user_id.clone(), entry.shown.clone()));
                Change { bucket: bucket.clone(), connection: place.1, entry }
            };
            of_server.map(change).collect::<Vec<_>>()
        };
        self.rooms.iter().flat_map(shown).collect()
    }

    /// Puts a server's whole presence in place of what was known of it; what stays the same is not told.
    fn replace_all(&mut self, hub: &Hub, from: Uuid, present: Vec<Change>) {
        let kept: Vec<(Bucket, u64)> =
            present.iter().map(|change| (message::bucket(change.bucket.clone()), change.connection)).collect();
        let kept: std::collections::HashSet<_> = kept.into_iter().collect();
        for left in self.of(from) {
            let bucket = message::bucket(left.bucket);
            if !kept.contains(&(bucket.clone(), left.connection)) {
                self.put(hub, &bucket, (from, left.connection), None);
            }
        }
        present.into_iter().for_each(|change| self.put_change(hub, from, change));
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
    tracked: BTreeMap<Bucket, Tracked>,
}

#[derive(Debug)]
struct Tracked {
    until: Instant,
    bytes: usize,
}

impl Seat {
    /// The most bytes that one connection may show, all its buckets together.
    pub const MAX_BYTES: usize = 256 * 1024;

    /// Appears in a bucket, or appears there anew with another payload; false when that is more than one connection may show.
    pub fn track(&mut self, bucket: &Bucket, reference: Uuid, payload: &Map<String, Value>, now: Instant) -> bool {
        let mut shown = payload.clone();
        shown.insert("presence_ref".to_owned(), reference.to_string().into());
        let shown = Value::from(shown);
        let bytes = shown.to_string().len();
        let others: usize =
            self.tracked.iter().filter(|(other, _)| *other != bucket).map(|(_, other)| other.bytes).sum();
        if others + bytes > Self::MAX_BYTES {
            return false;
        }
        let entry = Entry { user_id: self.user_id.clone(), shown };
        self.presence.replace(bucket, self.connection, Some(entry));
        self.tracked.insert(bucket.clone(), Tracked { until: now + self.presence.silence, bytes });
        true
    }

    /// Disappears from a bucket.
    pub fn untrack(&mut self, bucket: &Bucket) {
        if self.tracked.remove(bucket).is_some() {
            self.presence.replace(bucket, self.connection, None);
        }
    }

    /// A sign of life.
    pub fn heartbeat(&mut self, bucket: &Bucket, now: Instant) {
        if let Some(tracked) = self.tracked.get_mut(bucket) {
            tracked.until = now + self.presence.silence;
        }
    }

    /// Disappears from every bucket of which `keep` says no.
    pub fn retain(&mut self, keep: impl Fn(&Bucket) -> bool) {
        let gone: Vec<Bucket> = self.tracked.keys().filter(|bucket| !keep(bucket)).cloned().collect();
        gone.iter().for_each(|bucket| self.untrack(bucket));
    }

    /// Drops the entries that were silent too long.
    pub fn expire(&mut self, now: Instant) {
        let silent = self.tracked.iter().filter(|(_, tracked)| tracked.until <= now);
        let silent: Vec<Bucket> = silent.map(|(bucket, _)| bucket.clone()).collect();
        silent.iter().for_each(|bucket| self.untrack(bucket));
    }

    /// When the next entry falls silent.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.tracked.values().map(|tracked| tracked.until).min()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.retain(|_| false);
    }
}

#[cfg(test)]
mod tests;
