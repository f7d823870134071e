//! The reply to a push: an answer for each mutation, from which both wires read theirs.

use crate::store::{MutationKey, StoreError, StoredResult};
use nizhal_core::{
    BlobHash,
    wire::{LostColumn, Mutation, Wire},
};

/// The reply to a push.
#[derive(Debug, Default)]
pub struct PushReply {
    /// One for each mutation, in order, as far as the batch went.
    pub answers: Vec<Answer>,
    /// The fault of the database, or of a mutator, that ended the batch; nothing after it ran.
    pub fault: Option<PushError>,
}

impl PushReply {
    /// Adds a mutation's answer. Returns true when the batch ends with it.
    pub(super) fn add(&mut self, wire: Wire, answer: Answer) -> bool {
        let ends = wire == Wire::One && answer.verdict.failure().is_some();
        self.answers.push(answer);
        ends
    }
}

/// The answer to one mutation.
#[derive(Debug)]
pub struct Answer {
    /// The mutation's id.
    pub client_mutation_id: String,
    /// `clientID` and `mutationID`, when it is in a sequence.
    pub sequence: Option<(String, i64)>,
    /// The last mutation of that sequence; `None` when it is not the actor's to know.
    pub last: Option<i64>,
    /// What became of it.
    pub verdict: Verdict,
    /// Whether it took effect later than it was made, since nothing takes its place there any more.
    pub late: bool,
}

impl Answer {
    /// The answer to the mutation of this key; `last` is where its sequence stands.
    pub(super) fn to(key: &MutationKey<'_>, verdict: Verdict, last: Option<i64>) -> Self {
        let sequence = key.sequence.map(|(client_id, id)| (client_id.to_owned(), id));
        Self { client_mutation_id: key.client_mutation_id.to_owned(), sequence, last, verdict, late: false }
    }

    /// The same, of a mutation that took effect late or in time.
    pub(super) fn late(self, late: bool) -> Self {
        Self { late, ..self }
    }

    /// The same where the mutation has used its number up.
    pub(super) fn over(key: &MutationKey<'_>, verdict: Verdict) -> Self {
        Self::to(key, verdict, key.sequence.map(|(_, id)| id))
    }
}

/// The verdict on a mutation, when the database did not fail.
#[derive(Debug)]
pub enum Verdict {
    /// It ran now.
    Applied(Ids),
    /// It ran before.
    Duplicate(Ids),
    /// It is final and had no effect; a replay gets the same.
    Refused(PushError),
    /// It may not run now, and used nothing up.
    Barred(PushError),
}

impl Verdict {
    /// Why it did not apply.
    pub fn failure(&self) -> Option<&PushError> {
        match self {
            Self::Applied(_) | Self::Duplicate(_) => None,
            Self::Refused(failure) | Self::Barred(failure) => Some(failure),
        }
    }
}

/// The ids that a client reconciles by, and the columns that its write did not get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// The arg `clientId`.
    pub client_ref: Option<String>,
    /// The id that the server gave.
    pub server_id: Option<String>,
    /// The columns that kept the value of a later write.
    pub lost: Vec<LostColumn>,
}

