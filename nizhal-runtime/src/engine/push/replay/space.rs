//! The space of a mutation: one bucket of one rule.

use crate::engine::push::{reply::PushError, run::storable_reason};
use nizhal_core::{Bucket, Error, MutatorEntry, wire::Mutation};

/// The space of a mutation.
#[derive(Debug)]
pub(super) struct ReplaySpace {
    pub(super) rule: &'static str,
    pub(super) bucket: Bucket,
    /// Its name in the database.
    pub(super) name: String,
}

impl ReplaySpace {
    /// That of a mutation, by its arguments.
    ///
    /// # Errors
    /// When the arguments are none, or the mutator is not replayed.
    pub(super) fn of(entry: &MutatorEntry, mutation: &Mutation) -> Result<Self, PushError> {
        let rule = entry.desc.replay.ok_or_else(|| PushError::Internal("the mutator is not replayed".into()))?;
        let value = match (entry.replay.bucket)(&mutation.args) {
            Ok(Some(value)) => value.to_string(),
            Ok(None) => return Err(PushError::Internal("a replayed mutator names no bucket".into())),
            Err(Error::InvalidArgs(reason)) => return Err(PushError::InvalidArgs(storable_reason(&reason))),
            Err(error) => return Err(PushError::Internal(error.into())),
        };
        let bucket = Bucket::new(rule, vec![value]);
        let name = format!("{rule}:{}", bucket.key());
        Ok(Self { rule, bucket, name })
    }
}
