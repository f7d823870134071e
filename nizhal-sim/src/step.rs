//! One thing that happens to the world. Numbers that choose among things that may be fewer by then wrap around, so that a script
//! from which steps were deleted still means something.

/// A step of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A user writes: the mutator and its arguments are drawn; `after` makes it depend on the device's last mutation.
    Write {
        /// The device.
        device: u8,
        /// The mutator.
        mutator: u8,
        /// What its arguments are drawn from.
        draw: u32,
        /// Whether it names the mutation before it in `dependsOn`.
        after: bool,
    },
    /// The app asks for an exchange now.
    Nudge(u8),
    /// The app subscribes to a bucket on demand, or goes on to; its time runs out unless it does again.
    Subscribe {
        /// The device.
        device: u8,
        /// Which bucket.
        draw: u32,
    },
    /// A device's messages are delivered until it has none.
    Sync(u8),
    /// A message arrives.
    Deliver(u8),
    /// A message is lost, and its sender hears so.
    Lose(u8),
    /// A request goes out twice; the second arrives later, and nobody waits for its answer.
    Repeat(u8),
    /// A device gives up waiting; what it waits for goes on without it.
    GiveUp(u8),
    /// A server's answer that nobody waits for reaches its device's store after all, as by another tab.
    Late(u8),
    /// An answer is cut within its body.
    Cut {
        /// The answer.
        message: u8,
        /// After how many bytes.
        at: u16,
    },
    /// An answer is not what the server sent.
    Corrupt {
        /// The answer.
        message: u8,
        /// How.
        draw: u8,
    },
    /// A request is refused: 429, 503, 500 or 426.
    Refuse {
        /// The request.
        message: u8,
        /// Which of these.
        with: u8,
    },
    /// Time passes, and timers go off.
    Wait(u32),
    /// The device loses its network …
    Offline(u8),
    /// … and has it again.
    Online(u8),
    /// The device's power goes and comes back.
    Crash(u8),
    /// It will go between two statements of its database.
    CutPower {
        /// The device.
        device: u8,
        /// After how many statements.
        statements: u8,
    },
    /// A statement of its database will fail, COMMIT, ROLLBACK, SAVEPOINT and RELEASE among them.
    FailDevice {
        /// The device.
        device: u8,
        /// After how many statements.
        statements: u8,
        /// With which error: a full disk, an interrupt, …; most roll the transaction back.
        error: u8,
    },
    /// A device's stream of pings ends …
    EndStream(u8),
    /// … or nothing comes on it any more, and nobody says so.
    Silence(u8),
    /// The server is killed and started again.
    Kill,
    /// It will be killed inside a push or a pull.
    KillWithin(u8),
    /// A statement of its database will fail, COMMIT, ROLLBACK, SAVEPOINT and RELEASE among them.
    FailServer {
        /// After how many statements.
        statements: u8,
        /// With which error: a full disk, an interrupt, …; most roll the transaction back.
        error: u8,
    },
    /// Its connection to the database will end at a statement …
    EndConnection(u8),
    /// … or fall silent at one, until the request is given up.
    SilenceConnection(u8),
    /// The device's clock jumps, by milliseconds.
    DeviceClock {
        /// The device.
        device: u8,
        /// How far.
        by: i32,
    },
    /// The server's clock jumps, by milliseconds.
    ServerClock(i32),
    /// The credentials of a device are good no more.
    Expire(u8),
    /// … and cannot be renewed now.
    SignOut(u8),
    /// Somebody becomes a member.
    Grant(u32),
    /// Somebody is no member any more.
    Revoke(u32),
    /// Somebody else writes by SQL: a row changes its bucket,
    Move(u32),
    /// … a row is changed,
    Change(u32),
    /// … a row is made,
    Insert(u32),
    /// … a row is deleted,
    Delete(u32),
    /// … a row that was deleted is there again,
    Revive(u32),
    /// … a row takes the place of others by `replace into`, of which SQLite tells no trigger.
    Replace(u32),
    /// The server gets the next version of the schema.
    UpgradeServer,
    /// A device gets it.
    UpgradeDevice(u8),
    /// The operator gives the database a new epoch.
    NewEpoch,
    /// The operator copies the database …
    Backup,
    /// … and puts the copy in its place.
    Restore {
        /// Whether the operator says so, by giving it a new epoch.
        told: bool,
    },
    /// Old tombstones are forgotten.
    Collect,
    /// Blobs that no row names are collected, those among them whose device is late.
    CollectBlobs,
    /// The bytes of an upload arrive as others, or not all of them.
    SpoilUpload(u8),
    /// The store of blobs is away …
    BlobStoreAway,
    /// … and there again.
    BlobStoreBack,
    /// Somebody asks for blobs that may be others'.
    Probe(u32),
    /// The server makes an image of a bucket.
    Image(u32),
    /// The server forgets images that are of no use any more.
    ForgetImages,
    /// The object store loses the file of an image.
    LoseImage(u32),
    /// How many rows the server puts into a page.
    PageRows(u8),
    /// A person lets a refused mutation go.
    Discard(u8),
    /// A person tries a refused mutation again.
    Retry(u8),
    /// The hostile device sends what it made up: ids, numbers and clients of others, cursors of nobody.
    Forge(u32),
    /// It sends what somebody sent before, as its own.
    Reuse(u32),
    /// It pulls with another user's cursor, and another with its own.
    Swap(u32),
    /// It sends a lot, and lists and texts beyond their bounds.
    Flood(u32),
    /// It hangs up while the server works.
    HangUp(u32),
}

