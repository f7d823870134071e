//! The other servers: which of them live, and up to which change each one's presence is known.

use nizhal_core::Uuid;
use std::collections::HashMap;
use tokio::time::Instant;

/// Every other server that was heard lately.
#[derive(Debug, Default)]
pub(super) struct Peers(HashMap<Uuid, Peer>);

#[derive(Debug)]
struct Peer {
    heard: Instant,
    /// The number of its last change that is known here; `None` until its whole state came.
    at: Option<u64>,
}

impl Peers {
    /// It lives.
    pub(super) fn seen(&mut self, from: Uuid, now: Instant) {
        self.of(from, now);
    }

    /// Whether changes that begin with number `first` go on from what is known; if so, they are known too.
    pub(super) fn follows(&mut self, from: Uuid, first: u64, count: u64, now: Instant) -> bool {
        let other = self.of(from, now);
        let follows = other.at.is_some_and(|at| at + 1 == first);
        if follows {
            other.at = Some(first + count - 1);
        }
        follows
    }

    /// Its whole state is known, up to this change.
    pub(super) fn stands(&mut self, from: Uuid, at: u64, now: Instant) {
        self.of(from, now).at = Some(at);
    }

    /// Whether all of its changes up to this one are known.
    pub(super) fn beats(&mut self, from: Uuid, at: u64, now: Instant) -> bool {
        self.of(from, now).at == Some(at)
    }

    pub(super) fn forget(&mut self, from: Uuid) {
        self.0.remove(&from);
    }

    /// Those that were not heard since then.
    pub(super) fn silent(&self, since: Instant) -> Vec<Uuid> {
        self.0.iter().filter(|(_, other)| other.heard < since).map(|(from, _)| *from).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    fn of(&mut self, from: Uuid, now: Instant) -> &mut Peer {
        let other = self.0.entry(from).or_insert(Peer { heard: now, at: None });
        other.heard = now;
        other
    }
}
