//! A pull: the cursor against the buckets of now, then each lane's changes up to the horizon.

use super::{
    Engine, Keys, PullError,
    cursor::{Cursor, Decoded, Lane},
    lane::{Asked, Room, ask, cover, keep_rows_still_shown, merge, read},
    page::{Ending, Page},
};
use crate::{
    scope::Choices,
    store::{Clock, Frame, Glance, Position, Snapshot, StoreError, life},
};
use nizhal_core::{
    Bucket, Principal, Rule, RuleTable,
    wire::{PullRequest, Wire},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

/// Rows in a page when the client does not say.
const DEFAULT_LIMIT: i64 = 1_000;
/// The most rows in a page.
const MAX_LIMIT: i64 = 10_000;
/// A page ends after this many bytes of rows.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// More lanes than this and a gained bucket joins the last one, which then starts again.
const MAX_LANES: usize = 8;
/// How long a snapshot that is asked a second time may stay open.
const SECOND_LOOK_S: u64 = 15;

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
        match self.pull_page(principal, wire, &request).await {
            Err(PullError::Store(StoreError::StalePlan(_))) => {
                self.store.renew_connections();
                self.pull_page(principal, wire, &request).await
            }
            answered => answered,
        }
    }

    async fn pull_page(&self, principal: &Principal, wire: Wire, request: &PullRequest) -> Result<PullPage, PullError> {
        let limit = request.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        let limit = usize::try_from(limit).unwrap_or(1);
        let mut page = self.page();
        let room = Room { rows: limit, bytes: MAX_PAGE_BYTES, whole_versions: wire == Wire::Two };
        let asked = Asked { principal, max_buckets: self.max_buckets, wire, request, hold_s: None };
        let (begun, has_more) = self.begin(asked, room, &mut page).await?;
        let ending = self.end(begun, has_more).await?;
        let reset = ending.reset;
        let rows = page.row_count();
        Ok(PullPage { body: page.finish(ending), reset, rows })
    }

    /// Finds where the pull begins and takes the first changes into the page; true when more wait.
    ///
    /// The database is asked before it is known what the device may go on with: by the cursor as the keys of before read it, and
    /// for what is most likely, that its lanes go on. When the frame that comes along shows that the keys are others or that the
    /// pull begins elsewhere, the changes are left unread and it is asked again.
    pub(super) async fn begin<'a>(
        &'a self,
        asked: Asked<'a>,
        room: Room,
        page: &mut Page,
    ) -> Result<(Begun<'a>, bool), PullError> {
        let Asked { principal, wire, request, mut hold_s, .. } = asked;
        let text = match request.cursor.0.as_str() {
            // A client that came from the TypeScript system begins anew; the first version cannot take a reset.
            foreign if wire == Wire::One && Cursor::is_foreign(foreign) => "",
            text => text,
        };
        let mut keys = self.keys();
        let mut decoded = Cursor::decode(text, &keys.secret);
        let mut snapshot = self.open(asked, decoded.as_ref().map_or(&[], Decoded::lanes)).await?;
        let mut other: Option<Vec<Lane>> = None;
        loop {
            // Another time the keys may be others.
            let cursor = decoded.take().or_else(|| Cursor::decode(text, &keys.secret));
            let held = held(&mut snapshot, cursor, &keys).await?;
            let mut lanes = match other.take() {
                Some(lanes) => lanes,
                None => held.as_ref().map(|held| held.lanes.clone()).unwrap_or_default(),
            };
            let clock = snapshot.clock().clone();
            let quiet = snapshot.has_frame() && are_done(&lanes, clock.horizon);
            if let Some(seconds) = hold_s.filter(|_| !quiet) {
                snapshot.hold(seconds).await?;
            }
            let life = life::name(&clock.lives);
            // Before anything else is read, for the answer keeps the snapshot; once a device and life.
            let of_lost_life = match &held {
                Some(held) if held.life != life => !snapshot.has_lived(&held.life, held.place).await?,
                _ => false,
            };
            let ask = ask(asked, &lanes, clock.horizon, room, if quiet { 0 } else { room.rows });
            let mut answer = snapshot.ask(&ask).await?;
            let frame = answer.frame.clone();
            self.same_rules(&frame.rules)?;
            if keys.epoch != frame.epoch || keys.secret != frame.secret {
                keys = self.learn(&frame);
                if !text.is_empty() {
                    continue;
                }
            }
            let is_elsewhere = !life::is_next(&frame.home, &clock.lives);
            let is_born = !is_elsewhere && frame.home != clock.lives;
            let is_lost = of_lost_life || held.as_ref().is_some_and(|held| held.is_ahead_of(clock.last));
            if is_elsewhere || is_born || is_lost {
                drop(answer);
                snapshot.close().await?;
                if is_born {
                    self.store.begin_life(&frame.home, &clock.lives).await?;
                } else {
                    self.rewound(&frame, &clock).await?;
                }
                snapshot = self.store.snapshot().await?;
                continue;
            }
            let scope = Choices::new(&self.schema, principal, &frame.members).buckets(self.max_buckets)?;
            // No delete that it needs may have been forgotten.
            let remembered = |lane: &Lane| lane.needs_tombstones_after() >= frame.collected;
            let held = held.filter(|held| held.lanes.iter().all(remembered));
            let known = Known { rules: self.schema.rules(), fingerprints: &self.rules };
            let start = start(wire, held, scope.clone(), clock.horizon, &known, !text.is_empty());
            let covered = ask.covered(scope.clone());
            cover(&mut lanes, covered, clock.horizon);
            if lanes != start.lanes {
                drop(answer);
                // In one moment with what comes next, so that the second time it must fit.
                hold_s = hold_s.or(Some(SECOND_LOOK_S));
                other = Some(start.lanes);
                continue;
            }
            let has_more = read(&mut answer, &mut lanes, clock.horizon, room, page).await?;
            keep_rows_still_shown(&mut answer, &scope, page).await?;
            drop(answer);
            let Start { lost, reset, .. } = start;
            return Ok((Begun { asked, snapshot, frame, scope, lanes: merge(lanes), lost, reset }, has_more));
        }
    }

    /// Where the pull reads; with the frame, where this server has heard of nothing that the cursor lacks. Heard is not known: the
    /// clock tells.
    async fn open(&self, asked: Asked<'_>, lanes: &[Lane]) -> Result<Snapshot<'_>, PullError> {
        let heard = self.hub.heard();
        let guess = || self.guess.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *guess();
        let is_quiet = before.horizon(heard).is_some_and(|horizon| are_done(lanes, horizon));
        let snapshot = if is_quiet && before.is_trusted() {
            let client = asked.request.device_id.as_deref();
            self.store.glance(Glance { principal: asked.principal, client }).await?
        } else {
            self.store.snapshot().await?
        };
        let horizon = snapshot.clock().horizon;
        let mut guess = guess();
        if is_quiet {
            guess.judge(are_done(lanes, horizon));
        }
        guess.learn(heard, horizon);
        Ok(snapshot)
    }

    /// Takes the next changes of a snapshot that is held into the page; true when more wait.
    pub(super) async fn go_on(&self, begun: &mut Begun<'_>, room: Room, page: &mut Page) -> Result<bool, PullError> {
        let horizon = begun.snapshot.clock().horizon;
        let mut lanes = std::mem::take(&mut begun.lanes);
        let asking = lanes.clone();
        let ask = ask(begun.asked, &asking, horizon, room, room.rows);
        let mut answer = begun.snapshot.ask(&ask).await?;
        let has_more = read(&mut answer, &mut lanes, horizon, room, page).await?;
        keep_rows_still_shown(&mut answer, &begun.scope, page).await?;
        begun.lanes = merge(lanes);
        Ok(has_more)
    }

    /// What an answer says beside its rows; closes the snapshot.
    pub(super) async fn end(&self, begun: Begun<'_>, has_more: bool) -> Result<Ending, PullError> {
        let Begun { asked: Asked { wire, request, .. }, mut snapshot, frame, lanes, lost, reset, .. } = begun;
        let done = lanes.iter().map(|lane| lane.position.done()).min().unwrap_or_default();
        // While more waits nothing is acknowledged: a row of the mutation's that others wrote again comes on a later page, and the
        // client may hold what it was before.
        let last_mutation_id = match (&request.device_id, frame.client) {
            _ if has_more => None,
            (Some(_), Some(client)) if client.outrun => None,
            (Some(_), Some(client)) if client.last_version <= done => Some(client.last),
            (Some(device), Some(client)) => snapshot.last_mutation(device, client.last, done).await?,
            _ => None,
        };
        let Clock { lives, place, .. } = snapshot.clock();
        let (life, place) = (life::name(lives), *place);
        snapshot.close().await?;

        let cursor = Cursor { epoch: frame.epoch.clone(), rules: self.rules.clone(), life, place, lanes };
        let (cursor, spilled) = cursor.encode(&frame.secret);
        if let Some(spilled) = spilled {
            self.store.remember_buckets(&spilled.id, spilled.buckets).await?;
        }
        let removed_buckets = lost.iter().map(|bucket| bucket.name_in(wire)).collect();
        let complete = wire == Wire::Two && !has_more;
        Ok(Ending { removed_buckets, cursor, epoch: frame.epoch, reset, has_more, complete, last_mutation_id })
    }

    /// The database lives elsewhere than before, or a cursor is ahead of the clock or of a life that was lost: the clock went back,
    /// by a restore or a failover to a replica that had less. Versions will be drawn a second time, so no cursor of this epoch is any
    /// good, also those that are not ahead; the epoch is replaced.
    async fn rewound(&self, frame: &Frame, clock: &Clock) -> Result<(), PullError> {
        tracing::warn!(
            home = frame.home,
            lives = clock.lives,
            "the database's clock went back: a new epoch, every device starts again"
        );
        Ok(self.store.mint_epoch(&frame.epoch, &clock.lives).await?)
    }

    /// An empty page.
    pub(super) fn page(&self) -> Page {
        Page::new(&self.tables, &self.repeats)
    }

    fn keys(&self) -> Keys {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, frame: &Frame) -> Keys {
        let keys = Keys { epoch: frame.epoch.clone(), secret: frame.secret.clone() };
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&keys);
        self.store.forget_buckets();
        keys
    }
}

