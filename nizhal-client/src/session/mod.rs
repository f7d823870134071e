//! The schedule of sync as a pure state machine: events in, actions out; no I/O, no clock, no randomness of its own.

mod check;
mod event;
mod lane;
mod status;

#[cfg(test)]
mod tests;

pub use event::{Action, Event, Memory, Millis, PullStored, PushStored};
pub use status::{Failure, FailureKind, Phase, Progress, Repair, Status};

use lane::{Lane, backoff_ms};
use nizhal_core::Random;

/// The knobs of the schedule.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether there is a server at all.
    pub server: bool,
    /// Whether to listen for pings.
    pub realtime: bool,
    /// The first wait after a failure.
    pub first_wait_ms: Millis,
    /// The longest wait.
    pub longest_wait_ms: Millis,
    /// How often to ask while pings come, and while none can.
    pub poll_ms: (Millis, Millis),
    /// How long the stream may be silent before a sign of life is asked for.
    pub heartbeat_ms: Millis,
    /// How long something may be wanted without moving before the watchdog steps in.
    pub stall_ms: Millis,
    /// The most mutations in one push.
    pub batch: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: true,
            realtime: true,
            first_wait_ms: 500,
            longest_wait_ms: 60_000,
            poll_ms: (300_000, 15_000),
            heartbeat_ms: 10_000,
            stall_ms: 90_000,
            batch: 500,
        }
    }
}

/// What is under way. One at a time, so that what the server answers is stored in the order that it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exchange {
    Pulling,
    StoringPull,
    Pushing,
    StoringPush,
    /// A step in the store alone.
    Mending,
    Refreshing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credentials {
    Good,
    /// Renewed after a refusal, and not accepted yet: the next refusal is final.
    Renewed,
    Bad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Closed,
    Opening,
    /// `pinged` when a sign of life was asked for since the last frame.
    Open {
        heard: Millis,
        pinged: bool,
    },
}

/// What to do about a sequence that has parted from the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
    None,
    /// Pull first: a server that was restored is known by our cursor, until writes have moved its clock.
    Pull,
    Rotate,
}

/// One device's schedule.
#[derive(Clone, Debug)]
pub struct Session {
    settings: Settings,
    random: Random,
    started: bool,
    leads: bool,
    follows: bool,
    online: bool,
    memory: Memory,
    exchange: Option<Exchange>,
    /// Something may be new on the server.
    wants_pull: bool,
    /// The rows do not show yet what the server has answered.
    owes_pull: bool,
    /// Out of touch: a pull comes before the next push, for the same reason as in [`Parting::Pull`].
    away: bool,
    pull: Lane,
    push: Lane,
    /// How many mutations the next push carries at most.
    most: usize,
    parting: Parting,
    partings: u32,
    /// Since when whole snapshots lack what the server said it applied.
    unseen_since: Option<Millis>,
    credentials: Credentials,
    upgrade: Option<Failure>,
    /// The store is gone or broken: nothing more can be done with it.
    lost: Option<Failure>,
    /// Whether a first sync may still be asked for as lines: one that was cut is asked for in pages, which go on where they were.
    lines: bool,
    stream: Stream,
    stream_failures: u32,
    stream_at: Option<Millis>,
    poll_at: Option<Millis>,
    lead_at: Option<Millis>,
    reached: bool,
    progress: Progress,
    last_synced_ms: Option<Millis>,
    repairs: u32,
    last_repair: Option<Repair>,
    timer: Option<Millis>,
    said: Option<Status>,
}

/// How long a follower waits before it tries to lead.
const LEAD_MS: Millis = 1_000;

impl Session {
    /// A session that was told nothing yet; `seed` decides its jitter.
    pub fn new(settings: Settings, seed: &str) -> Self {
        let most = settings.batch;
        Self {
            settings,
            random: Random::of(seed),
            started: false,
            leads: false,
            follows: false,
            online: false,
            memory: Memory::default(),
            exchange: None,
            wants_pull: true,
            owes_pull: false,
            away: true,
            pull: Lane::default(),
            push: Lane::default(),
            most,
            parting: Parting::None,
            partings: 0,
            unseen_since: None,
            credentials: Credentials::Good,
            upgrade: None,
            lost: None,
            lines: true,
            stream: Stream::Closed,
            stream_failures: 0,
            stream_at: None,
            poll_at: None,
            lead_at: None,
            reached: false,
            progress: Progress::default(),
            last_synced_ms: None,
            repairs: 0,
            last_repair: None,
            timer: None,
            said: None,
        }
    }

