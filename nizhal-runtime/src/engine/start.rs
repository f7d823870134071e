//! Where a pull begins, decided from the first answer's header, the clock and the cursor alone.

use super::{
    cursor::{Cursor, Lane},
    narrowing::{Gained, Narrowing},
};
use crate::{
    scope::TooManyBuckets,
    store::{Clock, Generations, Position, PullHeader, incarnation},
};
use nizhal_core::{Bucket, Rule, RuleTable, wire::Wire};
use std::collections::{BTreeMap, BTreeSet};

/// More lanes than this and a gained bucket joins the last one, which then starts again.
pub(super) const MAX_LANES: usize = 8;

/// The cursor that the client sent, as far as it could be read.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    /// None came.
    Nothing,
    /// One that was read by the keys of before, which the header shows to be others.
    ByOtherKeys,
    /// One that is none of ours, or of another epoch.
    Unknown,
    /// One of ours, and whether it was made in an incarnation of the database that was lost.
    Ours(Cursor, bool),
}

/// The facts of the app and the actor that a pull depends on.
pub(super) struct PullContext<'a> {
    pub(super) wire: Wire,
    /// The rules of now …
    pub(super) rules: &'a [Rule],
    /// … and which of their generations they are of.
    pub(super) generations: &'a Generations,
    /// The actor's buckets of now …
    pub(super) scope: &'a Result<BTreeSet<Bucket>, TooManyBuckets>,
    /// … and which of them the pull gives.
    pub(super) narrowing: &'a Narrowing<'a>,
}

/// Where a pull begins, or what must be done before that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The cursor is to be read again, by the keys of now.
    ReadAgain,
    /// The database began another incarnation, which is to be recorded.
    NewIncarnation,
    /// The clock went back: no cursor of this epoch is any good.
    Rewound,
    /// In these lanes. The client purges what is lost, or, at a reset, all; the buckets of `later` come when these are there.
    From { lanes: Vec<Lane>, lost: Vec<Bucket>, reset: bool, later: Vec<Bucket> },
}

/// Decides where a pull begins.
///
/// # Errors
/// When the actor holds too many buckets.
pub(super) fn decide(
    header: &PullHeader,
    clock: &Clock,
    cursor: Sent,
    context: &PullContext<'_>,
) -> Result<Start, TooManyBuckets> {
    if let Sent::ByOtherKeys = cursor {
        return Ok(Start::ReadAgain);
    }
    if !incarnation::is_restart(&header.recorded_incarnation, &clock.incarnation) {
        return Ok(Start::Rewound);
    }
    if header.recorded_incarnation != clock.incarnation {
        return Ok(Start::NewIncarnation);
    }
    // No delete that it needs may have been forgotten.
    let remembered = |lane: &Lane| lane.needs_tombstones_after() >= header.collected;
    match cursor {
        Sent::Ours(cursor, is_of_lost_incarnation) if is_of_lost_incarnation || cursor.is_ahead_of(clock.last) => {
            Ok(Start::Rewound)
        }
        Sent::Ours(cursor, _) if cursor.lanes.iter().all(remembered) => {
            Ok(from(cursor, context.scope.clone()?, clock.horizon, context))
        }
        Sent::Nothing => Ok(fresh(context.scope.clone()?, clock.horizon, false, context)),
        _ => Ok(fresh(context.scope.clone()?, clock.horizon, true, context)),
    }
}

/// A pull of these buckets from the beginning; with `reset` the client forgets what it has.
fn fresh(buckets: BTreeSet<Bucket>, horizon: i64, reset: bool, context: &PullContext<'_>) -> Start {
    let Gained { now, later } = context.narrowing.next(context.narrowing.wanted(buckets), &[], false);
    Start::From { lanes: vec![Lane::fresh(now, horizon)], lost: Vec::new(), reset, later }
}

