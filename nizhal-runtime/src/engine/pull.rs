//! A pull: the cursor against the buckets of now, then each lane's changes up to the horizon.

use super::{
    Bucket, Engine, PullError, PullPage,
    cursor::{Cursor, Decoded, Lane},
    page::Page,
    scope,
};
use crate::store::{Body, Frame, LaneRead, Position, Snapshot, Tie};
use nizhal_core::{Principal, RuleTable, wire::PullRequest};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Rows in a page when the client does not say.
const DEFAULT_LIMIT: i64 = 1_000;
/// The most rows in a page.
const MAX_LIMIT: i64 = 10_000;
/// A page ends after this many bytes of rows.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// More lanes than this and a gained bucket joins the last one, which then starts again.
const MAX_LANES: usize = 8;

impl Engine {
    /// Answers a pull.
    ///
    /// # Errors
    /// [`PullError::Store`] when the database fails.
    pub async fn pull(&self, principal: &Principal, request: PullRequest) -> Result<PullPage, PullError> {
        let limit = request.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        let limit = usize::try_from(limit).unwrap_or(1);
        let mut snapshot = self.store.snapshot().await?;
        let frame = snapshot.frame(&self.store.scope_args(principal)).await?;
        let scope = scope::buckets(&self.schema, principal, &frame.members);
        let held = self.held(&mut snapshot, &request.cursor.0, &frame).await?;
        let start = start(held, scope.clone(), &frame, &self.fingerprint, !request.cursor.0.is_empty());

        let mut page = Page::new(&self.tables, start.lost.iter().map(Bucket::name).collect());
        let (lanes, truncated) = self.read(&mut snapshot, start.lanes, &frame, limit, &mut page).await?;
        self.keep_rows_still_shown(&mut snapshot, &scope, &mut page).await?;

        let done = lanes.iter().map(|lane| lane.position.done()).min().unwrap_or_default();
        let last_mutation = match &request.device_id {
            Some(device) => snapshot.last_mutation(device, principal.key(), done).await?,
            None => None,
        };
        snapshot.close().await?;

        let cursor = Cursor { epoch: frame.epoch.clone(), rules: self.fingerprint.clone(), lanes };
        let (text, spilled) = cursor.encode();
        if let Some(spilled) = spilled {
            self.store.remember_buckets(&spilled.id, &spilled.buckets).await?;
        }
        let body = page.finish(&text, &frame.epoch, start.reset, truncated, last_mutation);
        Ok(PullPage { body, reset: start.reset })
    }

    /// What the client holds, if its cursor is one of ours and still means something.
    async fn held(&self, snapshot: &mut Snapshot<'_>, text: &str, frame: &Frame) -> Result<Option<Cursor>, PullError> {
        let cursor = match Cursor::decode(text) {
            None => return Ok(None),
            Some(Decoded::Whole(cursor)) => Some(cursor),
            Some(Decoded::Elsewhere(cursor, id)) => {
                snapshot.buckets(&id).await?.and_then(|lists| cursor.with_buckets(&lists))
            }
        };
        // Deletes at or below `collected` may be forgotten; versions above the clock were never drawn here.
        let usable = |cursor: &Cursor| {
            cursor.epoch == frame.epoch
                && cursor.rules == self.fingerprint
                && cursor.lanes.iter().all(|lane| lane.needs_tombstones_after() >= frame.collected)
                && cursor.lanes.iter().all(|lane| lane.position.version.max(lane.floor) <= frame.clock)
        };
        Ok(cursor.filter(usable))
    }

    /// Reads the lanes in turn within the limit; gives them back further on, merged where they meet.
    async fn read(
        &self,
        snapshot: &mut Snapshot<'_>,
        mut lanes: Vec<Lane>,
        frame: &Frame,
        limit: usize,
        page: &mut Page,
    ) -> Result<(Vec<Lane>, bool), PullError> {
        let (mut left, mut bytes, mut truncated) = (limit, MAX_PAGE_BYTES, false);
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
            let (changes, more) = snapshot.lane(&read).await?;
            left -= changes.len().min(left);
            truncated |= more;
            let mut position = Position::after(frame.horizon);
            if more && let Some(change) = changes.last() {
                let tie = Tie { slot: change.slot, key: change.key.clone() };
                position = Position { version: change.version, tie: Some(tie) };
            }
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

/// Where a pull begins.
#[derive(Debug)]
struct Start {
    lanes: Vec<Lane>,
    lost: Vec<Bucket>,
    reset: bool,
}

/// Compares what the client holds with the buckets of now.
fn start(held: Option<Cursor>, mut scope: BTreeSet<Bucket>, frame: &Frame, rules: &str, sent: bool) -> Start {
    let all = scope.clone();
    let fresh = |reset: bool, all: BTreeSet<Bucket>| Start {
        lanes: vec![Lane::fresh(all.into_iter().collect(), frame.horizon)],
        lost: Vec::new(),
        reset,
    };
    let Some(cursor) = held else { return fresh(sent, scope) };
    debug_assert_eq!(cursor.rules, rules, "held() let a foreign cursor through");
    let mut lost = Vec::new();
    let mut lanes = cursor.lanes;
    for lane in &mut lanes {
        let (kept, gone): (Vec<_>, Vec<_>) = lane.buckets.drain(..).partition(|bucket| scope.remove(bucket));
        lane.buckets = kept;
        lost.extend(gone);
    }
    // Wire 1 names a bucket by its bare value. Where another held bucket has the same name, a client told to purge it
    // would purge too much, so it starts again.
    let names: HashSet<String> = all.iter().map(Bucket::name).collect();
    if lost.iter().any(|bucket| names.contains(&bucket.name())) {
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

/// Lanes at the same place become one; lanes without buckets go, but one stays.
fn merge(lanes: Vec<Lane>) -> Vec<Lane> {
    let mut merged: Vec<Lane> = Vec::with_capacity(lanes.len());
    for (at, lane) in lanes.into_iter().enumerate() {
        if at > 0 && lane.buckets.is_empty() {
            continue;
        }
        match merged.iter_mut().find(|other| other.position == lane.position) {
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