    /// Takes one event; what is to be done about it.
    pub fn handle(&mut self, event: Event, now: Millis) -> Vec<Action> {
        let mut actions = Vec::new();
        self.take(event, now, &mut actions);
        self.advance(now, &mut actions);
        self.arm(now, &mut actions);
        let status = self.status();
        if self.said.as_ref() != Some(&status) {
            self.said = Some(status.clone());
            actions.push(Action::Say(status));
        }
        check::check(self, &actions);
        actions
    }

    fn take(&mut self, event: Event, now: Millis, actions: &mut Vec<Action>) {
        match event {
            Event::Started(memory) => {
                self.started = true;
                self.memory = memory;
                if self.settings.server {
                    actions.push(Action::Lead);
                }
            }
            Event::Leads(leads) => {
                (self.leads, self.follows) = (leads, !leads);
                self.lead_at = (!leads).then_some(now + LEAD_MS);
            }
            Event::Wrote(memory) => self.memory = memory,
            Event::Online => {
                self.online = true;
                self.again();
            }
            Event::Offline => {
                (self.online, self.away, self.reached) = (false, true, false);
                if matches!(self.exchange, Some(Exchange::Pulling | Exchange::Pushing | Exchange::Refreshing)) {
                    actions.push(Action::Abort);
                }
                if self.stream != Stream::Closed {
                    self.stream = Stream::Closed;
                    actions.push(Action::CloseStream);
                }
            }
            Event::SignedIn | Event::Nudge => self.again(),
            Event::Timer => self.tick(now, actions),
            Event::PullAnswered => {
                self.exchange = Some(Exchange::StoringPull);
                actions.push(Action::StorePull);
            }
            Event::PullProgress { rows } if self.exchange == Some(Exchange::Pulling) => self.progress.rows = rows,
            Event::PullProgress { .. } => {}
            Event::PullFailed(failure) => {
                // What came in goes on counting as a sign that the line works; the rest is asked for in pages.
                self.lines = false;
                self.failed(failure, now, actions);
            }
            Event::PullStored(stored) => self.pulled(stored, now),
            Event::PushAnswered => {
                self.exchange = Some(Exchange::StoringPush);
                actions.push(Action::StorePush);
            }
            Event::PushFailed(failure) => self.push_failed(failure, now, actions),
            Event::PushStored(stored) => self.pushed(stored, now),
            Event::Done(memory) => {
                self.exchange = None;
                self.memory = memory;
                self.most = self.settings.batch;
            }
            Event::StoreFailed(failure) => self.failed(failure, now, actions),
            Event::StoreLost(failure) => self.lost = Some(failure),
            Event::TokenRefreshed => {
                (self.exchange, self.credentials) = (None, Credentials::Renewed);
                (self.pull.at, self.push.at, self.stream_at) = (None, None, None);
            }
            Event::TokenFailed(failure) => {
                self.exchange = None;
                // Whoever gives out tokens may be out of reach, as the server may be.
                match failure.kind {
                    FailureKind::Unauthorized => self.credentials = Credentials::Bad,
                    FailureKind::Aborted => {}
                    _ => self.both_failed(&failure, now),
                }
            }
            Event::StreamOpened => {
                self.stream = Stream::Open { heard: now, pinged: false };
                self.stream_failures = 0;
                // Pings that came while nobody listened are made up for.
                self.wants_pull = true;
                (self.pull.at, self.push.at) = (None, None);
            }
            Event::StreamClosed { unauthorized } => self.stream_closed(unauthorized, now),
            Event::Frame { repull } => {
                if let Stream::Open { .. } = self.stream {
                    self.stream = Stream::Open { heard: now, pinged: false };
                }
                self.wants_pull |= repull;
            }
        }
    }

