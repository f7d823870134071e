//! The order in which replayed mutations take effect, as the book tells it and apart from the engine: places by the stamps that devices
//! sent, behind those of the same client, behind what is settled, behind the horizon of finality.

use nizhal_core::{Hlc, HlcClock, NodeId};
use std::collections::BTreeMap;

/// How long a mutation may come late, in milliseconds.
const MAX_LATE_MS: i64 = 14 * 86_400_000;

/// A place in the order of a space.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(crate) stamp: Hlc,
    pub(crate) id: String,
}

/// What takes effect at a place.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// A mutation.
    Mutation(Accepted),
    /// What somebody wrote by SQL, past the order.
    Sql(String),
}

/// A mutation that the server took in.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) id: String,
    /// The actor, by its place among the users.
    pub(crate) user: usize,
    pub(crate) name: String,
    pub(crate) args: String,
    pub(crate) client: Option<String>,
    /// Its stamp as its device sent it.
    pub(crate) sent: Option<Hlc>,
}

/// All that happened in a space.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space {
    settled: Option<Turn>,
    /// What took effect, by its place; what was written by SQL stands behind the mutation that was last then.
    deeds: BTreeMap<(Option<Turn>, usize), Deed>,
}

/// All spaces, by rule and bucket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) spaces: BTreeMap<String, Space>,
    /// Mutations of before are not kept any more.
    forgotten: Option<Turn>,
}

impl Turn {
    /// This one, or the next one behind the other.
    fn behind(self, other: Option<&Self>) -> Self {
        match other {
            Some(other) if self <= *other => {
                let (carry, counter) = match other.stamp.counter.checked_add(1) {
                    Some(counter) => (0, counter),
                    None => (1, 0),
                };
                Self { stamp: Hlc { millis: other.stamp.millis + carry, counter, ..other.stamp }, ..self }
            }
            _ => self,
        }
    }

    /// Reads one as the server writes it.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (stamp, id) = text.split_once(' ')?;
        Some(Self { stamp: stamp.parse().ok()?, id: id.to_owned() })
    }
}

/// Where nothing takes its place before any more, at this time of the server's.
fn horizon(now_ms: i64) -> Turn {
    Turn { stamp: Hlc { millis: now_ms - MAX_LATE_MS, counter: 0, node: NodeId(0) }, id: String::new() }
}

impl Space {
    /// What happened, in the order in which it takes effect, each with its place.
    pub(crate) fn deeds(&self) -> impl Iterator<Item = (Option<&Turn>, &Deed)> {
        self.deeds.iter().map(|((turn, _), deed)| (turn.as_ref(), deed))
    }

    /// The last mutation.
    fn head(&self) -> Option<&Turn> {
        self.deeds.keys().next_back().and_then(|(turn, _)| turn.as_ref())
    }

    fn last_of(&self, client: &str) -> Option<&Turn> {
        let own =
            self.deeds.iter().rev().find(
                |(_, deed)| matches!(deed, Deed::Mutation(accepted) if accepted.client.as_deref() == Some(client)),
            );
        own.and_then(|((turn, _), _)| turn.as_ref())
    }

    /// Takes a mutation in at this time of the server's. `found` is where the server has put it, which tells the stamp of one whose own
    /// cannot be followed: it has none, or one that is far ahead. Whether it comes late.
    ///
    /// # Errors
    /// When the place is another.
    pub(crate) fn accept(&mut self, accepted: Accepted, found: &Turn, now_ms: i64) -> Result<bool, String> {
        let latest_ms = now_ms + HlcClock::MAX_AHEAD_MS;
        let stamp = match accepted.sent.filter(|sent| sent.millis <= latest_ms) {
            Some(sent) => sent,
            // Its stamp is of the server's clock, which only the server knows within what it follows.
            None if (now_ms..=latest_ms + 1).contains(&found.stamp.millis) => found.stamp,
            None => Hlc { millis: now_ms, counter: 0, node: NodeId(0) },
        };
        let turn = Turn { stamp, id: accepted.id.clone() };
        let last = accepted.client.as_deref().and_then(|client| self.last_of(client));
        let turn = turn.behind(last).behind(self.settled.as_ref()).behind(Some(&horizon(now_ms)));
        let is_own = accepted.sent.is_some_and(|sent| sent.millis <= latest_ms);
        if is_own && turn != *found {
            return Err(format!("inv37: {} takes effect at {found:?}, not at {turn:?}", accepted.name));
        }
        let turn = if is_own { turn } else { found.clone() };
        let is_late = self.head().is_some_and(|head| turn < *head);
        self.deeds.insert((Some(turn), 0), Deed::Mutation(accepted));
        Ok(is_late)
    }

    /// Somebody writes a row of it past the order: nothing takes its place before that any more.
    pub(crate) fn write(&mut self, sql: &str) {
        let (head, count) = (self.head().cloned(), self.deeds.len());
        self.settle();
        self.deeds.insert((head, 1 + count), Deed::Sql(sql.to_owned()));
    }

    fn settle(&mut self) {
        if let Some(head) = self.head() {
            self.settled = Some(head.clone());
        }
    }
}

impl Order {
    /// Nothing takes its place before what happened until now.
    pub(crate) fn settle(&mut self) {
        self.spaces.values_mut().for_each(Space::settle);
    }

    /// What is older than the horizon is settled and forgotten; how many mutations.
    pub(crate) fn forget(&mut self, now_ms: i64) -> usize {
        let horizon = horizon(now_ms);
        let mut count = 0;
        for space in self.spaces.values_mut() {
            let is_old = |turn: &Option<Turn>| {
                turn.as_ref()
                    .is_some_and(|turn| *turn < horizon && self.forgotten.as_ref().is_none_or(|last| turn >= last))
            };
            let old = space.deeds.iter().filter(|((turn, _), deed)| matches!(deed, Deed::Mutation(_)) && is_old(turn));
            let old = old.count();
            if old > 0 && space.settled.as_ref().is_none_or(|settled| *settled < horizon) {
                space.settled = Some(horizon.clone());
            }
            count += old;
        }
        if self.forgotten.as_ref().is_none_or(|last| *last < horizon) {
            self.forgotten = Some(horizon);
        }
        count
    }
}
