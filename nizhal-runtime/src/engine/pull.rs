//! A pull: the cursor against the buckets of now, then each lane's changes up to the horizon.

use super::{
    Bucket, Engine, PullError, PullPage,
    cursor::{Cursor, Decoded, Lane},
    page::{Ending, Page},
    scope,
};
use crate::store::{Body, Change, Frame, LaneRead, Position, Snapshot, Tie};
use nizhal_core::{
    Principal, Rule, RuleTable,
    wire::{PullRequest, Wire},
};
use std::collections::{BTreeMap, BTreeSet};

/// Rows in a page when the client does not say.
const DEFAULT_LIMIT: i64 = 1_000;
/// The most rows in a page.
const MAX_LIMIT: i64 = 10_000;
/// A page ends after this many bytes of rows.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// More lanes than this and a gained bucket joins the last one, which then starts again.
const MAX_LANES: usize = 8;

impl Engine {
    /// Answers a pull with one page.
    ///
    /// # Errors
    /// [`PullError::Store`] when the database fails.
    pub async fn pull(&self, principal: &Principal, wire: Wire, request: PullRequest) -> Result<PullPage, PullError> {
        let limit = request.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        let limit = usize::try_from(limit).unwrap_or(1);
        let mut begun = self.begin(principal, wire, &request).await?;
        let mut page = Page::new(&self.tables);
        let room = Room { rows: limit, bytes: MAX_PAGE_BYTES, whole_versions: wire == Wire::Two };
        let has_more = self.fill(&mut begun, room, &mut page).await?;
        let ending = self.end(principal, wire, &request, begun, has_more).await?;
        let reset = ending.reset;
        Ok(PullPage { body: page.finish(ending), reset })
    }