    /// Somebody says that it is worth trying.
    fn again(&mut self) {
        self.wants_pull = true;
        (self.pull.at, self.push.at, self.stream_at) = (None, None, None);
        (self.upgrade, self.stream_failures) = (None, 0);
        if self.credentials == Credentials::Bad {
            self.credentials = Credentials::Good;
        }
    }

    fn tick(&mut self, now: Millis, actions: &mut Vec<Action>) {
        if self.lead_at.is_some_and(|at| now >= at) {
            self.lead_at = None;
            actions.push(Action::Lead);
        }
        if self.poll_at.is_some_and(|at| now >= at) {
            self.poll_at = None;
            self.wants_pull = true;
            // A server may have been told to take older apps again, or credentials may have been mended elsewhere.
            self.upgrade = None;
            if self.credentials == Credentials::Bad {
                self.credentials = Credentials::Good;
            }
        }
        if let Stream::Open { heard, pinged } = self.stream
            && now - heard >= self.settings.heartbeat_ms
        {
            if pinged && now - heard >= 2 * self.settings.heartbeat_ms {
                // Nobody is there any more, though no one has said so.
                actions.push(Action::CloseStream);
                self.stream_closed(false, now);
            } else if !pinged {
                self.stream = Stream::Open { heard, pinged: true };
                actions.push(Action::Ping);
            }
        }
    }

    fn stream_closed(&mut self, unauthorized: bool, now: Millis) {
        if self.stream == Stream::Closed {
            return;
        }
        self.stream = Stream::Closed;
        self.stream_failures = self.stream_failures.saturating_add(1);
        self.stream_at = Some(now + backoff_ms(&self.settings, self.stream_failures, &mut self.random));
        if unauthorized {
            // The next request finds out whether the credentials can be renewed.
            self.wants_pull = true;
        }
    }

    fn pulled(&mut self, stored: PullStored, now: Millis) {
        self.exchange = None;
        self.memory = stored.memory;
        self.contact();
        if !stored.moved && !stored.complete {
            let text = "the server says that more waits, but its cursor does not move";
            let failure = Failure::new(FailureKind::Refused, "cursor_stands_still", text);
            return self.pull.failed(failure, now, &self.settings, &mut self.random);
        }
        self.pull.moved();
        if stored.rotated {
            self.parting = Parting::None;
        }
        if stored.complete {
            (self.away, self.wants_pull, self.owes_pull, self.lines) = (false, false, false, true);
            self.last_synced_ms = Some(now);
            self.progress.rows = 0;
            if self.parting == Parting::Pull || self.is_forgotten(now) {
                self.parting = Parting::Rotate;
            }
        } else {
            self.wants_pull = true;
        }
    }

    /// Whether the server must have lost what it said it applied: a restored one does not say so to a cursor that is older than
    /// its copy. Sending it again is harmless where it only takes long to show.
    fn is_forgotten(&mut self, now: Millis) -> bool {
        let since = (self.memory.unseen > 0).then(|| self.unseen_since.unwrap_or(now));
        let forgotten = since.is_some_and(|since| now - since >= self.settings.stall_ms);
        self.unseen_since = since.filter(|_| !forgotten);
        forgotten
    }

    fn pushed(&mut self, stored: PushStored, now: Millis) {
        self.exchange = None;
        self.memory = stored.memory;
        self.contact();
        if stored.answered > 0 {
            self.push.moved();
            self.progress.sent += stored.answered as u64;
            self.most = self.settings.batch;
            // Our own writes come back as rows.
            (self.wants_pull, self.owes_pull) = (true, true);
        }
        if stored.parted {
            self.partings += 1;
            // Each identity of the device may part from the server's memory once; a fresh one cannot.
            if self.partings <= 2 {
                (self.parting, self.away, self.wants_pull) = (Parting::Pull, true, true);
                return;
            }
        } else if stored.answered > 0 {
            self.partings = 0;
            return;
        }
        self.partings = 0;
        let text = "the server does not follow this device's sequence";
        let failure = Failure::new(FailureKind::OutOfOrder, "out_of_order", text);
        self.push.failed(failure, now, &self.settings, &mut self.random);
    }

