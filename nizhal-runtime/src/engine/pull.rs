//! A pull: the cursor against the buckets of now, then each lane's changes up to the horizon.
//!
//! Decision: book/src/decisions/pulling.md#a-pull-on-postgres-is-the-horizon-and-one-statement

use super::{
    Engine, Keys, PullError,
    cursor::{Cursor, Decoded, Lane},
    image::{Offers, Placed, fresh_buckets},
    incarnation::is_of_lost_incarnation,
    lane::{PageBudget, PageEnd, PullPlan, cover, keep_rows_still_shown, merge, pull_query, read},
    narrowing::Narrowing,
    page::{Page, Trailer},
    start::{PullContext, Sent, Start, decide},
};
use crate::{
    scope::Choices,
    store::{Clock, IdleProbe, LaneRead, PullHeader, PullReader, StoreError, incarnation},
};
use nizhal_core::{
    Bucket, Principal,
    wire::{PullRequest, RevisedMutation, Wire},
};
use std::{collections::BTreeSet, sync::PoisonError};

/// Rows in a page when the client does not say.
const DEFAULT_LIMIT: i64 = 1_000;
/// The most rows in a page.
const MAX_LIMIT: i64 = 10_000;
/// A page ends after this many bytes of rows.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How long a snapshot may stay open for a second query.
const SECOND_QUERY_HOLD_S: u64 = 15;

/// One answer of a pull: the JSON body, ready to send.
#[derive(Debug)]
pub struct PullPage {
    /// The response body.
    pub body: Vec<u8>,
    /// Whether it carries `cursorReset`.
    pub reset: bool,
    /// How many live rows are in it.
    pub rows: usize,
}

impl Engine {
    /// Answers a pull with one page.
    ///
    /// # Errors
    /// [`PullError::Store`] when the database fails.
    pub async fn pull(&self, principal: &Principal, wire: Wire, request: PullRequest) -> Result<PullPage, PullError> {
        // On the heap, lest every caller's future be as large as the store's.
        match Box::pin(self.pull_page(principal, wire, &request)).await {
            Err(PullError::Store(StoreError::StalePlan(_))) => {
                self.store.renew_connections();
                Box::pin(self.pull_page(principal, wire, &request)).await
            }
            Err(PullError::Store(StoreError::UnknownTriggers)) => {
                self.store.check_triggers().await?;
                Box::pin(self.pull_page(principal, wire, &request)).await
            }
            answered => answered,
        }
    }

    async fn pull_page(&self, principal: &Principal, wire: Wire, request: &PullRequest) -> Result<PullPage, PullError> {
        let limit = request.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        let limit = usize::try_from(limit).unwrap_or(1);
        let mut page = self.page();
        let end = if wire == Wire::Two { PageEnd::BetweenVersions } else { PageEnd::Anywhere };
        let budget = PageBudget { rows: limit, bytes: MAX_PAGE_BYTES, end };
        let plan = PullPlan { principal, max_buckets: self.max_buckets, wire, request, hold_s: None };
        let (mut begun, has_more) = self.begin(plan, budget, &mut page).await?;
        let total = self.total(&mut begun, page.row_count(), has_more).await?;
        let trailer = self.end(begun, has_more, page.row_count(), total).await?;
        let reset = trailer.reset;
        let rows = page.row_count();
        Ok(PullPage { body: page.finish(trailer), reset, rows })
    }

