//! What waits to be told to other servers: merged, bounded, and never in the way of a push.

use super::message::{self, Body, Change};
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

/// The queue between what happens here and the one task that tells the others; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether there is anybody to tell.
    open: std::sync::atomic::AtomicBool,
    waiting: Mutex<Waiting>,
    filled: Notify,
    /// Buckets and changes that something shorter stands for, because there was no room.
    dropped: AtomicU64,
}

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) wrote: BTreeSet<Bucket>,
    pub(crate) something: bool,
    pub(crate) hello: bool,
    pub(crate) wants: BTreeSet<Uuid>,
    pub(crate) send_heartbeats: bool,
    /// The whole presence of this server is to be told, in place of `changes`.
    pub(crate) state: bool,
    pub(crate) changes: Vec<Change>,
    /// The number of the last change, told or not.
    pub(crate) last_change: u64,
}

impl Outbox {
    pub(crate) fn open(&self) {
        self.0.open.store(true, SeqCst);
    }

    pub(crate) fn wrote(&self, buckets: &[Bucket]) {
        self.add(|waiting, dropped| {
            // All will pull anyway.
            if waiting.something {
                return;
            }
            waiting.wrote.extend(buckets.iter().cloned());
            if waiting.wrote.len() > MAX_BUCKETS {
                dropped.fetch_add(waiting.wrote.len() as u64, Relaxed);
                waiting.wrote.clear();
                waiting.something = true;
            }
        });
    }

    pub(crate) fn something(&self) {
        self.add(|waiting, _| {
            waiting.wrote.clear();
            waiting.something = true;
        });
    }

    pub(crate) fn changed(&self, change: Change) {
        self.add(|waiting, dropped| {
            waiting.last_change += 1;
            if waiting.state {
                return;
            }
            waiting.changes.push(change);
            if waiting.changes.len() > MAX_CHANGES {
                dropped.fetch_add(waiting.changes.len() as u64, Relaxed);
                waiting.changes.clear();
                waiting.state = true;
            }
        });
    }

    /// Asks for everybody's presence, and tells ours.
    pub(crate) fn hello(&self) {
        self.add(|waiting, _| {
            waiting.hello = true;
            waiting.state = true;
            waiting.changes.clear();
        });
    }

    pub(crate) fn state(&self) {
        self.add(|waiting, _| {
            waiting.state = true;
            waiting.changes.clear();
        });
    }

    pub(crate) fn want(&self, of: Uuid) {
        self.add(|waiting, _| {
            waiting.wants.insert(of);
        });
    }

    pub(crate) fn send_heartbeats(&self) {
        self.add(|waiting, _| waiting.send_heartbeats = true);
    }

    fn add(&self, change: impl FnOnce(&mut Waiting, &AtomicU64)) {
        if self.0.open.load(SeqCst) {
            change(&mut self.lock(), &self.0.dropped);
            self.0.filled.notify_one();
        }
    }

    /// Takes what waits; the count of changes stays.
    pub(crate) fn take(&self) -> Waiting {
        let mut waiting = self.lock();
        let last_change = waiting.last_change;
        mem::replace(&mut *waiting, Waiting { last_change, ..Waiting::default() })
    }

    /// Puts back what could not be told. Changes of presence are not put back: the whole state is told in their place.
    pub(crate) fn restore(&self, told: Waiting) {
        let Waiting { wrote, something, hello, wants, send_heartbeats, state, changes, last_change: _ } = told;
        self.wrote(&wrote.into_iter().collect::<Vec<_>>());
        self.add(|waiting, _| {
            waiting.something |= something;
            waiting.hello |= hello;
            waiting.wants.extend(wants);
            waiting.send_heartbeats |= send_heartbeats;
            if state || !changes.is_empty() {
                waiting.state = true;
                waiting.changes.clear();
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

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waits, as messages.
pub(crate) fn bodies(waiting: &Waiting, present: Vec<Change>, max_message_bytes: usize) -> Vec<Body> {
    let mut bodies = Vec::new();
    bodies.extend(waiting.hello.then_some(Body::Hello));
    if waiting.something {
        bodies.push(Body::Something);
    } else {
        bodies.extend(message::wrote(waiting.wrote.iter().cloned(), max_message_bytes));
    }
    bodies.extend(waiting.wants.iter().map(|of| Body::Want { of: *of }));
    if waiting.state {
        bodies.push(Body::State { at: waiting.last_change, present });
    } else {
        let first = waiting.last_change + 1 - waiting.changes.len() as u64;
        bodies.extend(message::changes(first, waiting.changes.clone(), max_message_bytes));
    }
    bodies.extend(waiting.send_heartbeats.then_some(Body::Beat { at: waiting.last_change }));
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
        assert!(outbox.take().changes.is_empty());
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
        assert!(outbox.take().something);
        (0..=MAX_CHANGES).for_each(|_| outbox.changed(change()));
        outbox.changed(change());
        let waiting = outbox.take();
        assert!(waiting.state && waiting.changes.is_empty());
        assert_eq!(waiting.last_change, MAX_CHANGES as u64 + 2);
    }

    #[test]
    fn what_was_not_told_waits_again() {
        let outbox = open();
        outbox.wrote(&[bucket(1)]);
        outbox.changed(change());
        outbox.want(Uuid::nil());
        let told = outbox.take();
        outbox.wrote(&[bucket(2)]);
        outbox.changed(change());
        outbox.restore(told);
        let waiting = outbox.take();
        assert_eq!(waiting.wrote.len(), 2);
        assert_eq!(waiting.wants.len(), 1);
        assert!(waiting.state && waiting.changes.is_empty(), "changes with a hole in them are worth nothing");
        assert_eq!(waiting.last_change, 2);
    }
}