    fn push_failed(&mut self, failure: Failure, now: Millis, actions: &mut Vec<Action>) {
        let too_much = matches!(failure.kind, FailureKind::TooLarge | FailureKind::BadRequest);
        if !too_much {
            return self.failed(failure, now, actions);
        }
        self.contact();
        let sent = self.most.min(self.memory.waiting);
        if sent > 1 {
            // One of them is at fault: the rest must not wait for it.
            (self.exchange, self.most) = (None, sent.div_ceil(2));
        } else {
            self.exchange = Some(Exchange::Mending);
            actions.push(Action::Park(failure));
        }
    }

    /// The exchange under way failed.
    fn failed(&mut self, failure: Failure, now: Millis, actions: &mut Vec<Action>) {
        let exchange = self.exchange.take();
        let pushing = matches!(exchange, Some(Exchange::Pushing | Exchange::StoringPush | Exchange::Mending));
        if failure.is_reached() {
            self.reached = true;
        }
        match failure.kind {
            FailureKind::Aborted => {}
            FailureKind::StoreLost => self.lost = Some(failure),
            FailureKind::Unauthorized if self.credentials == Credentials::Good && self.online => {
                self.exchange = Some(Exchange::Refreshing);
                actions.push(Action::RefreshToken);
            }
            FailureKind::Unauthorized => self.credentials = Credentials::Bad,
            FailureKind::UpgradeRequired => {
                self.away = true;
                self.upgrade = Some(failure);
            }
            FailureKind::Network => {
                (self.away, self.reached) = (true, false);
                self.both_failed(&failure, now);
            }
            _ => {
                self.away = true;
                let lane = if pushing { &mut self.push } else { &mut self.pull };
                lane.failed(failure, now, &self.settings, &mut self.random);
            }
        }
    }

    /// What stops one direction stops the other.
    fn both_failed(&mut self, failure: &Failure, now: Millis) {
        for lane in [&mut self.pull, &mut self.push] {
            lane.failed(failure.clone(), now, &self.settings, &mut self.random);
        }
    }

    /// The server answered as a server does.
    fn contact(&mut self) {
        self.reached = true;
        self.credentials = Credentials::Good;
        self.upgrade = None;
    }

    fn may_exchange(&self) -> bool {
        let here = self.started && self.settings.server && self.leads && self.online;
        here && self.lost.is_none() && self.credentials != Credentials::Bad
    }

    /// Begins what is due.
    fn advance(&mut self, now: Millis, actions: &mut Vec<Action>) {
        if self.memory.waiting == 0 {
            self.progress.sent = 0;
        }
        let open = self.may_exchange() && self.settings.realtime && self.upgrade.is_none();
        if open && self.stream == Stream::Closed && self.stream_at.is_none_or(|at| now >= at) {
            (self.stream, self.stream_at) = (Stream::Opening, None);
            actions.push(Action::OpenStream);
        }
        let working = self.may_exchange() && self.upgrade.is_none();
        self.push.watch(working && self.memory.waiting > 0, now);
        self.pull.watch(working && self.wants_pull, now);
        if self.exchange.is_some() || !working {
            return;
        }
        if self.mend(now, actions) {
            return;
        }
        if self.parting == Parting::Rotate {
            self.parting = Parting::None;
            self.exchange = Some(Exchange::Mending);
            return actions.push(Action::Rotate);
        }
        let pull_first = self.parting == Parting::Pull || (self.away && self.memory.has_cursor);
        let push = self.memory.waiting > 0 && self.push.is_ready(now);
        if push && !pull_first {
            self.exchange = Some(Exchange::Pushing);
            actions.push(Action::Push { most: self.most.min(self.memory.waiting) });
        } else if (self.wants_pull || push) && self.pull.is_ready(now) {
            self.wants_pull = true;
            self.exchange = Some(Exchange::Pulling);
            actions.push(Action::Pull { streamed: self.lines && !self.memory.has_cursor && !self.memory.staging });
        }
    }

