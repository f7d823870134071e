//! Whether the triggers are in place that note what is written, and the tables are as they are declared: where they are not, nothing
//! may be written, and nothing read, since a cursor would pass rows that nobody saw.
//!
//! Each push reads a fingerprint of them in its last statement, and each pull that reads rows in the statement that reads them. It
//! changes whenever a trigger is made, dropped, switched off or on, by whomever, and by the push itself too; on Postgres also when a
//! table changes. One that is not known is looked into beside the push or the pull, which is then tried again.

use super::StoreError;
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a refusal stands: whoever asks meanwhile costs the database nothing.
const REFUSAL_TTL: Duration = Duration::from_millis(500);

/// Stands in a fingerprint between what pushes and what pulls alone rely on.
pub(super) const TABLES: char = '|';

/// Stands in a fingerprint before what it tells of partitions.
pub(super) const PARTITIONS: char = '/';

/// The triggers as a server knows them.
#[derive(Debug, Default)]
pub(super) struct Triggers {
    state: Mutex<State>,
    /// Held by who looks, with what the last one was refused with.
    pub(super) looking: tokio::sync::Mutex<Refusal>,
}

/// The refusal of a database that is other than this server needs it, when that was, and under which fingerprint.
#[derive(Debug, Default)]
pub(super) struct Refusal(Option<(Instant, String, String)>);

impl Refusal {
    /// Fails where it was found so a moment ago.
    pub(super) fn check(&self, fingerprint: &str) -> Result<(), StoreError> {
        match &self.0 {
            Some((at, under, refusal)) if under == fingerprint && at.elapsed() < REFUSAL_TTL => {
                Err(StoreError::Schema(refusal.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Writes down what was found.
    pub(super) fn remember(&mut self, fingerprint: String, found: &Result<(), StoreError>) {
        self.0 = match found {
            Err(StoreError::Schema(refusal)) => Some((Instant::now(), fingerprint, refusal.clone())),
            _ => None,
        };
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The fingerprint under which all were in place.
    pub(super) fingerprint: Option<String>,
    /// Those that were in place when the database was what this server needs.
    pub(super) needed: Option<BTreeSet<String>>,
}

impl Triggers {
    /// Whether this is the fingerprint under which all were in place, or its part that pushes read.
    pub(super) fn are_in_place(&self, fingerprint: &str) -> bool {
        let state = self.state();
        let Some(known) = state.fingerprint.as_deref() else { return false };
        known == fingerprint || known.split_once(TABLES).is_some_and(|(capture, _)| capture == fingerprint)
    }

    /// Whether this differs from that fingerprint in what it tells of partitions alone.
    pub(super) fn are_tables_known(&self, fingerprint: &str) -> bool {
        self.state().fingerprint.as_deref().is_some_and(|known| of_tables(known) == of_tables(fingerprint))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a fingerprint tells of tables and their own triggers.
fn of_tables(fingerprint: &str) -> (&str, &str) {
    let (capture, tables) = fingerprint.split_once(TABLES).unwrap_or((fingerprint, ""));
    (capture.split_once(PARTITIONS).map_or(capture, |(own, _)| own), tables)
}

/// What SQLite counts up at every change of a file's tables and triggers, as SQL.
pub(super) const SQLITE_FINGERPRINT: &str = "select cast(schema_version as text) from pragma_schema_version";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv01_a_fingerprint_that_differs_by_partitions_alone_is_told_from_others() {
        let triggers = Triggers::default();
        assert!(!triggers.are_tables_known("5 70 /0 9|80"), "nothing was looked at before");
        triggers.state().fingerprint = Some("5 70 /0 9|80".to_owned());
        assert!(triggers.are_tables_known("5 70 /0 8|80") && !triggers.are_in_place("5 70 /0 8|80"));
        for other in ["5 71 /0 9|80", "5 70 /0 9|81", "5 70 /0 9"] {
            assert!(!triggers.are_tables_known(other), "{other}");
        }
        assert!(triggers.are_in_place("5 70 /0 9"), "a push's part");
    }
}