/// Why a mutation did not apply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// 400 `unknown_mutator`.
    #[error("no mutator is named `{0}`")]
    UnknownMutator(String),
    /// 403 `forbidden`.
    #[error("the mutation writes outside the actor's buckets; all of it was rolled back")]
    Forbidden,
    /// 403 `client_id_taken`.
    #[error("this clientID belongs to another actor; use a fresh one")]
    ClientIdTaken,
    /// 409 `out_of_order`.
    #[error("mutation {got} is out of order: the last one seen was {last}")]
    OutOfOrder {
        /// The number that came.
        got: i64,
        /// The last number seen.
        last: i64,
    },
    /// Wire 2 only: an earlier mutation of the same client, or one that this one depends on, has yet to run.
    #[error("`{0}` must run before it")]
    Waits(String),
    /// Wire 2 only: the number went to another mutation, so that this one never ran and never will.
    #[error("mutation {0} was another one: this one did not run")]
    NumberUsed(i64),
    /// Wire 2; wire 1 reads it as rejected. Names what it depends on.
    #[error("it depends on `{0}`, which was refused")]
    Cancelled(String),
    /// 422 `rejected`.
    #[error("{0}")]
    Rejected(String),
    /// 422 `invalid_args`.
    #[error("{0}")]
    InvalidArgs(String),
    /// 422 `expired`: its answer was given and forgotten, so it does not run again.
    #[error("it was answered long ago, and the answer is forgotten; it does not run again")]
    Expired,
    /// 422 `mutator_panicked`: it would again; the log has what it said.
    #[error("the mutator panicked; what it said is in the server's log")]
    MutatorPanicked,
    /// 422 `transaction_control`: the mutator ran a statement that begins or ends a transaction, or would outlive it.
    #[error("{0}")]
    TransactionControl(String),
    /// 422 `row_too_large`: it left a row that is larger than devices are sent. Names the table and the limit.
    #[error("{0}")]
    RowTooLarge(String),
    /// 409 `blob_missing`: it names these blobs, which are not stored or not the actor's to name. None where only the database's trigger
    /// saw it, and it did not say which.
    #[error("it names blobs that are not stored, or that the actor does not have: upload them, then send it again")]
    BlobMissing(Vec<BlobHash>),
    /// 503 when the database could not be reached or stayed busy, else 500.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// 500 `internal`: the database demands what the app's tables lack, which a programmer must mend.
    #[error("the database is not what the app declares")]
    Schema {
        /// The constraint, the column and the table, where the answer may name them.
        violation: Option<String>,
        /// What the database said.
        #[source]
        cause: StoreError,
    },
    /// 500 `internal`: a mutator's own fault.
    #[error("internal fault")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl PushError {
    /// Whether the same mutation would be refused again: then its answer is stored.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::UnknownMutator(_)
            | Self::Forbidden
            | Self::Cancelled(_)
            | Self::Rejected(_)
            | Self::InvalidArgs(_)
            | Self::MutatorPanicked
            | Self::TransactionControl(_)
            | Self::RowTooLarge(_) => true,
            Self::ClientIdTaken
            | Self::OutOfOrder { .. }
            | Self::Waits(_)
            | Self::NumberUsed(_)
            | Self::Expired
            | Self::BlobMissing(_)
            | Self::Store(_)
            | Self::Schema { .. }
            | Self::Internal(_) => false,
        }
    }
}

/// The mutation's place in its client's sequence; only places from 1 count.
pub(super) fn numbered(mutation: &Mutation) -> Option<i64> {
    mutation.mutation_id.filter(|id| *id >= 1)
}

/// The verdict on a mutation that comes again, from its stored result.
pub(super) fn replayed_verdict(wire: Wire, stored: Option<StoredResult>, id: Option<i64>) -> Verdict {
    match (stored, wire, id) {
        (Some(stored), ..) => verdict_of(stored),
        // Its number is used up and nothing is known of it: it was another's. Called a duplicate, it would be lost in silence.
        (None, Wire::Two, Some(id)) => Verdict::Refused(PushError::NumberUsed(id)),
        // A client of wire 1 gives it another number when it hears where its sequence stands.
        (None, Wire::One, Some(id)) => Verdict::Barred(PushError::NumberUsed(id)),
        (None, ..) => Verdict::Duplicate(Ids::default()),
    }
}

fn verdict_of(stored: StoredResult) -> Verdict {
    let reason = stored.reason.unwrap_or_default();
    Verdict::Refused(match stored.status.as_str() {
        "rejected" => PushError::Rejected(reason),
        "invalid_args" => PushError::InvalidArgs(reason),
        "forbidden" => PushError::Forbidden,
        "cancelled" => PushError::Cancelled(reason),
        "unknown_mutator" => PushError::UnknownMutator(reason),
        "mutator_panicked" => PushError::MutatorPanicked,
        "transaction_control" => PushError::TransactionControl(reason),
        "row_too_large" => PushError::RowTooLarge(reason),
        "expired" => PushError::Expired,
        _ => {
            let lost = stored.lost.as_deref().map(lost_of).unwrap_or_default();
            return Verdict::Duplicate(Ids { client_ref: stored.client_ref, server_id: stored.server_id, lost });
        }
    })
}

/// The columns that a stored result names as lost.
pub(super) fn lost_of(stored: &str) -> Vec<LostColumn> {
    serde_json::from_str(stored).unwrap_or_default()
}