    /// A snapshot, and where the pull begins in it.
    pub(super) async fn begin(
        &self,
        principal: &Principal,
        wire: Wire,
        request: &PullRequest,
    ) -> Result<Begun<'_>, PullError> {
        let (snapshot, frame, held) = self.look(principal, &request.cursor.0).await?;
        let scope = scope::buckets(&self.schema, principal, &frame.members);
        let sent = !request.cursor.0.is_empty();
        let start = start(wire, held, scope.clone(), &frame, self.schema.rules(), sent);
        Ok(Begun { snapshot, frame, scope, lanes: start.lanes, lost: start.lost, reset: start.reset })
    }

    /// Takes the next changes into the page; true when more wait.
    pub(super) async fn fill(&self, begun: &mut Begun<'_>, room: Room, page: &mut Page) -> Result<bool, PullError> {
        let lanes = std::mem::take(&mut begun.lanes);
        let (lanes, has_more) = self.read(&mut begun.snapshot, lanes, &begun.frame, room, page).await?;
        begun.lanes = lanes;
        self.keep_rows_still_shown(&mut begun.snapshot, &begun.scope, page).await?;
        Ok(has_more)
    }

    /// What an answer says beside its rows; closes the snapshot.
    pub(super) async fn end(
        &self,
        principal: &Principal,
        wire: Wire,
        request: &PullRequest,
        begun: Begun<'_>,
        has_more: bool,
    ) -> Result<Ending, PullError> {
        let Begun { mut snapshot, frame, lanes, lost, reset, .. } = begun;
        let done = lanes.iter().map(|lane| lane.position.done()).min().unwrap_or_default();
        // While more waits nothing is acknowledged: a row of the mutation's that others wrote again comes on a later page, and the
        // client may hold what it was before.
        let last_mutation_id = match &request.device_id {
            Some(device) if !has_more => snapshot.last_mutation(device, principal.key(), done).await?,
            _ => None,
        };
        snapshot.close().await?;

        let cursor = Cursor { epoch: frame.epoch.clone(), rules: self.fingerprint.clone(), lanes };
        let (cursor, spilled) = cursor.encode(&frame.secret);
        if let Some(spilled) = spilled {
            self.store.remember_buckets(&spilled.id, &spilled.buckets).await?;
        }
        let removed_buckets = lost.iter().map(|bucket| bucket.name_in(wire)).collect();
        let complete = wire == Wire::Two && !has_more;
        Ok(Ending { removed_buckets, cursor, epoch: frame.epoch, reset, has_more, complete, last_mutation_id })
    }

    /// A snapshot, its frame, and what the client holds.
    ///
    /// A database that lives elsewhere than its epoch was minted, or a cursor ahead of the clock, means that the clock went back:
    /// a restore, a failover to a replica that had less. Versions will be drawn a second time, so no cursor of this epoch is any
    /// good, also those that are not ahead; the epoch is replaced and the look is taken again.
    async fn look(
        &self,
        principal: &Principal,
        text: &str,
    ) -> Result<(Snapshot<'_>, Frame, Option<Cursor>), PullError> {
        loop {
            let mut snapshot = self.store.snapshot().await?;
            let frame = snapshot.frame(&self.store.scope_args(principal)).await?;
            let held = read_cursor(&mut snapshot, text, &frame).await?;
            let ahead = |lane: &Lane| lane.position.version.max(lane.floor) > frame.clock;
            let rewound = held.as_ref().is_some_and(|held| held.lanes.iter().any(ahead));
            if frame.home == frame.lives && !rewound {
                let held = held.filter(|held| self.usable(held, &frame));
                return Ok((snapshot, frame, held));
            }
            snapshot.close().await?;
            tracing::warn!(
                home = frame.home,
                lives = frame.lives,
                "the database's clock went back: a new epoch, every device starts again"
            );
            self.store.mint_epoch(&frame.epoch, &frame.lives).await?;
        }
    }

    /// Whether the cursor's memory is complete: its rules are those of now, and no delete that it needs was forgotten.
    fn usable(&self, cursor: &Cursor, frame: &Frame) -> bool {
        cursor.rules == self.fingerprint
            && cursor.lanes.iter().all(|lane| lane.needs_tombstones_after() >= frame.collected)
    }

    /// Reads the lanes in turn within the limit; gives them back further on, merged where they meet.
    async fn read(
        &self,
        snapshot: &mut Snapshot<'_>,
        mut lanes: Vec<Lane>,
        frame: &Frame,
        room: Room,
        page: &mut Page,
    ) -> Result<(Vec<Lane>, bool), PullError> {
        let (mut left, mut bytes, mut truncated) = (room.rows, room.bytes, false);
        let last = lanes.len() - 1;
        for (at, lane) in lanes.iter_mut().enumerate() {
            if lane.position.version >= frame.horizon && lane.position.tie.is_none() {
                continue;
            }
            // A lane takes at most half of what is left while others wait, so that none starves.
            let share = if at < last { left.div_ceil(2) } else { left };
            if share == 0 || bytes == 0 {
                truncated = true;
                continue;
            }
            let read = LaneRead {
                from: &lane.position,
                to: frame.horizon,
                floor: lane.floor,
                buckets: &lane.buckets,
                limit: share,
                max_bytes: bytes,
            };
            let (mut changes, next) = snapshot.lane(&read).await?;
            truncated |= next.is_some();
            let position = position_after(&mut changes, next, frame.horizon, room.whole_versions);
            left -= changes.len().min(left);
            for change in changes {
                if let Body::Row(row) = &change.body {
                    bytes = bytes.saturating_sub(row.len());
                }
                page.take(change);
            }
            lane.position = position;
        }
        Ok((merge(lanes), truncated))
    }

    /// Takes back tombstones of rows that another of the actor's buckets shows, and sends those rows in their stead.
    ///
    /// In their stead, because the row itself may have a later version that this page does not reach: a client that lost
    /// the other bucket before the next page would otherwise keep the image from the bucket that the row has left.
    async fn keep_rows_still_shown(
        &self,
        snapshot: &mut Snapshot<'_>,
        scope: &BTreeSet<Bucket>,
        page: &mut Page,
    ) -> Result<(), PullError> {
        for (slot, ids) in page.gone() {
            let table = self.tables[slot];
            let synced: Vec<(&str, &RuleTable)> = self
                .schema
                .rules()
                .iter()
                .flat_map(|rule| rule.tables.iter().map(|synced| (rule.name, synced)))
                .filter(|(_, synced)| synced.table.name == table.name)
                .collect();
            let keys: BTreeMap<Vec<String>, String> = ids
                .into_iter()
                .filter_map(|id| {
                    let parts = if table.key.len() == 1 { vec![id.clone()] } else { serde_json::from_str(&id).ok()? };
                    Some((parts, id))
                })
                .collect();
            let parts: Vec<Vec<String>> = keys.keys().cloned().collect();
            for image in snapshot.images(&synced, &parts).await? {
                if scope.contains(&image.bucket)
                    && let Some(id) = keys.get(&image.change.key)
                {
                    page.keep(slot, id);
                    page.take(image.change);
                }
            }
        }
        Ok(())
    }
}

