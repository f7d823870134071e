//! Counters of what the server did since its start.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Pulls and pushes, counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pulls: AtomicU64,
    resets: AtomicU64,
    pushes: AtomicU64,
    failed_pushes: AtomicU64,
    mutations: AtomicU64,
}

impl Counts {
    pub(crate) fn pulled(&self, reset: bool) {
        self.pulls.fetch_add(1, Relaxed);
        self.resets.fetch_add(reset.into(), Relaxed);
    }

    pub(crate) fn pushed(&self, applied: usize, failed: bool) {
        self.pushes.fetch_add(1, Relaxed);
        self.failed_pushes.fetch_add(failed.into(), Relaxed);
        self.mutations.fetch_add(applied as u64, Relaxed);
    }

    pub(crate) fn read(&self) -> Value {
        json!({
            "pulls": self.pulls.load(Relaxed),
            "pullResets": self.resets.load(Relaxed),
            "pushes": self.pushes.load(Relaxed),
            "pushesFailed": self.failed_pushes.load(Relaxed),
            "mutationsApplied": self.mutations.load(Relaxed),
        })
    }
}
