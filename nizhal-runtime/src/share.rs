//! What all actors share of a thing that there is only so much of: requests in flight, streams, bytes in memory.
//!
//! An actor may have its share, and never more than is left for all others together: however many take all that they can, there is
//! some left for whoever comes (the dynamic thresholds of Choudhury and Hahne, with a factor of one).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// A thing that actors share; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: ShareLimits,
    used: Mutex<Used>,
    /// Some was given back.
    freed: Notify,
}

/// The limits of a thing that actors share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShareLimits {
    /// For one actor.
    pub(crate) per_actor: u64,
    /// For all together.
    pub(crate) all: u64,
}

#[derive(Debug, Default)]
struct Used {
    all: u64,
    by_actor: HashMap<Box<str>, u64>,
}

/// Why there is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The actor has all that it may have.
    Actor,
    /// All together have all that there is.
    All,
}

impl Shares {
    /// All of it is there to be taken.
    pub(crate) fn new(limits: ShareLimits) -> Self {
        Self(Arc::new(Inner { limits, used: Mutex::default(), freed: Notify::new() }))
    }

    /// Acquires so much for this actor.
    pub(crate) fn acquire(&self, actor: &str, amount: u64) -> Result<Share, Full> {
        let mut share = self.nothing(actor);
        share.try_grow(amount)?;
        Ok(share)
    }

    /// A share of nothing, to grow later.
    pub(crate) fn nothing(&self, actor: &str) -> Share {
        Share { of: self.clone(), actor: actor.into(), amount: 0 }
    }

    /// Whether the actor may begin something whose size is known later: it, and all, have less than they may.
    pub(crate) fn has_room(&self, actor: &str) -> Result<(), Full> {
        let used = self.used();
        let own = used.by_actor.get(actor).copied().unwrap_or_default();
        let left = self.0.limits.all.saturating_sub(used.all);
        match (left, own < self.0.limits.per_actor.min(left)) {
            (0, _) => Err(Full::All),
            (_, false) => Err(Full::Actor),
            (_, true) => Ok(()),
        }
    }

    /// How much is taken.
    pub(crate) fn taken(&self) -> u64 {
        self.used().all
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The share that one actor holds for one purpose; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    of: Shares,
    actor: Box<str>,
    amount: u64,
}

impl Share {
    /// Takes so much more. Who holds nothing may take one thing that is larger than its share, if all have room for it.
    pub(crate) fn try_grow(&mut self, by: u64) -> Result<(), Full> {
        let limits = self.of.0.limits;
        let mut used = self.of.used();
        let own = used.by_actor.get(&self.actor).copied().unwrap_or_default();
        let left = limits.all.saturating_sub(used.all);
        if by > left && used.all > 0 {
            return Err(Full::All);
        }
        if own > 0 && own.saturating_add(by) > limits.per_actor.min(left) {
            return Err(Full::Actor);
        }
        used.add(&self.actor, by);
        drop(used);
        self.amount += by;
        Ok(())
    }

    /// The same, waiting for room.
    pub(crate) async fn grow(&mut self, by: u64) {
        let shares = self.of.clone();
        loop {
            let freed = shares.0.freed.notified();
            tokio::pin!(freed);
            // Heard from here on, so that nothing given back between the try and the wait is missed.
            freed.as_mut().enable();
            if self.try_grow(by).is_ok() {
                return;
            }
            freed.await;
        }
    }

    /// Counts so much more, whether there is room or not: it is there already.
    pub(crate) fn count(&mut self, by: u64) {
        self.of.used().add(&self.actor, by);
        self.amount += by;
    }

    /// Takes over what another share of the same actor holds.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.amount += std::mem::take(&mut other.amount);
    }

    /// Gives back so much, at most all of it.
    pub(crate) fn shrink(&mut self, by: u64) {
        let by = by.min(self.amount);
        if by == 0 {
            return;
        }
        self.of.used().take_off(&self.actor, by);
        self.amount -= by;
        self.of.0.freed.notify_waiters();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.amount);
    }
}

impl Used {
    fn add(&mut self, actor: &str, by: u64) {
        if by == 0 {
            return;
        }
        self.all += by;
        match self.by_actor.get_mut(actor) {
            Some(own) => *own += by,
            None => drop(self.by_actor.insert(actor.into(), by)),
        }
    }

    fn take_off(&mut self, actor: &str, by: u64) {
        self.all = self.all.saturating_sub(by);
        if let Some(own) = self.by_actor.get_mut(actor) {
            *own = own.saturating_sub(by);
            if *own == 0 {
                self.by_actor.remove(actor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn shares() -> Shares {
        Shares::new(ShareLimits { per_actor: 3, all: 8 })
    }

    #[test]
    fn inv28_an_actor_has_its_share_and_leaves_the_others_theirs() {
        let shares = shares();
        let ana = shares.acquire("ana", 3).unwrap();
        assert_eq!(shares.acquire("ana", 1).unwrap_err(), Full::Actor);
        assert_eq!(shares.has_room("ana"), Err(Full::Actor));
        assert_eq!(shares.has_room("ben"), Ok(()));
        let mut ben = shares.acquire("ben", 2).unwrap();
        assert_eq!(ben.try_grow(2), Err(Full::Actor), "more than three, and more than it leaves");
        ben.try_grow(1).unwrap();
        let mut cem = shares.acquire("cem", 1).unwrap();
        assert_eq!(cem.try_grow(1), Err(Full::Actor), "no more than it leaves, though it is less than three");
        let dia = shares.acquire("dia", 1).unwrap();
        assert_eq!(shares.acquire("eve", 1).unwrap_err(), Full::All);
        assert_eq!(shares.has_room("eve"), Err(Full::All));
        drop(ana);
        assert_eq!(shares.taken(), 5);
        drop((ben, cem, dia, shares.acquire("eve", 3).unwrap()));
        assert!(shares.used().by_actor.is_empty() && shares.taken() == 0, "who is gone takes no memory");
    }

    #[test]
    fn one_thing_may_be_larger_than_a_share() {
        let shares = shares();
        let mut share = shares.acquire("ana", 4).unwrap();
        assert_eq!(share.try_grow(1), Err(Full::Actor));
        share.count(7);
        assert_eq!(shares.taken(), 11);
        share.shrink(100);
        assert_eq!(shares.taken(), 0);
        share.try_grow(1).unwrap();
    }

    #[test]
    fn who_waits_goes_on_when_some_is_given_back() {
        let shares = shares();
        let mut share = shares.acquire("ana", 3).unwrap();
        let mut more = shares.nothing("ana");
        let mut growing = Box::pin(more.grow(2));
        assert!(growing.as_mut().now_or_never().is_none());
        share.shrink(1);
        assert!(growing.as_mut().now_or_never().is_none());
        share.shrink(1);
        assert!(growing.now_or_never().is_some());
    }
}
