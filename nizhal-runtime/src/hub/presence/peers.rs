//! The other servers: which of them live, and up to which change each one's presence is known.

use nizhal_core::Uuid;
use std::collections::HashMap;
use tokio::time::Instant;

/// Every other server that was heard lately.
#[derive(Debug, Default)]
pub(super) struct Peers(HashMap<Uuid, Peer>);

#[derive(Debug)]
struct Peer {
    heard_at: Instant,
    /// The number of its last change that is known here; `None` until its whole state came.
    last_change: Option<u64>,
}

impl Peers {
    /// It lives.
    pub(super) fn seen(&mut self, from: Uuid, now: Instant) {
        self.of(from, now);
    }

    /// Whether changes that begin with number `first` go on from what is known; if so, they are known too.
    pub(super) fn follows(&mut self, from: Uuid, first: u64, count: u64, now: Instant) -> bool {
        let peer = self.of(from, now);
        let follows = peer.last_change.is_some_and(|last_change| last_change + 1 == first);
        if follows {
            peer.last_change = Some(first + count - 1);
        }
        follows
    }

    /// Its whole state is known, up to this change.
    pub(super) fn received_state(&mut self, from: Uuid, last_change: u64, now: Instant) {
        self.of(from, now).last_change = Some(last_change);
    }

    /// Whether all of its changes up to this one are known.
    pub(super) fn is_up_to_date(&mut self, from: Uuid, last_change: u64, now: Instant) -> bool {
        self.of(from, now).last_change == Some(last_change)
    }

    pub(super) fn forget(&mut self, from: Uuid) {
        self.0.remove(&from);
    }

    /// Those that were not heard since then.
    pub(super) fn silent(&self, since: Instant) -> Vec<Uuid> {
        self.0.iter().filter(|(_, peer)| peer.heard_at < since).map(|(from, _)| *from).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    fn of(&mut self, from: Uuid, now: Instant) -> &mut Peer {
        let peer = self.0.entry(from).or_insert(Peer { heard_at: now, last_change: None });
        peer.heard_at = now;
        peer
    }
}
