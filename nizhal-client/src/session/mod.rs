//! The schedule of sync as a pure state machine: events in, actions out; no I/O, no clock, no randomness of its own.

mod check;
mod direction;
mod event;
mod phase;
mod plan;
mod react;
mod status;

#[cfg(test)]
mod tests;

pub use event::{Action, Event, Memory, Millis, PullStored, PushStored, Received, UploadEnded};
pub use status::{Failure, FailureKind, Phase, Progress, Repair, Status};

use direction::Direction;
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
    /// How often a mutation is sent at which the server fails, before it becomes a dead letter and those behind it go on.
    pub fault_tries: u32,
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
            fault_tries: 8,
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
        heard_at: Millis,
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
    /// When the request under way last showed a sign of life.
    alive: Millis,
    /// It shows none any more and was given up.
    hung: bool,
    /// Something may be new on the server.
    wants_pull: bool,
    /// The same, told after the pull under way was asked: its answer may be older than that.
    news: bool,
    /// The rows do not show yet what the server has answered.
    owes_pull: bool,
    /// Out of touch: a pull comes before the next push, for the same reason as in [`Parting::Pull`].
    away: bool,
    pull: Direction,
    push: Direction,
    /// Uploads go beside the exchange: a large blob must not hold up rows and mutations.
    uploads: Direction,
    /// An upload is under way.
    uploading: bool,
    /// How many mutations the next push carries at most.
    most: usize,
    /// How often the server failed at the first waiting mutation when it was sent alone, and did answer a pull since.
    faults: u32,
    /// Whether the server answered a pull since it last failed at a push.
    pulled_since_fault: bool,
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
    /// The rows of the answers that were stored since it began.
    stored_rows: u64,
    last_synced_ms: Option<Millis>,
    repairs: u32,
    last_repair: Option<Repair>,
    timer: Option<Millis>,
    published: Option<Status>,
}

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
            alive: 0,
            hung: false,
            wants_pull: true,
            news: false,
            owes_pull: false,
            away: true,
            pull: Direction::default(),
            push: Direction::default(),
            uploads: Direction::default(),
            uploading: false,
            most,
            faults: 0,
            pulled_since_fault: true,
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
            stored_rows: 0,
            last_synced_ms: None,
            repairs: 0,
            last_repair: None,
            timer: None,
            published: None,
        }
    }

    /// Applies one event. Returns the actions that it asks for.
    pub fn handle(&mut self, event: Event, now: Millis) -> Vec<Action> {
        let mut actions = Vec::new();
        self.apply(event, now, &mut actions);
        self.advance(now, &mut actions);
        self.arm(now, &mut actions);
        let status = self.status();
        if self.published.as_ref() != Some(&status) {
            self.published = Some(status.clone());
            actions.push(Action::PublishStatus(Box::new(status)));
        }
        check::check(self, &actions);
        actions
    }
}
