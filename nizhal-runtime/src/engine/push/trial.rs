//! How a try of mutations ended that gave no answer, and what is to be other at the next one.

use super::reply::PushError;
use crate::store::{Fault, Membership, StoreError, StrayDocument, fault};
use std::collections::BTreeSet;

/// The reason why an attempt gave a mutation no answer.
pub(super) enum AttemptEnd {
    /// It may have one when it is tried again.
    Again(PushError),
    /// It may have one when it shares its commit with nobody.
    Alone,
    /// It may have one when the triggers were looked into.
    Unchecked,
    /// It counts on memberships that it gained itself, and whether it may must be asked before it runs.
    Gained(BTreeSet<Membership>),
    /// Rows that it wrote have stray documents, and whether it wrote those too must be asked before it runs.
    Strays(Vec<StrayDocument>),
    /// It may have one when this mutation, which ran before and failed when it ran again, counts as refused.
    Broken(String),
    /// It may have one when nothing is taken back for it.
    TooLong,
    /// It may have one when it has a savepoint of its own.
    Savepoints,
    /// It has none.
    Failed(PushError),
}

impl<E: Into<PushError>> From<E> for AttemptEnd {
    fn from(error: E) -> Self {
        match error.into() {
            PushError::Store(StoreError::Unavailable(error)) if fault(&error) == Fault::Retry => {
                Self::Again(StoreError::Unavailable(error).into())
            }
            PushError::Store(again @ (StoreError::Overtaken | StoreError::StalePlan(_) | StoreError::Aborted)) => {
                Self::Again(again.into())
            }
            PushError::Store(StoreError::SharedCommit) => Self::Alone,
            PushError::Store(StoreError::UnknownTriggers) => Self::Unchecked,
            PushError::Store(StoreError::Unsealed(how)) => Self::Failed(PushError::TransactionControl(how.to_owned())),
            failure => Self::Failed(failure),
        }
    }
}

/// What the tries of replayed mutations have taught.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// Mutations that ran before and fail when they run again.
    pub(super) broken: BTreeSet<String>,
    /// Whether nothing is taken back, since that takes too long: what is late takes effect last.
    pub(super) restamps: bool,
    /// Whether each mutation has a savepoint, so that it can be refused alone. Those that run again always have.
    pub(super) savepoints: bool,
}

impl Trial {
    /// Takes in how a try ended. Gives that back where the next one would be no other.
    pub(super) fn learn(&mut self, end: AttemptEnd) -> Result<(), AttemptEnd> {
        match end {
            AttemptEnd::Broken(id) => {
                self.broken.insert(id);
            }
            AttemptEnd::TooLong if !self.restamps => self.restamps = true,
            AttemptEnd::Savepoints if !self.savepoints => self.savepoints = true,
            end => return Err(end),
        }
        Ok(())
    }
}