    /// Finds where the pull begins and takes the first changes into the page; true when more wait.
    ///
    /// The database is asked before it is known what the device may go on with: by the cursor as the keys of before read it, and
    /// for what is most likely, that its lanes go on. When the header that comes along shows that the keys are others or that the
    /// pull begins elsewhere, the changes are left unread and it is asked again.
    pub(super) async fn begin<'a>(
        &'a self,
        plan: PullPlan<'a>,
        budget: PageBudget,
        page: &mut Page,
    ) -> Result<(Begun<'a>, bool), PullError> {
        let PullPlan { principal, wire, request, mut hold_s, .. } = plan;
        let text = text_of(wire, request);
        let mut keys = self.keys();
        let mut decoded = Cursor::decode(text, &keys.secret, principal.key());
        let mut reader = self.open(plan, decoded.as_ref().map_or(&[], Decoded::lanes)).await?;
        let mut other: Option<Vec<Lane>> = None;
        let narrowing = Narrowing::new(self.schema.rules(), wire, request);
        let may_leave_out = narrowing.may_leave_out();
        let (takes_images, mut offers) = (self.takes_images(wire, request), None::<Offers>);
        loop {
            // Another time the keys may be others.
            let decoded = decoded.take().or_else(|| Cursor::decode(text, &keys.secret, principal.key()));
            let cursor = cursor_of_epoch(&mut reader, decoded, &keys).await?;
            let of_cursor = || cursor.as_ref().map(|cursor| cursor.lanes.clone());
            let since =
                of_cursor().and_then(|lanes| lanes.iter().map(|lane| lane.position.done()).min()).unwrap_or_default();
            let mut lanes = other.take().or_else(of_cursor).unwrap_or_default();
            let clock = reader.clock().clone();
            let is_idle = reader.has_header() && are_done(&lanes, clock.horizon);
            // Of such a page the header comes first, and in the same moment the rows.
            let is_row_page = plan.hold_s.is_none()
                && !takes_images
                && reader.gives_row_pages()
                && needs_rows_alone(&lanes, clock.horizon);
            hold_s = hold_s.or(is_row_page.then_some(SECOND_QUERY_HOLD_S));
            if let Some(seconds) = hold_s.filter(|_| !is_idle) {
                reader.hold(seconds).await?;
            }
            let is_of_lost_incarnation = is_of_lost_incarnation(&mut reader, cursor.as_ref(), &clock).await?;
            // Of what an image has, nothing need be read; which one there is depends on the header.
            let is_for_images = takes_images && text.is_empty() && offers.is_none();
            let rows = if is_row_page { 0 } else { budget.rows };
            // Which buckets come now depends on the header too.
            let gained = if is_idle || is_for_images || may_leave_out { 0 } else { rows };
            let pull_query = pull_query(plan, &lanes, clock.horizon, PageBudget { rows, ..budget }, gained);
            let mut pull_rows = reader.query(&pull_query).await?;
            let header = pull_rows.header.clone();
            self.same_rules(&header.rules)?;
            if let Some(fingerprint) = &header.triggers {
                self.store.know_triggers(fingerprint)?;
            }
            let scope = Choices::new(&self.schema, principal, &header.members).buckets(self.max_buckets);
            let sent = self.sent(text, &mut keys, &header, cursor.map(|cursor| (cursor, is_of_lost_incarnation)));
            let generations = self.generations(&header);
            let (rules, generations, narrowing) = (self.schema.rules(), &*generations, &narrowing);
            let context = PullContext { wire, rules, generations, scope: &scope, narrowing };
            match decide(&header, &clock, sent, &context)? {
                Start::ReadAgain => {}
                start @ (Start::NewIncarnation | Start::Rewound) => {
                    drop(pull_rows);
                    reader.close().await?;
                    self.record_incarnation(&header, &clock, start == Start::Rewound).await?;
                    reader = self.store.reader().await?;
                }
                Start::From { lanes: mut begin, lost, reset, later } => {
                    let scope = scope?;
                    let fresh = if takes_images { fresh_buckets(&begin) } else { BTreeSet::new() };
                    if !fresh.is_empty() && !offers.as_ref().is_some_and(|offers| offers.are_for(&fresh)) {
                        drop(pull_rows);
                        let context = (&header, generations, &clock);
                        let found = Box::pin(self.offers(&mut reader, (principal, request), context, fresh)).await?;
                        found.place(&mut begin);
                        offers = Some(found);
                        hold_s = hold_s.or(Some(SECOND_QUERY_HOLD_S));
                        other = Some(begin);
                        continue;
                    }
                    let placed = offers.as_ref().map(|offers| offers.place(&mut begin)).unwrap_or_default();
                    // A row that only a bucket shows which the device has not got is gone from it.
                    let shown = match may_leave_out {
                        true => begin.iter().flat_map(|lane| &lane.buckets).cloned().collect(),
                        false => scope.clone(),
                    };
                    if is_row_page && !begin.is_empty() && needs_rows_alone(&begin, clock.horizon) {
                        drop(pull_rows);
                        let mut begun =
                            Begun { plan, reader, header, shown, lanes: begin, lost, reset, later, placed, since };
                        let has_more = Box::pin(self.read_rows_alone(&mut begun, budget, page)).await?;
                        return Ok((begun, has_more));
                    }
                    let covered = pull_query.covered(scope);
                    cover(&mut lanes, covered, clock.horizon);
                    if lanes == begin {
                        let has_more = read(&mut pull_rows, &mut lanes, clock.horizon, budget, page).await?;
                        keep_rows_still_shown(&mut pull_rows, &shown, page).await?;
                        drop(pull_rows);
                        let lanes = merge(lanes);
                        return Ok((
                            Begun { plan, reader, header, shown, lanes, lost, reset, later, placed, since },
                            has_more,
                        ));
                    }
                    drop(pull_rows);
                    // In one moment with what comes next, so that the second time it must fit.
                    hold_s = hold_s.or(Some(SECOND_QUERY_HOLD_S));
                    other = Some(begin);
                }
            }
        }
    }

    /// The cursor of this text, by the keys of now, which are learnt.
    fn sent(&self, text: &str, keys: &mut Keys, header: &PullHeader, cursor: Option<(Cursor, bool)>) -> Sent {
        let are_others = keys.epoch != header.epoch || keys.secret != header.secret;
        if are_others {
            *keys = self.learn(header);
        }
        match cursor {
            _ if text.is_empty() => Sent::Nothing,
            _ if are_others => Sent::ByOtherKeys,
            Some((cursor, is_of_lost_incarnation)) => Sent::Ours(cursor, is_of_lost_incarnation),
            None => Sent::Unknown,
        }
    }

    /// The reader of the pull; with the header, where this server predicts that nothing is new. The clock then confirms it or not.
    async fn open(&self, plan: PullPlan<'_>, lanes: &[Lane]) -> Result<PullReader<'_>, PullError> {
        let write_count = self.hub.write_count();
        let predictor = || self.predictor.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *predictor();
        let predicts_idle = before.horizon(write_count).is_some_and(|horizon| are_done(lanes, horizon));
        let reader = if predicts_idle && before.is_trusted() {
            let client = plan.request.device_id.as_deref();
            self.store.idle_probe(IdleProbe { principal: plan.principal, client }).await?
        } else {
            self.store.reader().await?
        };
        let horizon = reader.clock().horizon;
        let mut predictor = predictor();
        if predicts_idle {
            predictor.judge(are_done(lanes, horizon));
        }
        predictor.learn(write_count, horizon);
        Ok(reader)
    }

    /// Reads the first rows of the one lane, and the changes behind them where all rows below its floor came; true when more wait.
    async fn read_rows_alone(
        &self,
        begun: &mut Begun<'_>,
        budget: PageBudget,
        page: &mut Page,
    ) -> Result<bool, PullError> {
        let horizon = begun.reader.clock().horizon;
        let Begun { reader, lanes, .. } = begun;
        let mut bytes = budget.bytes;
        if let [lane] = lanes.as_mut_slice() {
            let to = lane.floor.min(horizon);
            let read = LaneRead { from: &lane.position, floor: lane.floor, buckets: &lane.buckets, limit: budget.rows };
            if let Some(rows) = reader.row_page(&read, to, budget.bytes).await? {
                lane.position = rows.position;
                rows.unreadable.into_iter().for_each(|change| page.push(change));
                for (slot, json, count) in rows.rows {
                    bytes = bytes.saturating_sub(json.len());
                    page.push_rows(slot, json, count);
                }
                let left = budget.rows.saturating_sub(page.row_count());
                if lane.is_done(horizon) || !lane.is_done(to) || left == 0 || bytes == 0 {
                    return Ok(!lane.is_done(horizon));
                }
            }
        }
        let rows = budget.rows.saturating_sub(page.row_count());
        let end =
            if page.row_count() > 0 && budget.end != PageEnd::Anywhere { PageEnd::NeverInside } else { budget.end };
        self.go_on(begun, PageBudget { rows, bytes, end }, page).await
    }

    /// Adds the next changes of a snapshot that is held to the page; true when more wait.
    pub(super) async fn go_on(
        &self,
        begun: &mut Begun<'_>,
        budget: PageBudget,
        page: &mut Page,
    ) -> Result<bool, PullError> {
        let horizon = begun.reader.clock().horizon;
        let mut lanes = std::mem::take(&mut begun.lanes);
        let asking = lanes.clone();
        let pull_query = pull_query(begun.plan, &asking, horizon, budget, 0);
        let mut pull_rows = begun.reader.query(&pull_query).await?;
        let has_more = read(&mut pull_rows, &mut lanes, horizon, budget, page).await?;
        keep_rows_still_shown(&mut pull_rows, &begun.shown, page).await?;
        begun.lanes = merge(lanes);
        Ok(has_more)
    }

    /// The trailer of a page; closes the snapshot.
    pub(super) async fn end(
        &self,
        begun: Begun<'_>,
        has_more: bool,
        rows: usize,
        total: Option<u64>,
    ) -> Result<Trailer, PullError> {
        let Begun { plan, mut reader, header, lanes, lost, reset, later, placed, since, .. } = begun;
        let PullPlan { wire, request, principal, .. } = plan;
        self.demand_images(&placed, rows, has_more);
        let done = lanes.iter().map(|lane| lane.position.done()).min().unwrap_or_default();
        let complete = wire == Wire::Two && !has_more;
        let (is_partial, has_more) = (has_more, has_more || !later.is_empty());
        // While more waits nothing is acknowledged: a row of the mutation's that others wrote again comes on a later page, and the
        // client may hold what it was before.
        let last_mutation_id = match (&request.device_id, header.client) {
            _ if has_more => None,
            (Some(_), Some(client)) if client.outrun => None,
            (Some(_), Some(client)) if client.last_version <= done => Some(client.last),
            (Some(device), Some(client)) => reader.last_mutation(device, client.last, done).await?,
            _ => None,
        };
        let revised = match &request.device_id {
            Some(device) if wire == Wire::Two && !has_more && self.replays && since < done => {
                let revised = reader.revised((device, principal.key()), since, done).await?;
                revised.into_iter().map(|(id, status, reason)| RevisedMutation::of(id, &status, reason)).collect()
            }
            _ => Vec::new(),
        };
        let Clock { incarnation, wal_lsn, .. } = reader.clock();
        let (incarnation, wal_lsn) = (incarnation::name(incarnation), *wal_lsn);
        reader.close().await?;

        let rules = self.generations(&header).tags.clone();
        let cursor = Cursor { epoch: header.epoch.clone(), rules, incarnation, wal_lsn, is_partial, lanes };
        let (cursor, spilled) = cursor.encode(&header.secret, principal.key());
        if let Some(spilled) = spilled {
            self.store.remember_buckets(&spilled.id, spilled.buckets).await?;
        }
        let removed_buckets = lost.iter().map(|bucket| bucket.name_in(wire)).collect();
        let later = later.into_iter().filter(|_| wire == Wire::Two);
        let later_rules = later.map(|bucket| bucket.rule).collect();
        let (lists_unreadable, unreadable) = (wire == Wire::Two, BTreeSet::new());
        let epoch = header.epoch;
        Ok(Trailer {
            removed_buckets,
            cursor,
            epoch,
            reset,
            has_more,
            complete,
            later_rules,
            total,
            last_mutation_id,
            images: placed.images,
            revised,
            unreadable,
            lists_unreadable,
        })
    }

    /// Records that the database began another incarnation; or, where its clock went back, gives it a new epoch.
    ///
    /// It went back where the database is on another cluster than before, or a cursor is ahead of the clock or of an incarnation that was
    /// lost: by a restore or a failover to a replica that had less. Versions will be drawn a second time, so no cursor of this epoch is any
    /// good, also those that are not ahead.
    async fn record_incarnation(&self, header: &PullHeader, clock: &Clock, is_rewound: bool) -> Result<(), PullError> {
        if !is_rewound {
            return Ok(self.store.record_new_incarnation(&header.recorded_incarnation, &clock.incarnation).await?);
        }
        tracing::warn!(
            recorded_incarnation = header.recorded_incarnation,
            incarnation = clock.incarnation,
            "the database's clock went back: a new epoch, every device starts again"
        );
        Ok(self.store.mint_epoch(&header.epoch, &clock.incarnation).await?)
    }

    /// An empty page.
    pub(super) fn page(&self) -> Page {
        Page::new(&self.tables, &self.repeats)
    }

    fn keys(&self) -> Keys {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, header: &PullHeader) -> Keys {
        let keys = Keys { epoch: header.epoch.clone(), secret: header.secret.clone() };
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&keys);
        self.store.forget_buckets();
        keys
    }
}

