//! The key of a mutation, and its result as it is stored and as its client reads it.

use super::{
    acknowledged::Acknowledged,
    reply::{Ids, PushError, Verdict, lost_of, numbered},
};
use crate::store::{MutationKey, Record};
use nizhal_core::{Principal, wire::Mutation};

/// The key of the mutation.
pub(super) fn key_of<'a>(
    principal: &'a Principal,
    mutation: &'a Mutation,
    acknowledged: &Acknowledged,
) -> MutationKey<'a> {
    MutationKey {
        actor: principal.key(),
        client_mutation_id: &mutation.client_mutation_id,
        sequence: mutation.client_id.as_deref().zip(numbered(mutation)),
        name: &mutation.name,
        args: mutation.args.get(),
        acknowledged: acknowledged.by(mutation),
        made_ms: mutation.hlc.map(|hlc| hlc.millis),
    }
}

/// The ids that a client reconciles by.
pub(super) fn ids_of(record: &Record) -> Ids {
    let lost = record.lost.as_deref().map(lost_of).unwrap_or_default();
    Ids { client_ref: record.client_ref.clone(), server_id: record.server_id.clone(), lost }
}

/// A result as it is stored.
pub(super) fn recorded(result: &Result<Record, PushError>) -> Record {
    result.as_ref().map_or_else(refused, Clone::clone)
}

/// A result as it is answered.
pub(super) fn verdict_of(result: Result<Record, PushError>) -> Verdict {
    match result {
        Ok(record) => Verdict::Applied(ids_of(&record)),
        Err(refusal) => Verdict::Refused(refusal),
    }
}

/// A refusal as it is stored.
pub(super) fn refused(refusal: &PushError) -> Record {
    let (status, reason) = match refusal {
        PushError::Rejected(reason) => ("rejected", Some(reason.clone())),
        PushError::InvalidArgs(reason) => ("invalid_args", Some(reason.clone())),
        PushError::Cancelled(on) => ("cancelled", Some(on.clone())),
        PushError::UnknownMutator(name) => ("unknown_mutator", Some(name.clone())),
        PushError::MutatorPanicked => ("mutator_panicked", None),
        PushError::Expired => ("expired", None),
        PushError::TransactionControl(reason) => ("transaction_control", Some(reason.clone())),
        PushError::RowTooLarge(reason) => ("row_too_large", Some(reason.clone())),
        _ => ("forbidden", None),
    };
    Record { status, reason, ..Record::default() }
}
