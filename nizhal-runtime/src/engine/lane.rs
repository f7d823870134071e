//! The lanes of a pull: what to ask for them, and how a page takes their changes.

use super::{PullError, cursor::Lane, page::Page};
use crate::store::{Change, LaneRead, Position, PullQuery, PullRows, Tie};
use nizhal_core::{
    Bucket, Principal,
    wire::{PullRequest, Wire},
};
use std::collections::BTreeSet;

/// The plan of a pull: its actor and its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct PullPlan<'a> {
    pub(super) principal: &'a Principal,
    pub(super) max_buckets: usize,
    pub(super) wire: Wire,
    pub(super) request: &'a PullRequest,
    /// How long the moment that it reads may last between two statements; nothing where one statement is enough.
    pub(super) hold_s: Option<u64>,
}

impl PullPlan<'_> {
    /// Whether the client wants to know how many rows are to come.
    pub(super) fn asks_for_total(&self) -> bool {
        self.wire == Wire::Two && self.request.total
    }
}

/// How much a page may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageBudget {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    /// Where it may end.
    pub(super) end: PageEnd,
}

/// Where a page may end before all is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageEnd {
    /// Behind any row.
    Anywhere,
    /// Between transactions, unless one alone is larger than the page.
    BetweenVersions,
    /// Between transactions: the page holds others already.
    NeverInside,
}

/// What to ask the database for, so that these lanes can be read within the room; `gained` changes of the buckets that are in none
/// of them.
pub(super) fn pull_query<'a>(
    plan: PullPlan<'a>,
    lanes: &'a [Lane],
    horizon: i64,
    budget: PageBudget,
    gained: usize,
) -> PullQuery<'a> {
    let last = lanes.len().saturating_sub(1);
    let read = |(index, lane): (usize, &'a Lane)| {
        // As much as `read` will take at most.
        let limit = match index {
            _ if lane.is_done(horizon) => 0,
            _ if index < last => budget.rows.div_ceil(2),
            _ => budget.rows,
        };
        LaneRead { from: &lane.position, floor: lane.floor, buckets: &lane.buckets, limit }
    };
    PullQuery {
        principal: plan.principal,
        client: plan.request.device_id.as_deref(),
        lanes: lanes.iter().enumerate().map(read).collect(),
        gained,
        max_bytes: budget.bytes,
        max_buckets: plan.max_buckets,
    }
}

/// Makes the lanes those that the database was asked for by them: in the buckets that are the actor's, the gained ones as a
/// lane more.
pub(super) fn cover(lanes: &mut Vec<Lane>, mut covered: Vec<Vec<Bucket>>, horizon: i64) {
    let gained = covered.pop().unwrap_or_default();
    for (lane, buckets) in lanes.iter_mut().zip(covered) {
        lane.buckets = buckets;
    }
    if lanes.is_empty() || !gained.is_empty() {
        lanes.push(Lane::fresh(gained, horizon));
    }
}

/// Reads the lanes in turn within the room, and moves them on; true when more waits.
pub(super) async fn read(
    rows: &mut PullRows<'_>,
    lanes: &mut [Lane],
    horizon: i64,
    budget: PageBudget,
    page: &mut Page,
) -> Result<bool, PullError> {
    let (mut left, mut bytes, mut truncated) = (budget.rows, budget.bytes, false);
    let last = lanes.len() - 1;
    for (index, lane) in lanes.iter_mut().enumerate() {
        if lane.is_done(horizon) {
            continue;
        }
        // A lane takes at most half of what is left while others wait, so that none starves.
        let share = if index < last { left.div_ceil(2) } else { left };
        if share == 0 || bytes == 0 {
            truncated = true;
            continue;
        }
        let (mut changes, next) = read_lane(rows, index, share, bytes).await?;
        truncated |= next.is_some();
        lane.position = position_after(&mut changes, next, horizon, budget.end);
        left -= changes.len().min(left);
        for change in changes {
            bytes = bytes.saturating_sub(change.bytes());
            page.push(change);
        }
    }
    Ok(truncated)
}

/// One lane's changes up to these many changes and bytes, and the version of the first that was left.
async fn read_lane(
    rows: &mut PullRows<'_>,
    index: usize,
    limit: usize,
    max_bytes: usize,
) -> Result<(Vec<Change>, Option<i64>), PullError> {
    let (mut changes, mut bytes) = (Vec::new(), 0);
    while let Some(version) = rows.next_in(index).await? {
        if changes.len() == limit || bytes >= max_bytes {
            return Ok((changes, Some(version)));
        }
        let Some(change) = rows.take_change()? else { return Ok((changes, Some(version))) };
        bytes += change.bytes();
        changes.push(change);
    }
    Ok((changes, None))
}

/// Takes back tombstones of rows that another of the actor's buckets shows, and sends those rows in their stead.
///
/// In their stead, because the row itself may have a later version that this page does not reach: a client that lost
/// the other bucket before the next page would otherwise keep the image from the bucket that the row has left.
pub(super) async fn keep_rows_still_shown(
    rows: &mut PullRows<'_>,
    scope: &BTreeSet<Bucket>,
    page: &mut Page,
) -> Result<(), PullError> {
    while page.gone_count() > 0
        && let Some(image) = rows.image().await?
    {
        if scope.contains(&image.bucket) && page.keep(image.change.slot, image.id) {
            page.push(image.change);
        }
    }
    Ok(())
}

/// Where a lane stands after these changes, when the next one is of version `next`.
///
/// A page that would end inside a version gives it back whole, so that a client never shows half a transaction; unless it
/// holds nothing else, for then the version may be larger than any page.
fn position_after(changes: &mut Vec<Change>, next: Option<i64>, horizon: i64, end: PageEnd) -> Position {
    let (Some(next), Some(first), Some(last)) = (next, changes.first(), changes.last()) else {
        return Position::after(horizon);
    };
    if end == PageEnd::NeverInside || end == PageEnd::BetweenVersions && first.version < next {
        changes.retain(|change| change.version < next);
        return Position::after(next - 1);
    }
    Position { version: last.version, tie: Some(Tie { slot: last.slot, key: last.key.clone() }) }
}

/// Lanes at the same place become one, unless one would then hear of deletes from before it was; lanes without buckets go, but
/// one stays.
pub(super) fn merge(lanes: Vec<Lane>) -> Vec<Lane> {
    let mut merged: Vec<Lane> = Vec::with_capacity(lanes.len());
    for (index, lane) in lanes.into_iter().enumerate() {
        if index > 0 && lane.buckets.is_empty() {
            continue;
        }
        let agree = |other: &Lane| other.floor == lane.floor || other.floor.max(lane.floor) <= lane.position.done();
        match merged.iter_mut().find(|other| other.position == lane.position && agree(other)) {
            Some(other) => {
                other.buckets.extend(lane.buckets);
                other.buckets.sort();
                other.floor = other.floor.min(lane.floor);
            }
            None => merged.push(lane),
        }
    }
    merged
}