/// Whether the first rows of these lanes need no tombstones: those of one lane below its floor, or of one that is yet to be made.
fn needs_rows_alone(lanes: &[Lane], horizon: i64) -> bool {
    match lanes {
        [] => true,
        [lane] => lane.position.done() < lane.floor.min(horizon),
        _ => false,
    }
}

/// Whether a client holds all up to the horizon, of what it held before.
fn are_done(lanes: &[Lane], horizon: i64) -> bool {
    !lanes.is_empty() && lanes.iter().all(|lane| lane.is_done(horizon))
}

/// The cursor that the client sent; nothing in the place of one of another system, with which a client begins anew: the first
/// version of the wire cannot take a reset.
fn text_of(wire: Wire, request: &PullRequest) -> &str {
    match request.cursor.0.as_str() {
        foreign if wire == Wire::One && Cursor::is_foreign(foreign) => "",
        text => text,
    }
}

/// The cursor, when it is one of ours and of this epoch.
async fn cursor_of_epoch(
    reader: &mut PullReader<'_>,
    decoded: Option<Decoded>,
    keys: &Keys,
) -> Result<Option<Cursor>, PullError> {
    let cursor = match decoded {
        None => None,
        Some(Decoded::Whole(cursor)) => Some(cursor),
        Some(Decoded::Elsewhere(cursor, id)) => {
            reader.buckets(&id).await?.and_then(|lists| cursor.with_buckets(&lists))
        }
    };
    Ok(cursor.filter(|cursor| cursor.epoch == keys.epoch))
}

/// A pull under way.
pub(super) struct Begun<'a> {
    pub(super) plan: PullPlan<'a>,
    pub(super) reader: PullReader<'a>,
    header: PullHeader,
    /// The buckets whose rows the device has after it.
    shown: BTreeSet<Bucket>,
    pub(super) lanes: Vec<Lane>,
    lost: Vec<Bucket>,
    reset: bool,
    /// The buckets that the device gets when these are there.
    pub(super) later: Vec<Bucket>,
    pub(super) placed: Placed,
    /// The version up to which the device had everything; 0 of one that begins.
    since: i64,
}
