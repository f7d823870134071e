//! What a session is told, and what it wants done.

use super::{Status, status::Failure};

/// A moment in milliseconds, on any clock that the driver keeps to.
pub type Millis = i64;

/// What the local store holds, as far as scheduling needs to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// Mutations that wait for the server's answer.
    pub waiting: usize,
    /// Those of them that wait for an upload.
    pub held: usize,
    /// Mutations that were refused and wait for a person.
    pub dead_letters: usize,
    /// Mutations that the server said it applied, and whose effects are not in the rows yet.
    pub unseen: usize,
    /// Blobs that are to be uploaded.
    pub uploads: usize,
    /// Those of them whose upload has not failed yet.
    pub untried_uploads: usize,
    /// Whether there is a cursor to go on from.
    pub has_cursor: bool,
    /// Whether a snapshot is coming in pages and not whole yet.
    pub staging: bool,
    /// Whether the rows are a whole snapshot.
    pub complete: bool,
    /// Rules of which buckets are still to come, and buckets on demand whose rows are not here.
    pub incomplete: usize,
}

/// How much of a pull's answer has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Received {
    /// Rows.
    pub rows: u64,
    /// How many rows come with this answer and those after it, where the server says so.
    pub total: Option<u64>,
}

/// What storing a pull's answer came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PullStored {
    /// What the store holds now.
    pub memory: Memory,
    /// Whether the answer reached the end of a snapshot, which now shows.
    pub complete: bool,
    /// Whether it reached the end of a snapshot of some buckets, which now shows, and others are to come.
    pub partly: bool,
    /// Whether anything moved: a page that leads nowhere is not asked for again at once.
    pub moved: bool,
    /// Whether the outbox goes under a new sequence now, because the server's memory is another's.
    pub rotated: bool,
}

/// What storing a push's answer came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PushStored {
    /// What the store holds now.
    pub memory: Memory,
    /// How many mutations got their final answer.
    pub answered: usize,
    /// Whether the server's sequence and ours have parted.
    pub parted: bool,
}

impl Memory {
    /// How many mutations can be sent.
    pub fn sendable(&self) -> usize {
        self.waiting.saturating_sub(self.held)
    }
}

/// What an upload came to. What it means for blobs and mutations is stored already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UploadEnded {
    /// What the store holds now.
    pub memory: Memory,
    /// Why the blob is still to be uploaded, if it is.
    pub failure: Option<Failure>,
}

/// What happened. Each network or store [`Action`] is answered by exactly one of its events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The store was opened.
    Started(Memory),
    /// Something was written to the outbox, here or by another process.
    Wrote(Memory),
    /// The device may use the network, as far as anybody knows.
    Online,
    /// It may not.
    Offline,
    /// The time that [`Action::SetTimer`] named has come.
    Timer,
    /// Answers [`Action::Lead`]: whether this process syncs.
    Leads(bool),
    /// Answers [`Action::Pull`]: the server answered, and the driver holds it.
    PullAnswered,
    /// Rows came in on a pull that goes on.
    PullProgress(Received),
    /// Answers [`Action::Pull`].
    PullFailed(Failure),
    /// Answers [`Action::StorePull`].
    PullStored(PullStored),
    /// Answers [`Action::Push`]: the server answered, and the driver holds it.
    PushAnswered,
    /// Answers [`Action::Push`].
    PushFailed(Failure),
    /// Answers [`Action::StorePush`].
    PushStored(PushStored),
    /// Answers [`Action::Upload`].
    UploadEnded(UploadEnded),
    /// Answers [`Action::Rotate`], [`Action::Park`], [`Action::UploadAnew`] or [`Action::Repair`].
    Done(Memory),
    /// The local store refused what it was to do; answers any action that stores.
    StoreFailed(Failure),
    /// The store's file is gone, whatever is under way.
    StoreLost(Failure),
    /// Answers [`Action::RefreshToken`].
    TokenRefreshed,
    /// Answers [`Action::RefreshToken`].
    TokenFailed(Failure),
    /// The app has other credentials now.
    SignedIn,
    /// Answers [`Action::OpenStream`].
    StreamOpened,
    /// Answers [`Action::OpenStream`], or ends a stream that was open.
    StreamClosed {
        /// Whether the credentials were the reason.
        unauthorized: bool,
    },
    /// A frame came; `repull` when it says that something changed.
    Frame {
        /// Whether it is a ping of changed rows.
        repull: bool,
    },
    /// The app asks for an exchange now, whatever the schedule says.
    Nudge,
}

/// What is to be done. The driver does them in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Try to become the one process that syncs this store.
    Lead,
    /// Ask for what is new; by lines when `streamed`.
    Pull {
        /// Whether to ask for the whole of it as lines.
        streamed: bool,
    },
    /// Store what the pull answered.
    StorePull,
    /// Send waiting mutations, in order.
    Push {
        /// How many at most.
        most: usize,
    },
    /// Store what the push answered.
    StorePush,
    /// Park the first waiting mutation: it can never be sent.
    Park(Failure),
    /// Upload one blob, beside the exchange that is under way.
    Upload,
    /// Give up the upload that is under way; its event still comes.
    AbortUpload,
    /// Queue blobs again that the server lacks, by which the mutation that names them waits.
    UploadAnew(Failure),
    /// Put all that waits under a new sequence.
    Rotate,
    /// Forget the cursor and start a new sequence, so that all rows are asked for again. Rows and outbox stay.
    Repair,
    /// Ask the app for other credentials.
    RefreshToken,
    /// Open the stream of pings.
    OpenStream,
    /// Close it.
    CloseStream,
    /// Send a sign of life on it.
    Ping,
    /// Give up the request that is under way; its event still comes, most likely as [`FailureKind::Aborted`](super::FailureKind).
    Abort,
    /// Wake the session then; replaces the time before.
    SetTimer(Option<Millis>),
    /// Publish the status to those who listen.
    PublishStatus(Box<Status>),
}

impl Event {
    /// What it says of the store: outdated, when the store was written to since.
    pub fn memory_mut(&mut self) -> Option<&mut Memory> {
        match self {
            Self::Started(memory) | Self::Wrote(memory) | Self::Done(memory) => Some(memory),
            Self::PullStored(stored) => Some(&mut stored.memory),
            Self::PushStored(stored) => Some(&mut stored.memory),
            Self::UploadEnded(ended) => Some(&mut ended.memory),
            _ => None,
        }
    }
}
