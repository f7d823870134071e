//! How much running again one server does: how long a rewind is at most, and how many mutations run again for one actor in a minute.
//!
//! Without a budget, one device whose clock is wrong, or whose user means it, has the server run 2,000 mutations again at each of its pushes,
//! while all others of the space wait. What is beyond is not refused: it takes effect last, and its device hears so. A server knows what it
//! did itself; several that share a database each have a budget for an actor.
//!
//! Decision: book/src/decisions/replay.md#what-is-too-dear-takes-effect-last

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long a budget lasts, in milliseconds.
const BUDGET_MS: i64 = 60_000;
/// The most actors that are remembered.
const MAX_ACTORS: usize = 10_000;

/// The bounds of mutations that take their places late.
#[derive(Clone, Copy, Debug)]
pub struct ReplayBounds {
    /// The most mutations that run again for those that one push brings late; 2,000.
    pub max_rewound: u32,
    /// How long they may run; 2 seconds.
    pub max_duration: Duration,
    /// How many run again in a minute for what one actor sends; 10,000.
    pub reruns_a_minute: u32,
    /// How many mutations of a space can be run again at most; what is older is settled once an hour. 20,000.
    pub max_actions: u32,
}

impl Default for ReplayBounds {
    fn default() -> Self {
        let max_duration = Duration::from_secs(2);
        Self { max_rewound: 2_000, max_duration, reruns_a_minute: 10_000, max_actions: 20_000 }
    }
}

/// The mutations that ran again for each actor.
#[derive(Debug, Default)]
pub(in crate::engine) struct Reruns {
    /// Since when, in milliseconds since the Unix epoch, and how many.
    actors: Mutex<HashMap<Box<str>, (i64, u32)>>,
}

impl Reruns {
    /// Takes so many from what may run again for this actor. False, and nothing is taken, where that is more than is left.
    pub(in crate::engine) fn spend(&self, bounds: &ReplayBounds, actor: &str, count: u32, now_ms: i64) -> bool {
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        if actors.len() >= MAX_ACTORS && !actors.contains_key(actor) {
            actors.retain(|_, (since_ms, _)| is_under_way(*since_ms, now_ms));
            if actors.len() >= MAX_ACTORS {
                return false;
            }
        }
        let (since_ms, spent) = actors.entry(actor.into()).or_insert((now_ms, 0));
        if !is_under_way(*since_ms, now_ms) {
            (*since_ms, *spent) = (now_ms, 0);
        }
        let total = spent.saturating_add(count);
        let is_within = total <= bounds.reruns_a_minute;
        if is_within {
            *spent = total;
        }
        is_within
    }

    /// Counts a rewind that took too long as the longest.
    pub(in crate::engine) fn took_too_long(&self, bounds: &ReplayBounds, actor: &str) {
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, spent)) = actors.get_mut(actor) {
            *spent = spent.saturating_add(bounds.max_rewound);
        }
    }
}

/// Whether a budget that began then is not over. A clock that was put back begins another.
fn is_under_way(since_ms: i64, now_ms: i64) -> bool {
    (0..BUDGET_MS).contains(&now_ms.saturating_sub(since_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv38_an_actor_has_a_budget_for_each_minute() {
        let (bounds, reruns) = (ReplayBounds::default(), Reruns::default());
        for _ in 0..5 {
            assert!(reruns.spend(&bounds, "ana", 2_000, 0));
        }
        assert!(!reruns.spend(&bounds, "ana", 1, 59_999));
        assert!(reruns.spend(&bounds, "ben", 2_000, 59_999), "another has its own");
        assert!(reruns.spend(&bounds, "ana", 2_000, 60_000), "and so has the next minute");
        reruns.took_too_long(&bounds, "ana");
        assert!(reruns.spend(&bounds, "ana", 6_000, 60_001));
        assert!(!reruns.spend(&bounds, "ana", 1, 60_002));
    }

    #[test]
    fn inv38_actors_of_before_are_not_remembered_for_ever() {
        let (bounds, reruns) = (ReplayBounds::default(), Reruns::default());
        for actor in 0..MAX_ACTORS {
            assert!(reruns.spend(&bounds, &actor.to_string(), 1, 0));
        }
        assert!(!reruns.spend(&bounds, "ana", 1, 1));
        assert!(reruns.spend(&bounds, "ana", 1, BUDGET_MS));
    }
}
