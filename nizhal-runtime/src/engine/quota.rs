//! How many answers of one actor are stored at most. Nobody counts them at each push: an actor may file so many more before they are
//! counted again, half of what is left each time, so that it is counted seldom far from its limit, and often near to it.
//!
//! A server knows what it filed itself. Several that share a database may each let an actor file the half of what was left.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// An actor may file this part of the limit before it is counted for the first time.
const UNCOUNTED_PART: u64 = 10;
/// How long an actor that has no room is not counted again, in milliseconds.
const FULL_MS: i64 = 10_000;
/// The most actors that are remembered.
const MAX_ACTORS: usize = 10_000;

/// The answers that actors may still store.
#[derive(Debug)]
pub(in crate::engine) struct AnswerQuota {
    pub(in crate::engine) limit: u64,
    actors: Mutex<HashMap<Box<str>, Allowance>>,
}

/// The answers that one actor may still store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowance {
    /// So many answers, before they are counted.
    Left(u64),
    /// None, until this moment at least, in milliseconds since the Unix epoch.
    FullUntil(i64),
}

/// The decision before a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Spent {
    Allowed,
    Full,
    MustCount,
}

impl AnswerQuota {
    /// Nobody has filed any.
    pub(in crate::engine) fn new(limit: u64) -> Self {
        Self { limit, actors: Mutex::default() }
    }

    /// Takes so many off what the actor may file.
    pub(in crate::engine) fn spend(&self, actor: &str, count: u64, now_ms: i64) -> Spent {
        let mut actors = self.actors();
        if let Some(allowance) = actors.get_mut(actor) {
            return match allowance {
                Allowance::Left(left) if *left >= count => {
                    *left -= count;
                    Spent::Allowed
                }
                Allowance::FullUntil(until_ms) if *until_ms > now_ms => Spent::Full,
                _ => Spent::MustCount,
            };
        }
        let Some(left) = (self.limit / UNCOUNTED_PART).checked_sub(count) else { return Spent::MustCount };
        if actors.len() >= MAX_ACTORS {
            // Whoever is not remembered begins anew, so those that filed the most are.
            actors.retain(
                |_, allowance| !matches!(allowance, Allowance::Left(left) if *left > self.limit / UNCOUNTED_PART / 2),
            );
            if actors.len() >= MAX_ACTORS {
                actors.clear();
            }
        }
        actors.insert(actor.into(), Allowance::Left(left));
        Spent::Allowed
    }

    /// Takes in how many are stored; whether there is room for so many more.
    pub(in crate::engine) fn counted(&self, actor: &str, stored: u64, count: u64, now_ms: i64) -> bool {
        let left = self.limit.saturating_sub(stored);
        let has_room = count <= left;
        let allowance = match has_room {
            true => Allowance::Left((left / 2).max(count) - count),
            false => Allowance::FullUntil(now_ms + FULL_MS),
        };
        self.actors().insert(actor.into(), allowance);
        has_room
    }

    fn actors(&self) -> MutexGuard<'_, HashMap<Box<str>, Allowance>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv28_an_actor_is_counted_the_more_often_the_less_room_it_has() {
        let quota = AnswerQuota::new(1_000);
        assert_eq!(quota.spend("ana", 60, 0), Spent::Allowed);
        assert_eq!(quota.spend("ana", 60, 0), Spent::MustCount);
        assert!(quota.counted("ana", 60, 60, 0));
        assert_eq!(quota.spend("ana", 410, 0), Spent::Allowed, "half of what was left");
        assert_eq!(quota.spend("ana", 1, 0), Spent::MustCount);
        assert_eq!(quota.spend("ben", 100, 0), Spent::Allowed, "another has its own");
        assert_eq!(quota.spend("cem", 101, 0), Spent::MustCount);
    }

    #[test]
    fn inv28_who_has_no_room_is_counted_again_later() {
        let quota = AnswerQuota::new(1_000);
        assert!(!quota.counted("ana", 1_000, 1, 5));
        assert_eq!(quota.spend("ana", 1, 6), Spent::Full);
        assert_eq!(quota.spend("ana", 1, 5 + FULL_MS), Spent::MustCount);
        assert!(quota.counted("ana", 999, 1, 20_000), "exactly as many as it may");
    }

    #[test]
    fn who_filed_little_is_forgotten_first() {
        let quota = AnswerQuota::new(100_000);
        assert_eq!(quota.spend("ana", 9_000, 0), Spent::Allowed);
        for actor in 0..=MAX_ACTORS {
            assert_eq!(quota.spend(&actor.to_string(), 1, 0), Spent::Allowed);
        }
        assert_eq!(quota.spend("ana", 2_000, 0), Spent::MustCount);
        assert!(quota.actors().len() < MAX_ACTORS);
    }
}
