//! The messages that wait for other servers: merged, bounded, and never in the way of a push.

use super::message::{self, Change, MessageBody};
use nizhal_core::{Bucket, Uuid};
use std::{
    collections::BTreeSet,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};
use tokio::sync::Notify;

/// The most buckets that wait; beyond it one "pull everything" stands for them all.
const MAX_BUCKETS: usize = 65_536;
/// The most presence changes that wait; beyond it the whole state does.
const MAX_CHANGES: usize = 4_096;

/// The queue between the hub and the task that publishes to the other servers; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether there is anybody to tell.
    open: std::sync::atomic::AtomicBool,
    batch: Mutex<OutboxBatch>,
    filled: Notify,
    /// Buckets and changes that something shorter stands for, because there was no room.
    dropped: AtomicU64,
}

/// All that waits to be published.
#[derive(Debug, Default)]
pub(crate) struct OutboxBatch {
    pub(crate) wrote: BTreeSet<Bucket>,
    pub(crate) something: bool,
    pub(crate) hello: bool,
    pub(crate) wants: BTreeSet<Uuid>,
    pub(crate) send_heartbeats: bool,
    /// The whole presence of this server is to be published, in place of `changes`.
    pub(crate) state: bool,
    pub(crate) changes: Vec<Change>,
    /// The number of the last change, published or not.
    pub(crate) last_change: u64,
}

impl Outbox {
    pub(crate) fn open(&self) {
        self.0.open.store(true, SeqCst);
    }

    pub(crate) fn wrote(&self, buckets: &[Bucket]) {
        self.add(|batch, dropped| {
            // All will pull anyway.
            if batch.something {
                return;
            }
            batch.wrote.extend(buckets.iter().cloned());
            if batch.wrote.len() > MAX_BUCKETS {
                dropped.fetch_add(batch.wrote.len() as u64, Relaxed);
                batch.wrote.clear();
                batch.something = true;
            }
        });
    }

    pub(crate) fn something(&self) {
        self.add(|batch, _| {
            batch.wrote.clear();
            batch.something = true;
        });
    }

    pub(crate) fn changed(&self, change: Change) {
        self.add(|batch, dropped| {
            batch.last_change += 1;
            if batch.state {
                return;
            }
            batch.changes.push(change);
            if batch.changes.len() > MAX_CHANGES {
                dropped.fetch_add(batch.changes.len() as u64, Relaxed);
                batch.changes.clear();
                batch.state = true;
            }
        });
    }

    /// Asks for everybody's presence, and publishes ours.
    pub(crate) fn hello(&self) {
        self.add(|batch, _| {
            batch.hello = true;
            batch.state = true;
            batch.changes.clear();
        });
    }

    pub(crate) fn state(&self) {
        self.add(|batch, _| {
            batch.state = true;
            batch.changes.clear();
        });
    }

    pub(crate) fn want(&self, of: Uuid) {
        self.add(|batch, _| {
            batch.wants.insert(of);
        });
    }

    pub(crate) fn send_heartbeats(&self) {
        self.add(|batch, _| batch.send_heartbeats = true);
    }

    fn add(&self, change: impl FnOnce(&mut OutboxBatch, &AtomicU64)) {
        if self.0.open.load(SeqCst) {
            change(&mut self.lock(), &self.0.dropped);
            self.0.filled.notify_one();
        }
    }

    /// Takes all that waits; the count of changes stays.
    pub(crate) fn take_batch(&self) -> OutboxBatch {
        let mut batch = self.lock();
        let last_change = batch.last_change;
        mem::replace(&mut *batch, OutboxBatch { last_change, ..OutboxBatch::default() })
    }

    /// Puts back what could not be published. Changes of presence are not put back: the whole state is published in their place.
    pub(crate) fn restore(&self, batch: OutboxBatch) {
        let OutboxBatch { wrote, something, hello, wants, send_heartbeats, state, changes, last_change: _ } = batch;
        self.wrote(&wrote.into_iter().collect::<Vec<_>>());
        self.add(|batch, _| {
            batch.something |= something;
            batch.hello |= hello;
            batch.wants.extend(wants);
            batch.send_heartbeats |= send_heartbeats;
            if state || !changes.is_empty() {
                batch.state = true;
                batch.changes.clear();
            }
        });
    }

    /// Resolves when something was put in since the last time.
    pub(crate) async fn filled(&self) {
        self.0.filled.notified().await;
    }

    /// How many buckets wait, and how much was merged for want of room.
    pub(crate) fn counts(&self) -> (usize, u64) {
        (self.lock().wrote.len(), self.0.dropped.load(Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, OutboxBatch> {
        self.0.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages of a batch.
pub(crate) fn bodies(batch: &OutboxBatch, present: Vec<Change>, max_message_bytes: usize) -> Vec<MessageBody> {
    let mut bodies = Vec::new();
    bodies.extend(batch.hello.then_some(MessageBody::Hello));
    if batch.something {
        bodies.push(MessageBody::Something);
    } else {
        bodies.extend(message::wrote(batch.wrote.iter().cloned(), max_message_bytes));
    }
    bodies.extend(batch.wants.iter().map(|of| MessageBody::Want { of: *of }));
    if batch.state {
        bodies.push(MessageBody::State { at: batch.last_change, present });
    } else {
        let first = batch.last_change + 1 - batch.changes.len() as u64;
        bodies.extend(message::changes(first, batch.changes.clone(), max_message_bytes));
    }
    bodies.extend(batch.send_heartbeats.then_some(MessageBody::Beat { at: batch.last_change }));
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(value: usize) -> Bucket {
        Bucket::new("shops", vec![value.to_string()])
    }

    fn change() -> Change {
        Change { bucket: ("shops".to_owned(), vec![]), connection: 1, entry: None }
    }

    fn open() -> Outbox {
        let outbox = Outbox::default();
        outbox.open();
        outbox
    }

    #[test]
    fn nothing_waits_for_nobody() {
        let outbox = Outbox::default();
        outbox.wrote(&[bucket(1)]);
        outbox.changed(change());
        assert_eq!(outbox.counts(), (0, 0));
        assert!(outbox.take_batch().changes.is_empty());
    }

    #[test]
    fn inv28_what_has_no_room_is_told_as_everything() {
        let outbox = open();
        for value in 0..MAX_BUCKETS {
            outbox.wrote(&[bucket(value), bucket(0)]);
        }
        assert_eq!(outbox.counts(), (MAX_BUCKETS, 0));
        outbox.wrote(&[bucket(MAX_BUCKETS)]);
        outbox.wrote(&[bucket(0)]);
        assert_eq!(outbox.counts(), (0, MAX_BUCKETS as u64 + 1));
        assert!(outbox.take_batch().something);
        (0..=MAX_CHANGES).for_each(|_| outbox.changed(change()));
        outbox.changed(change());
        let batch = outbox.take_batch();
        assert!(batch.state && batch.changes.is_empty());
        assert_eq!(batch.last_change, MAX_CHANGES as u64 + 2);
    }

    #[test]
    fn what_was_not_told_waits_again() {
        let outbox = open();
        outbox.wrote(&[bucket(1)]);
        outbox.changed(change());
        outbox.want(Uuid::nil());
        let batch = outbox.take_batch();
        outbox.wrote(&[bucket(2)]);
        outbox.changed(change());
        outbox.restore(batch);
        let batch = outbox.take_batch();
        assert_eq!(batch.wrote.len(), 2);
        assert_eq!(batch.wants.len(), 1);
        assert!(batch.state && batch.changes.is_empty(), "changes with a hole in them are worth nothing");
        assert_eq!(batch.last_change, 2);
    }
}