    /// The watchdog: what stands still is mended once, then told of. Whether it began something.
    fn mend(&mut self, now: Millis, actions: &mut Vec<Action>) -> bool {
        for lane in [&mut self.pull, &mut self.push] {
            if lane.is_stalled(now, &self.settings) && !lane.repaired {
                let text = "nothing moves, and nobody says why";
                let unknown = || Failure::new(FailureKind::Refused, "no_progress", text);
                let cause = lane.error.clone().unwrap_or_else(unknown);
                (lane.repaired, lane.since, lane.at) = (true, Some(now), None);
                self.repairs += 1;
                self.last_repair = Some(Repair { cause, at_ms: now });
                self.exchange = Some(Exchange::Mending);
                (self.wants_pull, self.away) = (true, true);
                actions.push(Action::Repair);
                return true;
            }
        }
        false
    }

    /// Sets the one timer to what is due next.
    fn arm(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let (pinged, unpinged) = self.settings.poll_ms;
        if !self.started || !self.settings.server {
            return;
        }
        if self.online && self.leads {
            let every = if matches!(self.stream, Stream::Open { .. }) { pinged } else { unpinged };
            let at = self.poll_at.unwrap_or(now + every).min(now + every);
            self.poll_at = Some(at);
        } else {
            self.poll_at = None;
        }
        let mut next = [self.poll_at, self.lead_at].into_iter().flatten().min();
        let mut sooner = |at: Millis| next = Some(next.map_or(at, |next| next.min(at)));
        if self.may_exchange() && self.upgrade.is_none() {
            if self.exchange.is_none() {
                let wanted =
                    [(&self.pull, self.wants_pull || self.memory.waiting > 0), (&self.push, self.memory.waiting > 0)];
                for (lane, wanted) in wanted {
                    if let (true, Some(at)) = (wanted, lane.at.filter(|&at| at > now)) {
                        sooner(at);
                    }
                    if let (false, Some(since)) = (lane.repaired, lane.since) {
                        sooner((since + self.settings.stall_ms).max(now + 1));
                    }
                }
            }
            if let (Stream::Closed, Some(at)) = (self.stream, self.stream_at) {
                sooner(at.max(now + 1));
            }
            if let Stream::Open { heard, pinged } = self.stream {
                let beats = if pinged { 2 } else { 1 };
                sooner((heard + beats * self.settings.heartbeat_ms).max(now + 1));
            }
        }
        if next != self.timer {
            self.timer = next;
            actions.push(Action::SetTimer(next));
        }
    }

    /// What an app shows.
    pub fn status(&self) -> Status {
        let error = self.push.error.as_ref().or(self.pull.error.as_ref());
        Status {
            phase: self.phase(),
            pending: self.memory.waiting,
            parked: self.memory.parked,
            realtime: matches!(self.stream, Stream::Open { .. }),
            last_synced_ms: self.last_synced_ms,
            error: error.cloned(),
            repairs: self.repairs,
            last_repair: self.last_repair.clone(),
        }
    }

    fn phase(&self) -> Phase {
        if let Some(failure) = &self.lost {
            return Phase::Stuck(failure.clone());
        }
        if !self.settings.server {
            return Phase::Local;
        }
        if self.follows {
            return Phase::Follower;
        }
        if !self.started || !self.leads || !self.online {
            return Phase::Offline;
        }
        if self.credentials == Credentials::Bad {
            return Phase::SignedOut;
        }
        if let Some(failure) = &self.upgrade {
            return Phase::UpgradeRequired(failure.clone());
        }
        let stuck = [&self.push, &self.pull].into_iter().filter(|lane| lane.repaired);
        if let Some(failure) = stuck.filter_map(|lane| lane.error.as_ref()).next() {
            return Phase::Stuck(failure.clone());
        }
        if !self.reached {
            return Phase::Connecting;
        }
        let waits = self.memory.waiting > 0 || self.owes_pull || self.progress.rows > 0;
        if waits || self.away || !self.memory.complete || self.memory.staging {
            return Phase::CatchingUp(Progress { waiting: self.memory.waiting as u64, ..self.progress });
        }
        Phase::Live
    }
}
