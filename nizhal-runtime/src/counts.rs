//! Counters of what the server did since its start, for stats and metrics.

use nizhal_core::wire::MutationStatus;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Every status that a mutation may have, with its name on wire 2.
pub(crate) const STATUSES: [(MutationStatus, &str); 6] = [
    (MutationStatus::Applied, "applied"),
    (MutationStatus::Duplicate, "duplicate"),
    (MutationStatus::Rejected, "rejected"),
    (MutationStatus::OutOfOrder, "outOfOrder"),
    (MutationStatus::Forbidden, "forbidden"),
    (MutationStatus::Cancelled, "cancelled"),
];

/// The name of a status on wire 2.
pub(crate) fn status_name(status: MutationStatus) -> &'static str {
    STATUSES.iter().find(|(known, _)| *known == status).map_or("", |(_, name)| name)
}

/// Pulls, pushes and errors, counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) resets: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) pull_time: Histogram,
    pub(crate) failed_pushes: AtomicU64,
    pub(crate) push_time: Histogram,
    mutations: [AtomicU64; STATUSES.len()],
    errors: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counts {
    /// A pull was answered.
    pub(crate) fn pulled(&self, rows: usize, bytes: usize, reset: bool, took: Duration) {
        self.rows.fetch_add(rows as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.resets.fetch_add(reset.into(), Relaxed);
        self.pull_time.took(took);
    }

    /// A push was answered; its mutations are counted by themselves.
    pub(crate) fn pushed(&self, failed: bool, took: Duration) {
        self.failed_pushes.fetch_add(failed.into(), Relaxed);
        self.push_time.took(took);
    }

    pub(crate) fn mutation(&self, status: MutationStatus) {
        for (count, (known, _)) in self.mutations.iter().zip(STATUSES) {
            count.fetch_add((known == status).into(), Relaxed);
        }
    }

    /// Mutations by status.
    pub(crate) fn mutations(&self) -> impl Iterator<Item = (&'static str, u64)> {
        STATUSES.iter().zip(&self.mutations).map(|((_, name), count)| (*name, count.load(Relaxed)))
    }

    pub(crate) fn failed(&self, code: &'static str) {
        *self.errors.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    /// Errors by code.
    pub(crate) fn errors(&self) -> BTreeMap<&'static str, u64> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn read(&self) -> Value {
        let mutations: BTreeMap<&str, u64> = self.mutations().collect();
        json!({
            "pulls": self.pull_time.count(),
            "pullResets": self.resets.load(Relaxed),
            "pullRows": self.rows.load(Relaxed),
            "pullBytes": self.bytes.load(Relaxed),
            "pushes": self.push_time.count(),
            "pushesFailed": self.failed_pushes.load(Relaxed),
            "mutationsApplied": mutations["applied"],
            "mutations": mutations,
            "errors": self.errors(),
        })
    }
}

/// How long something took, in classes.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One for each of [`BOUNDS_MS`], and one for what is longer.
    classes: [AtomicU64; BOUNDS_MS.len() + 1],
    micros: AtomicU64,
}

/// The classes' upper bounds, in milliseconds.
pub(crate) const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000];

impl Histogram {
    fn took(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = BOUNDS_MS.iter().position(|bound| micros <= bound * 1_000).unwrap_or(BOUNDS_MS.len());
        self.classes[class].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    /// How many there were up to each bound, the last of them without a bound; and how long all of them took.
    pub(crate) fn read(&self) -> ([u64; BOUNDS_MS.len() + 1], Duration) {
        let mut sum = 0;
        let up_to = std::array::from_fn(|at| {
            sum += self.classes[at].load(Relaxed);
            sum
        });
        (up_to, Duration::from_micros(self.micros.load(Relaxed)))
    }

    fn count(&self) -> u64 {
        self.classes.iter().map(|class| class.load(Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_in_its_class() {
        let histogram = Histogram::default();
        for micros in [0, 1_000, 1_001, 10_000_000, 10_000_001] {
            histogram.took(Duration::from_micros(micros));
        }
        let (up_to, sum) = histogram.read();
        assert_eq!(up_to, [2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5]);
        assert_eq!((histogram.count(), sum), (5, Duration::from_micros(20_002_002)));
    }

    #[test]
    fn statuses_are_named_as_on_the_wire() {
        for (status, name) in STATUSES {
            assert_eq!(serde_json::to_value(status).unwrap(), name);
            assert_eq!(status_name(status), name);
        }
    }
}
