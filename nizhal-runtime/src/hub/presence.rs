//! Presence: who is in a bucket right now, on any server; one entry a connection, forgotten with the connection.

mod peers;

use super::{
    diff::{PresenceDiff, PresenceState},
    message::{self, Change, MessageBody},
    outbox::OutboxBatch,
    pubsub::Hub,
};
use crate::share::{Share, ShareLimits, Shares};
use nizhal_core::{Bucket, Uuid};
use peers::Peers;
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
    limits: PresenceLimits,
    /// The bytes that actors show.
    shown: Shares,
    by_bucket: Arc<Mutex<MembersByBucket>>,
}

/// How long an entry lives, and how much may be shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PresenceLimits {
    /// How long an entry lives without a sign of life.
    pub(crate) silence: Duration,
    /// The most bytes that one actor may show, all its connections and buckets together.
    pub(crate) bytes_per_actor: usize,
    /// The most bytes in one bucket: whoever comes gets all of them.
    pub(crate) bytes_per_bucket: usize,
}

/// How many actors may show all that one may, before there is no more room.
const ACTORS: u64 = 64;

/// Why an entry cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresenceFull {
    /// The actor shows all that it may.
    #[error("more presence than one actor may show (NIZHAL_MAX_PRESENCE_BYTES_PER_ACTOR)")]
    Actor,
    /// The bucket has all that it may.
    #[error("more presence than one bucket may hold (NIZHAL_MAX_PRESENCE_BYTES_PER_BUCKET)")]
    Bucket,
}

#[derive(Debug, Default)]
struct MembersByBucket {
    by_bucket: HashMap<Bucket, Members>,
    peers: Peers,
}

/// The members of one bucket.
#[derive(Debug, Default)]
struct Members {
    entries: BTreeMap<ConnectionId, Entry>,
    bytes: usize,
}

/// A connection, by its server and its number there.
type ConnectionId = (Uuid, u64);

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    user_id: String,
    shown: Value,
    /// The length of what is shown, as text.
    bytes: usize,
}

impl Entry {
    fn new(user_id: String, shown: Value) -> Self {
        Self { user_id, bytes: shown.to_string().len(), shown }
    }
}

impl Presence {
    /// Presence whose changes travel through this hub, within these limits.
    pub(crate) fn new(hub: Hub, me: Uuid, limits: PresenceLimits) -> Self {
        let per_actor = limits.bytes_per_actor as u64;
        let shown = Shares::new(ShareLimits { per_actor, all: per_actor.saturating_mul(ACTORS) });
        Self { hub, me, limits, shown, by_bucket: Arc::default() }
    }

    /// A connection's handle, which is in no bucket yet. What it shows counts to the actor of this key.
    pub fn presence_handle(&self, connection: u64, user_id: &str, actor: &str) -> PresenceHandle {
        let share = self.shown.nothing(actor);
        PresenceHandle {
            presence: self.clone(),
            connection,
            user_id: user_id.to_owned(),
            share,
            tracked: BTreeMap::new(),
        }
    }

