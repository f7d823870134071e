//! How many sockets an actor has, how fast a client may send, and how sockets ended.

use crate::http::error::HttpError;
use actix_ws::CloseCode;
use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long an actor with too many sockets waits before the next, in seconds: by then the dead ones are found.
const RETRY_AFTER_S: u64 = 30;

/// The open sockets by actor, and the closed ones by code; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    by_actor: HashMap<Box<str>, u32>,
    /// By the code of our close frame; 0 when the peer left.
    closed: BTreeMap<u16, u64>,
}

impl Sockets {
    /// Takes one of the actor's places.
    pub(crate) fn admit(&self, actor: &str, most: u32) -> Result<SocketPermit, HttpError> {
        let mut counts = self.lock();
        match counts.by_actor.get_mut(actor) {
            Some(count) if *count >= most => return Err(HttpError::TooManySockets { retry_after_s: RETRY_AFTER_S }),
            Some(count) => *count += 1,
            None => {
                counts.by_actor.insert(actor.into(), 1);
            }
        }
        Ok(SocketPermit { sockets: self.clone(), actor: actor.into() })
    }

    /// A socket was closed by us with this code, or by its peer.
    pub(super) fn closed(&self, code: Option<CloseCode>) {
        *self.lock().closed.entry(code.map_or(0, u16::from)).or_default() += 1;
    }

    /// How many were closed, by our code; 0 stands for the peer.
    pub(crate) fn closed_by_code(&self) -> BTreeMap<u16, u64> {
        self.lock().closed.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of an actor's places; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct SocketPermit {
    sockets: Sockets,
    actor: Box<str>,
}

impl Drop for SocketPermit {
    fn drop(&mut self) {
        let mut counts = self.sockets.lock();
        if let Some(count) = counts.by_actor.get_mut(&self.actor) {
            *count -= 1;
            if *count == 0 {
                counts.by_actor.remove(&self.actor);
            }
        }
    }
}

/// The frames of one client: so many a second, and a burst of as many as in two seconds.
#[derive(Debug)]
pub(super) struct Meter {
    each: Duration,
    /// When all frames until now would have come, had they kept their distance.
    until: Instant,
}

impl Meter {
    const BURST: Duration = Duration::from_secs(2);

    pub(super) fn new(frames_per_second: NonZeroU32, now: Instant) -> Self {
        Self { each: Duration::from_secs(1) / frames_per_second.get(), until: now }
    }

    /// Whether one more may come now.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        self.until = self.until.max(now) + self.each;
        self.until <= now + Self::BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_has_so_many_places() {
        let sockets = Sockets::default();
        let places = [sockets.admit("a", 2).unwrap(), sockets.admit("a", 2).unwrap()];
        assert!(matches!(sockets.admit("a", 2), Err(HttpError::TooManySockets { .. })));
        let other = sockets.admit("b", 2).unwrap();
        drop(places);
        sockets.admit("a", 2).unwrap();
        drop(other);
        assert!(sockets.lock().by_actor.is_empty());
    }

    #[test]
    fn frames_may_burst_and_then_keep_their_distance() {
        let start = Instant::now();
        let mut meter = Meter::new(NonZeroU32::new(10).unwrap(), start);
        assert!((0..20).all(|_| meter.allows(start)));
        assert!(!meter.allows(start));
        let mut meter = Meter::new(NonZeroU32::new(10).unwrap(), start);
        assert!((0..1000).all(|number| meter.allows(start + Duration::from_millis(100 * number))));
    }

    #[test]
    fn inv28_silence_saves_nothing_up() {
        let start = Instant::now();
        let mut meter = Meter::new(NonZeroU32::new(10).unwrap(), start);
        assert!(meter.allows(start));
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| meter.allows(later)).count(), 20);
    }
}
