//! What the server's engine asks for: the time, fresh ids, and when its power goes.

use nizhal_core::{DateTimeUtc, Random, Uuid};
use nizhal_runtime::engine::Environment;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

struct Killed;

/// The server's time and ids, and its end.
pub(crate) struct World {
    now_ms: AtomicI64,
    random: Mutex<Random>,
    /// How often it may still be asked before the server dies.
    fuse: AtomicU64,
}

impl World {
    /// A clock at the beginning of time.
    pub(crate) fn new() -> Self {
        let random = Mutex::new(Random::of("server"));
        Self { now_ms: AtomicI64::new(0), random, fuse: AtomicU64::new(u64::MAX) }
    }

    /// The server's time, in milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms.load(Relaxed)
    }

    pub(crate) fn set_now_ms(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Relaxed);
    }

    /// Lets the server die when it has asked so often; `u64::MAX` spares it.
    pub(crate) fn light(&self, fuse: u64) {
        self.fuse.store(fuse, Relaxed);
    }

    /// Whether the server died.
    pub(crate) fn is_burnt(&self) -> bool {
        self.fuse.load(Relaxed) == 0
    }

    fn burn(&self) {
        let left = self.fuse.load(Relaxed);
        if left == 0 {
            std::panic::resume_unwind(Box::new(Killed));
        }
        if left != u64::MAX {
            self.fuse.store(left - 1, Relaxed);
        }
    }
}

impl Environment for World {
    fn now(&self) -> DateTimeUtc {
        self.burn();
        DateTimeUtc::from_timestamp_millis(self.now_ms.load(Relaxed)).unwrap_or_default()
    }
    fn new_id(&self) -> Uuid {
        self.burn();
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        uuid(&mut random)
    }
}

/// An id that a seed decides.
pub(crate) fn uuid(random: &mut Random) -> Uuid {
    let (high, low) = (random.next_u64(), random.next_u64());
    uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()).into_uuid()
}