/// Whether a client holds all up to the horizon, of what it held before.
fn are_done(lanes: &[Lane], horizon: i64) -> bool {
    !lanes.is_empty() && lanes.iter().all(|lane| lane.is_done(horizon))
}

/// The cursor, when it is one of ours and of this epoch.
async fn held(snapshot: &mut Snapshot<'_>, decoded: Option<Decoded>, keys: &Keys) -> Result<Option<Cursor>, PullError> {
    let cursor = match decoded {
        None => None,
        Some(Decoded::Whole(cursor)) => Some(cursor),
        Some(Decoded::Elsewhere(cursor, id)) => {
            snapshot.buckets(&id).await?.and_then(|lists| cursor.with_buckets(&lists))
        }
    };
    Ok(cursor.filter(|cursor| cursor.epoch == keys.epoch))
}

/// A pull under way.
pub(super) struct Begun<'a> {
    asked: Asked<'a>,
    pub(super) snapshot: Snapshot<'a>,
    frame: Frame,
    scope: BTreeSet<Bucket>,
    pub(super) lanes: Vec<Lane>,
    lost: Vec<Bucket>,
    reset: bool,
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
    horizon: i64,
    known: &Known<'_>,
    sent: bool,
) -> Start {
    let all = scope.clone();
    let fresh = |reset: bool, all: BTreeSet<Bucket>| Start {
        lanes: vec![Lane::fresh(all.into_iter().collect(), horizon)],
        lost: Vec::new(),
        reset,
    };
    let Some(cursor) = held else { return fresh(sent, scope) };
    let mut lost = Vec::new();
    let changed: BTreeSet<&str> = known.changed(&cursor.rules);
    let mut lanes = cursor.lanes;
    if &cursor.rules != known.fingerprints {
        if lanes.iter().flat_map(|lane| &lane.buckets).any(|bucket| !known.fits(bucket)) {
            return fresh(true, all);
        }
        // Slots are counted among the tables of the rules, so a place inside a version means another one now.
        lanes.iter_mut().for_each(|lane| lane.position = Position::after(lane.position.done()));
    }
    for lane in &mut lanes {
        let (kept, gone): (Vec<_>, Vec<_>) = lane.buckets.drain(..).partition(|bucket| scope.remove(bucket));
        lane.buckets = kept;
        lost.extend(gone);
    }
    if lost.iter().any(|lost| all.iter().any(|kept| confusable(wire, known.rules, lost, kept))) {
        return fresh(true, all);
    }
    refill(&mut lanes, &changed);
    if !scope.is_empty() {
        let gained: Vec<Bucket> = scope.into_iter().collect();
        add_lane(&mut lanes, Lane::fresh(gained, horizon));
    }
    Start { lanes, lost, reset: false }
}

/// The rules of now.
struct Known<'a> {
    rules: &'a [Rule],
    fingerprints: &'a BTreeMap<String, String>,
}

impl Known<'_> {
    /// The rules that show something else than they did under `then`.
    fn changed(&self, then: &BTreeMap<String, String>) -> BTreeSet<&str> {
        let differs = |(name, now): &(&String, &String)| then.get(*name).is_some_and(|then| then != *now);
        self.fingerprints.iter().filter(differs).map(|(name, _)| name.as_str()).collect()
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