/// The cursor, when it is one of ours and of this epoch.
async fn read_cursor(snapshot: &mut Snapshot<'_>, text: &str, frame: &Frame) -> Result<Option<Cursor>, PullError> {
    let cursor = match Cursor::decode(text, &frame.secret) {
        None => None,
        Some(Decoded::Whole(cursor)) => Some(cursor),
        Some(Decoded::Elsewhere(cursor, id)) => {
            snapshot.buckets(&id).await?.and_then(|lists| cursor.with_buckets(&lists))
        }
    };
    Ok(cursor.filter(|cursor| cursor.epoch == frame.epoch))
}

/// A pull under way.
pub(super) struct Begun<'a> {
    pub(super) snapshot: Snapshot<'a>,
    frame: Frame,
    scope: BTreeSet<Bucket>,
    lanes: Vec<Lane>,
    lost: Vec<Bucket>,
    reset: bool,
}

/// How much a page may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    /// Whether it ends between transactions where it can.
    pub(super) whole_versions: bool,
}

/// Where a lane stands after these changes, when the next one is of version `next`.
///
/// A page that would end inside a version gives it back whole, so that a client never shows half a transaction; unless it
/// holds nothing else, for then the version may be larger than any page.
fn position_after(changes: &mut Vec<Change>, next: Option<i64>, horizon: i64, whole_versions: bool) -> Position {
    let (Some(next), Some(first), Some(last)) = (next, changes.first(), changes.last()) else {
        return Position::after(horizon);
    };
    if whole_versions && first.version < next {
        changes.retain(|change| change.version < next);
        return Position::after(next - 1);
    }
    Position { version: last.version, tie: Some(Tie { slot: last.slot, key: last.key.clone() }) }
}

/// Where a pull begins.
#[derive(Debug)]
struct Start {
    lanes: Vec<Lane>,
    lost: Vec<Bucket>,
    reset: bool,
}

/// Compares what the client holds with the buckets of now.
fn start(
    wire: Wire,
    held: Option<Cursor>,
    mut scope: BTreeSet<Bucket>,
    frame: &Frame,
    rules: &[Rule],
    sent: bool,
) -> Start {
    let all = scope.clone();
    let fresh = |reset: bool, all: BTreeSet<Bucket>| Start {
        lanes: vec![Lane::fresh(all.into_iter().collect(), frame.horizon)],
        lost: Vec::new(),
        reset,
    };
    let Some(cursor) = held else { return fresh(sent, scope) };
    let mut lost = Vec::new();
    let mut lanes = cursor.lanes;
    for lane in &mut lanes {
        let (kept, gone): (Vec<_>, Vec<_>) = lane.buckets.drain(..).partition(|bucket| scope.remove(bucket));
        lane.buckets = kept;
        lost.extend(gone);
    }
    if lost.iter().any(|lost| all.iter().any(|kept| confusable(wire, rules, lost, kept))) {
        return fresh(true, all);
    }
    if !scope.is_empty() {
        let gained: Vec<Bucket> = scope.into_iter().collect();
        if lanes.len() < MAX_LANES {
            lanes.push(Lane::fresh(gained, frame.horizon));
        } else if let Some(lane) = lanes.last_mut() {
            lane.buckets.extend(gained);
            lane.position = Position::default();
        }
    }
    Start { lanes, lost, reset: false }
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

/// Lanes at the same place become one, unless one would then hear of deletes from before it was; lanes without buckets go, but
/// one stays.
fn merge(lanes: Vec<Lane>) -> Vec<Lane> {
    let mut merged: Vec<Lane> = Vec::with_capacity(lanes.len());
    for (at, lane) in lanes.into_iter().enumerate() {
        if at > 0 && lane.buckets.is_empty() {
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
