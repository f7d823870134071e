//! How it is known that nothing was missed: a notification of our own that comes back.

use crate::{engine::Engine, store::StoreError};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};

/// How old the certainty may be on which a scope is used.
pub(crate) const FRESH: Duration = Duration::from_millis(500);
/// How long a proof may take; together with [`FRESH`] well within the second that is promised.
const BARRIER_TIMEOUT: Duration = Duration::from_millis(300);
/// How many proofs in a row may be sent and not heard before the connection counts as dead; a busy database is not yet one.
const UNHEARD: u32 = 3;
/// After a proof that did not come none is tried for this long: who waits for it should rather ask the database.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether all that was committed was heard.
pub(crate) struct ListenBarrier {
    engine: Arc<Engine>,
    listener: u64,
    /// One renewal at a time serves everybody.
    renewing: tokio::sync::Mutex<u64>,
    state: Mutex<State>,
    heard: watch::Sender<u64>,
    /// The connection that listens hears no proofs any more: it should be made anew.
    deaf: Notify,
    sent: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// All that was committed before this instant was heard.
    until: Option<Instant>,
    failed: Option<Instant>,
    unheard: u32,
    listening: bool,
}

impl ListenBarrier {
    /// Nothing is proved yet. `listener` is this process among those that listen to the database.
    pub(crate) fn new(engine: Arc<Engine>, listener: u64) -> Self {
        Self {
            engine,
            listener,
            renewing: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            heard: watch::Sender::new(0),
            deaf: Notify::new(),
            sent: AtomicU64::new(0),
        }
    }

    /// The database is listened to from now on, or no more.
    pub(crate) fn listening(&self, listening: bool) {
        *self.lock() = State { listening, ..State::default() };
    }

    /// The proof of this number came.
    pub(crate) fn heard(&self, number: u64) {
        self.heard.send_replace(number);
    }

    /// All that was committed before this instant was heard.
    pub(crate) fn until(&self, instant: Instant) {
        self.lock().until = Some(instant);
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.lock().until.is_some_and(|until| until.elapsed() < FRESH)
    }

    /// Makes sure that everything was heard; false when that cannot be had.
    pub(crate) async fn renew(&self) -> bool {
        let mut number = self.renewing.lock().await;
        {
            let state = self.lock();
            if state.until.is_some_and(|until| until.elapsed() < FRESH) {
                return true;
            }
            if !state.listening || state.failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
                return false;
            }
        }
        *number += 1;
        let (number, began, mut heard) = (*number, Instant::now(), self.heard.subscribe());
        self.sent.fetch_add(1, Relaxed);
        let mut sent = false;
        let proving = async {
            sent = self.engine.store.send_proof(self.listener, number).await.unwrap_or(false);
            sent && heard.wait_for(|heard| *heard >= number).await.is_ok()
        };
        let proved = tokio::time::timeout(BARRIER_TIMEOUT, proving).await.unwrap_or(false);
        let mut state = self.lock();
        if proved && state.listening {
            *state = State { until: Some(began), listening: true, ..State::default() };
            return true;
        }
        state.failed = Some(Instant::now());
        state.unheard += u32::from(sent);
        if state.unheard >= UNHEARD {
            self.deaf.notify_one();
        }
        false
    }

    /// Sends one and waits for it for as long as it takes; for a connection that has only begun to listen.
    pub(crate) async fn first(&self) -> Result<(), StoreError> {
        let mut number = self.renewing.lock().await;
        *number += 1;
        let (number, mut heard) = (*number, self.heard.subscribe());
        if self.engine.store.send_proof(self.listener, number).await? {
            // The sender lives as long as we do.
            let _ = heard.wait_for(|heard| *heard >= number).await;
        }
        Ok(())
    }

    /// Resolves when a proof did not come.
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