impl Step {
    /// The kind, for counting.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Write { after: false, .. } => "write",
            Self::Write { after: true, .. } => "dependsOn",
            Self::Nudge(_) => "nudge",
            Self::Subscribe { .. } => "subscribed",
            Self::Sync(_) => "sync",
            Self::Deliver(_) => "deliver",
            Self::Lose(_) => "lost",
            Self::Repeat(_) => "repeated",
            Self::GiveUp(_) => "given up",
            Self::Late(_) => "late",
            Self::Cut { .. } => "cut",
            Self::Corrupt { .. } => "corrupted",
            Self::Refuse { .. } => "refused",
            Self::Wait(_) => "wait",
            Self::Offline(_) => "offline",
            Self::Online(_) => "online",
            Self::Crash(_) => "crash",
            Self::CutPower { .. } => "crash within",
            Self::FailDevice { .. } => "database error on a device",
            Self::EndStream(_) => "stream ended",
            Self::Silence(_) => "stream silent",
            Self::Kill => "server killed",
            Self::KillWithin(_) => "server killed within",
            Self::FailServer { .. } => "database error on the server",
            Self::EndConnection(_) => "database connection ended",
            Self::SilenceConnection(_) => "database connection silent",
            Self::DeviceClock { .. } => "device clock",
            Self::ServerClock(_) => "server clock",
            Self::Expire(_) => "token expired",
            Self::SignOut(_) => "signed out",
            Self::Grant(_) => "grant",
            Self::Revoke(_) => "revoke",
            Self::Move(_) => "moved row",
            Self::Change(_) => "changed row",
            Self::Insert(_) => "inserted row",
            Self::Delete(_) => "deleted row",
            Self::Revive(_) => "revived row",
            Self::Replace(_) => "replaced row",
            Self::UpgradeServer => "server upgraded",
            Self::UpgradeDevice(_) => "device upgraded",
            Self::NewEpoch => "new epoch",
            Self::Backup => "backup",
            Self::Restore { told: true } => "restore, told",
            Self::Restore { told: false } => "restore, untold",
            Self::Collect => "tombstones collected",
            Self::CollectBlobs => "blobs collected",
            Self::SpoilUpload(_) => "upload spoilt",
            Self::BlobStoreAway => "blob store away",
            Self::BlobStoreBack => "blob store back",
            Self::Probe(_) => "blobs asked for",
            Self::Image(_) => "image",
            Self::ForgetImages => "images forgotten",
            Self::LoseImage(_) => "image lost",
            Self::PageRows(_) => "page size",
            Self::Discard(_) => "discarded",
            Self::Retry(_) => "retried",
            Self::Forge(_) => "hostile, forged",
            Self::Reuse(_) => "hostile, reused",
            Self::Swap(_) => "hostile, swapped cursors",
            Self::Flood(_) => "hostile, flooded",
            Self::HangUp(_) => crate::hostile::HUNG_UP,
        }
    }
}
