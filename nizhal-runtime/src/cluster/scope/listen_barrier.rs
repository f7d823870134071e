//! The LISTEN barrier: a notification of our own that comes back, which shows that none before it was missed.

use crate::{engine::Engine, store::StoreError};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};

/// The greatest age of the last barrier on which a cached scope is used.
pub(crate) const MAX_AGE: Duration = Duration::from_millis(500);
/// How long a barrier may take; together with [`MAX_AGE`] well within the second that is promised.
const BARRIER_TIMEOUT: Duration = Duration::from_millis(300);
/// How many barriers in a row may be sent and not come back before the connection counts as dead; a busy database is not yet one.
const MAX_MISSING_BARRIERS: u32 = 3;
/// After a barrier that did not come back none is tried for this long: who waits for it should rather ask the database.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The barriers of one process, and up to when all that was committed has arrived.
pub(crate) struct ListenBarrier {
    engine: Arc<Engine>,
    listener: u64,
    /// The number of the last barrier; locked while one is under way, since one at a time serves everybody.
    last_number: tokio::sync::Mutex<u64>,
    state: Mutex<State>,
    arrived: watch::Sender<u64>,
    /// The connection that listens receives no barriers any more: it should be made anew.
    deaf: Notify,
    sent: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// All that was committed before this instant has arrived.
    until: Option<Instant>,
    failed: Option<Instant>,
    missing: u32,
    listening: bool,
}

impl ListenBarrier {
    /// No barrier has come back yet. `listener` is this process among those that listen to the database.
    pub(crate) fn new(engine: Arc<Engine>, listener: u64) -> Self {
        Self {
            engine,
            listener,
            last_number: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            arrived: watch::Sender::new(0),
            deaf: Notify::new(),
            sent: AtomicU64::new(0),
        }
    }

    /// The database is listened to from now on, or no more.
    pub(crate) fn listening(&self, listening: bool) {
        *self.lock() = State { listening, ..State::default() };
    }

    /// Notes that the barrier of this number came back.
    pub(crate) fn arrived(&self, number: u64) {
        self.arrived.send_replace(number);
    }

    /// Notes that all that was committed before this instant has arrived.
    pub(crate) fn until(&self, instant: Instant) {
        self.lock().until = Some(instant);
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.lock().until.is_some_and(|until| until.elapsed() < MAX_AGE)
    }

    /// Makes sure that everything has arrived; false when that cannot be had.
    pub(crate) async fn ensure_fresh(&self) -> bool {
        let mut number = self.last_number.lock().await;
        {
            let state = self.lock();
            if state.until.is_some_and(|until| until.elapsed() < MAX_AGE) {
                return true;
            }
            if !state.listening || state.failed.is_some_and(|failed| failed.elapsed() < RETRY_INTERVAL) {
                return false;
            }
        }
        *number += 1;
        let (number, began, mut arrived) = (*number, Instant::now(), self.arrived.subscribe());
        self.sent.fetch_add(1, Relaxed);
        let mut sent = false;
        let sending = async {
            sent = self.engine.store.send_barrier(self.listener, number).await.unwrap_or(false);
            sent && arrived.wait_for(|arrived| *arrived >= number).await.is_ok()
        };
        let is_fresh = tokio::time::timeout(BARRIER_TIMEOUT, sending).await.unwrap_or(false);
        let mut state = self.lock();
        if is_fresh && state.listening {
            *state = State { until: Some(began), listening: true, ..State::default() };
            return true;
        }
        state.failed = Some(Instant::now());
        state.missing += u32::from(sent);
        if state.missing >= MAX_MISSING_BARRIERS {
            self.deaf.notify_one();
        }
        false
    }

    /// Sends one and waits for it for as long as it takes; for a connection that has only begun to listen.
    pub(crate) async fn first(&self) -> Result<(), StoreError> {
        let mut number = self.last_number.lock().await;
        *number += 1;
        let (number, mut arrived) = (*number, self.arrived.subscribe());
        if self.engine.store.send_barrier(self.listener, number).await? {
            // The sender lives as long as we do.
            let _ = arrived.wait_for(|arrived| *arrived >= number).await;
        }
        Ok(())
    }

    /// Resolves when barriers did not come back.
    pub(crate) async fn deaf(&self) {
        self.deaf.notified().await;
    }

    /// How many were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
