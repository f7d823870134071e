//! What an app shows of its sync.

use super::{Millis, Received};
use nizhal_core::BlobHash;

/// Why an exchange did not succeed, as the scheduler needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// No answer: no network, a cut connection, a time-out.
    Network,
    /// We gave it up ourselves.
    Aborted,
    /// An answer that is not the protocol's; a portal's page, or one that was mangled.
    Malformed,
    /// The server says: later.
    Busy,
    /// The server failed at the request, and may fail at it again.
    ServerError,
    /// The credentials are not good.
    Unauthorized,
    /// This app is older than the server supports.
    UpgradeRequired,
    /// More than the server takes in one request.
    TooLarge,
    /// The server does not understand the request.
    BadRequest,
    /// Refused otherwise.
    Refused,
    /// The server lacks blobs that a mutation names.
    BlobMissing,
    /// The server does not follow this device's sequence.
    OutOfOrder,
    /// The device's own store failed.
    Store,
    /// The device's own store is broken or gone: opening it again rebuilds it.
    StoreLost,
}

/// A failure with its words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    /// What may be done about it.
    pub kind: FailureKind,
    /// For machines: the server's code, or one of ours.
    pub code: String,
    /// For people.
    pub message: String,
    /// How long the server asks to wait.
    pub retry_after_ms: Option<Millis>,
    /// The blobs that the server lacks.
    pub blobs: Vec<BlobHash>,
}

impl Failure {
    /// A failure without a wish for when to try again.
    pub fn new(kind: FailureKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, code: code.into(), message: message.into(), retry_after_ms: None, blobs: Vec::new() }
    }

    /// Whether the server, or somebody in its place, was reached.
    pub fn is_reached(&self) -> bool {
        !matches!(self.kind, FailureKind::Network | FailureKind::Aborted)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// How far an exchange of much has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Rows received since it began.
    pub rows: u64,
    /// How many there will be, as far as the server said at the beginning of a first sync; never too few of what it had then.
    pub total: Option<u64>,
    /// Mutations answered since the outbox was last empty.
    pub sent: u64,
    /// Mutations that still wait.
    pub waiting: u64,
}

impl Progress {
    /// From 0 to 1, where it can be known: of the rows in a first sync, and else of the outbox.
    pub fn fraction(&self) -> Option<f64> {
        let (part, all) = match self.total {
            Some(total) => (self.rows, total),
            None if self.waiting > 0 => (self.sent, self.sent + self.waiting),
            None => return None,
        };
        #[expect(clippy::cast_precision_loss, reason = "a fraction for a progress bar")]
        (all > 0).then(|| part as f64 / all as f64)
    }

    /// Takes in how much of an answer has come, after so many rows of answers before it. It never goes back: what comes a second time, because
    /// an answer was cut, counts once it is more than before.
    pub(super) fn receive(&mut self, before: u64, received: Received) {
        if let Some(total) = received.total {
            self.total = self.total.max(Some(before + total));
        }
        let rows = self.rows.max(before + received.rows);
        self.rows = self.total.map_or(rows, |total| rows.min(total.max(self.rows)));
    }
}

/// Where sync stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// There is no server.
    Local,
    /// Another process of this device syncs the same store.
    Follower,
    /// No network.
    Offline,
    /// Trying to reach the server; `Status::error` says why it is not reached yet.
    Connecting,
    /// Rows or mutations are on their way.
    CatchingUp(Progress),
    /// All that the server had when last asked is here, and nothing waits.
    Live,
    /// The server is reached and still nothing moves: repair did not help, or the server fails each time. Sync goes on trying.
    Stuck(Failure),
    /// The app is too old for the server: writes are kept and wait for its update.
    UpgradeRequired(Failure),
    /// The credentials are no good: the app must sign in again.
    SignedOut,
}

/// What the watchdog did when nothing moved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repair {
    /// What had stopped.
    pub cause: Failure,
    /// When.
    pub at_ms: Millis,
}

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// Where sync stands.
    pub phase: Phase,
    /// Mutations that wait for the server's answer.
    pub pending: usize,
    /// Those of them that wait for the upload of a blob.
    pub held: usize,
    /// Blobs that are to be uploaded.
    pub uploads: usize,
    /// Dead letters: mutations that the server refused, which wait for a person.
    pub dead_letters: usize,
    /// Rules of which buckets are still to come, and buckets on demand whose rows are not here: what they are,
    /// [`Client::buckets`](crate::Client::buckets) says.
    pub incomplete: usize,
    /// Whether changes are pinged as they happen.
    pub realtime: bool,
    /// When the rows last were all that the server had.
    pub last_synced_ms: Option<Millis>,
    /// What went wrong last, until it goes right.
    pub error: Option<Failure>,
    /// How often the watchdog stepped in since the start.
    pub repairs: u32,
    /// What it did last: all rows were asked for again.
    pub last_repair: Option<Repair>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            phase: Phase::Offline,
            pending: 0,
            held: 0,
            uploads: 0,
            dead_letters: 0,
            incomplete: 0,
            realtime: false,
            last_synced_ms: None,
            error: None,
            repairs: 0,
            last_repair: None,
        }
    }
}