    /// Who is in any of these buckets now.
    pub fn state<'a>(&self, buckets: impl IntoIterator<Item = &'a Bucket>) -> PresenceState {
        let by_bucket = self.lock();
        let mut state = PresenceState::new();
        for entry in buckets
            .into_iter()
            .filter_map(|bucket| by_bucket.by_bucket.get(bucket))
            .flat_map(|members| members.entries.values())
        {
            add(&mut state, entry);
        }
        state
    }

    /// Replaces the entry of a connection of ours; `None` takes it away. Tells under the lock, so that changes keep their order.
    fn replace(&self, bucket: &Bucket, connection: u64, entry: Option<Entry>) {
        let mut by_bucket = self.lock();
        let shown_entry = entry.as_ref().map(|entry| (entry.user_id.clone(), entry.shown.clone()));
        by_bucket.put(&self.hub, bucket, (self.me, connection), entry);
        self.hub.outbox().changed(Change { bucket: message::of(bucket), connection, entry: shown_entry });
    }

    /// Whether so many bytes fit into a bucket in the place of what this connection shows there.
    fn fits(&self, bucket: &Bucket, connection: u64, bytes: usize) -> bool {
        let by_bucket = self.lock();
        let Some(members) = by_bucket.by_bucket.get(bucket) else { return bytes <= self.limits.bytes_per_bucket };
        let before = members.entries.get(&(self.me, connection)).map_or(0, |entry| entry.bytes);
        members.bytes - before + bytes <= self.limits.bytes_per_bucket
    }

    /// Takes the outbox for the other servers. Under the lock, so that the whole state and the number of its last change belong
    /// together.
    pub(crate) fn take_outbox(&self) -> (OutboxBatch, Vec<Change>) {
        let by_bucket = self.lock();
        let batch = self.hub.outbox().take_batch();
        let present = if batch.state { by_bucket.of(self.me) } else { Vec::new() };
        (batch, present)
    }

    /// Takes in a message of another server about its presence. Returns whether we lack something of it.
    pub(crate) fn receive(&self, from: Uuid, body: MessageBody, now: Instant) -> bool {
        let mut by_bucket = self.lock();
        match body {
            MessageBody::Changes { first, changes } => {
                let follows = by_bucket.peers.follows(from, first, changes.len() as u64, now);
                if follows {
                    changes.into_iter().for_each(|change| by_bucket.put_change(&self.hub, from, change));
                }
                !follows
            }
            MessageBody::State { at, present } => {
                by_bucket.peers.received_state(from, at, now);
                by_bucket.replace_all(&self.hub, from, present);
                false
            }
            MessageBody::Beat { at } => !by_bucket.peers.is_up_to_date(from, at, now),
            _ => {
                by_bucket.peers.seen(from, now);
                false
            }
        }
    }

    /// Forgets a server that said goodbye.
    pub(crate) fn gone(&self, from: Uuid) {
        let mut by_bucket = self.lock();
        by_bucket.peers.forget(from);
        by_bucket.replace_all(&self.hub, from, Vec::new());
    }

    /// Forgets servers that were silent since before `silent_since`; tells which.
    pub(crate) fn sweep(&self, silent_since: Instant) -> Vec<Uuid> {
        let silent = self.lock().peers.silent(silent_since);
        silent.iter().for_each(|from| self.gone(*from));
        silent
    }

    /// How many other servers are known.
    pub(crate) fn peers(&self) -> usize {
        self.lock().peers.count()
    }

    fn lock(&self) -> MutexGuard<'_, MembersByBucket> {
        self.by_bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MembersByBucket {
    /// Puts an entry in its place, or takes it away, and tells the bucket's listeners when that changes anything.
    fn put(&mut self, hub: &Hub, bucket: &Bucket, connection_id: ConnectionId, entry: Option<Entry>) {
        let (mut joins, mut leaves) = (PresenceState::new(), PresenceState::new());
        let members = self.by_bucket.get(bucket);
        if members.and_then(|members| members.entries.get(&connection_id)) == entry.as_ref() {
            return;
        }
        let mut bytes = 0;
        if let Some(entry) = &entry {
            bytes += entry.bytes;
            add(&mut joins, entry);
        }
        let members = self.by_bucket.entry(bucket.clone()).or_default();
        members.bytes += bytes;
        let before = match entry {
            Some(entry) => members.entries.insert(connection_id, entry),
            None => members.entries.remove(&connection_id),
        };
        if let Some(before) = &before {
            members.bytes -= before.bytes;
            bytes += before.bytes;
            add(&mut leaves, before);
        }
        if members.entries.is_empty() {
            self.by_bucket.remove(bucket);
        }
        hub.publish(PresenceDiff { bucket: bucket.clone(), joins, leaves }, bytes);
    }

    fn put_change(&mut self, hub: &Hub, from: Uuid, change: Change) {
        let Change { bucket, connection, entry } = change;
        let entry = entry.map(|(user_id, shown)| Entry::new(user_id, shown));
        self.put(hub, &message::bucket(bucket), (from, connection), entry);
    }

    /// All that this server shows.
    fn of(&self, server: Uuid) -> Vec<Change> {
        let shown = |(bucket, members): (&Bucket, &Members)| {
            let bucket = message::of(bucket);
            let of_server = members.entries.range((server, 0)..=(server, u64::MAX));
            let change = |(connection_id, entry): (&ConnectionId, &Entry)| {
                let entry = Some((entry.user_id.clone(), entry.shown.clone()));
                Change { bucket: bucket.clone(), connection: connection_id.1, entry }
            };
            of_server.map(change).collect::<Vec<_>>()
        };
        self.by_bucket.iter().flat_map(shown).collect()
    }

    /// Puts a server's whole presence in place of what was known of it; what stays the same is not told.
    fn replace_all(&mut self, hub: &Hub, from: Uuid, present: Vec<Change>) {
        let still_present: Vec<(Bucket, u64)> =
            present.iter().map(|change| (message::bucket(change.bucket.clone()), change.connection)).collect();
        let still_present: std::collections::HashSet<_> = still_present.into_iter().collect();
        for left in self.of(from) {
            let bucket = message::bucket(left.bucket);
            if !still_present.contains(&(bucket.clone(), left.connection)) {
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
pub struct PresenceHandle {
    presence: Presence,
    connection: u64,
    user_id: String,
    share: Share,
    tracked: BTreeMap<Bucket, Tracked>,
}

#[derive(Debug)]
struct Tracked {
    until: Instant,
    bytes: usize,
}

impl PresenceHandle {
    /// Appears in a bucket, or appears there anew with another payload.
    ///
    /// # Errors
    /// [`PresenceFull`] when that is more than the actor may show or the bucket may hold.
    pub fn track(
        &mut self,
        bucket: &Bucket,
        reference: Uuid,
        payload: &Map<String, Value>,
        now: Instant,
    ) -> Result<(), PresenceFull> {
        let mut shown = payload.clone();
        shown.insert("presence_ref".to_owned(), reference.to_string().into());
        let entry = Entry::new(self.user_id.clone(), Value::from(shown));
        let bytes = entry.bytes;
        if bytes > self.presence.limits.bytes_per_actor {
            return Err(PresenceFull::Actor);
        }
        if !self.presence.fits(bucket, self.connection, bytes) {
            return Err(PresenceFull::Bucket);
        }
        let before = self.tracked.get(bucket).map_or(0, |tracked| tracked.bytes);
        self.share.try_grow(bytes.saturating_sub(before) as u64).map_err(|_| PresenceFull::Actor)?;
        self.presence.replace(bucket, self.connection, Some(entry));
        let until = now + self.presence.limits.silence;
        self.share.shrink(before.saturating_sub(bytes) as u64);
        self.tracked.insert(bucket.clone(), Tracked { until, bytes });
        Ok(())
    }

    /// Disappears from a bucket.
    pub fn untrack(&mut self, bucket: &Bucket) {
        if let Some(tracked) = self.tracked.remove(bucket) {
            self.share.shrink(tracked.bytes as u64);
            self.presence.replace(bucket, self.connection, None);
        }
    }

    /// A sign of life.
    pub fn heartbeat(&mut self, bucket: &Bucket, now: Instant) {
        if let Some(tracked) = self.tracked.get_mut(bucket) {
            tracked.until = now + self.presence.limits.silence;
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

impl Drop for PresenceHandle {
    fn drop(&mut self) {
        self.retain(|_| false);
    }
}

#[cfg(test)]
mod tests;