/// Compares what the client holds with the buckets of now.
fn from(cursor: Cursor, scope: BTreeSet<Bucket>, horizon: i64, context: &PullContext<'_>) -> Start {
    let mut scope = context.narrowing.wanted(scope);
    let all = scope.clone();
    let mut lost = Vec::new();
    let changed: BTreeSet<&str> = context.changed(&cursor.rules);
    let mut lanes = cursor.lanes;
    if cursor.rules != context.generations.tags {
        // Of a rule that was away, nobody wrote down what was deleted meanwhile.
        let is_vague = |bucket: &Bucket| {
            let then = cursor.rules.get(&bucket.rule);
            !context.fits(bucket) || context.generations.was_absent(&bucket.rule, then)
        };
        if lanes.iter().flat_map(|lane| &lane.buckets).any(is_vague) {
            return fresh(all, horizon, true, context);
        }
        // Slots are counted among the tables of the rules, so a place inside a version means another one now.
        lanes.iter_mut().for_each(|lane| lane.position = Position::after(lane.position.done()));
    }
    for lane in &mut lanes {
        let (kept, gone): (Vec<_>, Vec<_>) = lane.buckets.drain(..).partition(|bucket| scope.remove(bucket));
        lane.buckets = kept;
        lost.extend(gone);
    }
    if lost.iter().any(|lost| all.iter().any(|kept| confusable(context.wire, context.rules, lost, kept))) {
        return fresh(all, horizon, true, context);
    }
    refill(&mut lanes, &changed);
    let Gained { now, later } = context.narrowing.next(scope, &lanes, cursor.is_partial);
    if !now.is_empty() {
        add_lane(&mut lanes, Lane::fresh(now, horizon));
    }
    Start::From { lanes, lost, reset: false, later }
}

impl PullContext<'_> {
    /// The rules that show something else than they did under `then`.
    fn changed(&self, then: &BTreeMap<String, String>) -> BTreeSet<&str> {
        let differs = |(name, now): &(&String, &String)| then.get(*name).is_some_and(|then| then != *now);
        self.generations.tags.iter().filter(differs).map(|(name, _)| name.as_str()).collect()
    }

    /// Whether a bucket of this name can be one of its rule's.
    fn fits(&self, bucket: &Bucket) -> bool {
        self.rules.iter().any(|rule| rule.name == bucket.rule && rule.params.len() == bucket.params.len())
    }
}

/// Reads the buckets of changed rules again, from the beginning. The client keeps what it has of them: provisioning left the
/// exits of what they show no longer, so their tombstones count from where the client was.
fn refill(lanes: &mut Vec<Lane>, changed: &BTreeSet<&str>) {
    let mut again: Option<Lane> = None;
    for lane in lanes.iter_mut() {
        let (out, kept): (Vec<_>, Vec<_>) =
            lane.buckets.drain(..).partition(|bucket| changed.contains(bucket.rule.as_str()));
        lane.buckets = kept;
        if !out.is_empty() {
            let floor = lane.needs_tombstones_after();
            let again = again.get_or_insert_with(|| Lane::fresh(Vec::new(), floor));
            again.floor = again.floor.min(floor);
            again.buckets.extend(out);
        }
    }
    if let Some(lane) = again {
        add_lane(lanes, lane);
    }
}

/// Adds a lane that begins at the beginning; where there are too many, the last one begins again with it.
fn add_lane(lanes: &mut Vec<Lane>, lane: Lane) {
    let full = lanes.len() >= MAX_LANES;
    match lanes.last_mut() {
        Some(last) if full => {
            last.buckets.extend(lane.buckets);
            last.floor = last.needs_tombstones_after().min(lane.floor);
            last.position = Position::default();
        }
        _ => lanes.push(lane),
    }
}

/// Whether a client that is told to purge `lost` could purge what `kept` still shows.
///
/// A wire-1 client hears bare values, so equal names confuse it, also that of a bucket which it never held but which a third rule
/// would put a kept row in; wire 2 names the rule. In both a client cannot know which
/// rule gave it a row, for the other rule may tell rows apart by a constant or by a column that devices never see; so a table
/// in both rules confuses. Such a client starts again, which is dear and safe.
fn confusable(wire: Wire, rules: &[Rule], lost: &Bucket, kept: &Bucket) -> bool {
    if wire == Wire::One && lost.name() == kept.name() {
        return true;
    }
    let Some(keeps) = rules.iter().find(|rule| rule.name == kept.rule) else { return false };
    let mut others = rules.iter().filter(|rule| rule.name != kept.rule);
    others.any(|rule| {
        let may_name = wire == Wire::One && rule.params.len() == lost.params.len();
        let shares = |synced: &RuleTable| keeps.tables.iter().any(|kept| kept.table.name == synced.table.name);
        (rule.name == lost.rule || may_name) && rule.tables.iter().any(shares)
    })
}

#[cfg(test)]
mod tests;
