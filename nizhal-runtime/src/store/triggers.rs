//! Whether the triggers are in place that note what is written: where they are not, nothing may be.
//!
//! Each push reads a fingerprint of them in its last statement. It changes whenever one is made, dropped, switched off or on, by
//! whomever, and by the push itself too. One that is not known is looked into beside the push, which is then tried again.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What a server knows of the triggers.
#[derive(Debug, Default)]
pub(super) struct Triggers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The fingerprint under which all were in place.
    pub(super) fingerprint: Option<String>,
    /// Those that were in place when the database was what this server needs.
    pub(super) needed: Option<BTreeSet<String>>,
}

impl Triggers {
    /// Whether this is the fingerprint under which all were in place.
    pub(super) fn are_in_place(&self, fingerprint: &str) -> bool {
        self.state().fingerprint.as_deref() == Some(fingerprint)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What SQLite counts up at every change of a file's tables and triggers, as SQL.
pub(super) const SQLITE_FINGERPRINT: &str = "select cast(schema_version as text) from pragma_schema_version";
