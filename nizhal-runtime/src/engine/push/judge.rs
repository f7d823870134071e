//! The meaning of a database's error, or of a row's size, for a mutation: whether it is refused for good, and what its device and
//! the log get to read.

use super::{reply::PushError, run::storable_reason};
use crate::{
    engine::Engine,
    store::{Fault, LargeRow, StoreError, Violation, Written, fault, missing_blob, refusal_text},
};

/// The reason that a device gets for data that the database refuses.
const REFUSED: &str = "the data breaks a constraint of the database";
/// The reason that a device gets for a mutator that went on where no more could be done.
const WENT_ON: &str =
    "a statement of the mutator failed and it went on: a part that may fail needs a transaction of its own";

impl Engine {
    /// The refusal that a database's error comes to, where the same mutation would fail again; else the failure as it is. A
    /// constraint that only a programmer can have broken is no refusal: the mutation waits until it is mended.
    pub(super) fn judge(&self, mutator: &str, error: StoreError) -> PushError {
        let StoreError::Statement(cause) = error else { return error.into() };
        if let Some(missing) = missing_blob(&cause) {
            let error = &cause as &dyn std::error::Error;
            tracing::warn!(mutator, error, "a mutator named a blob that is not stored");
            return PushError::BlobMissing(missing.into_iter().collect());
        }
        if fault(&cause) != Fault::Final {
            return StoreError::Statement(cause).into();
        }
        let violation = Violation::of(&cause);
        let is_a_programmers = violation.as_ref().is_some_and(|violation| violation.is_a_programmers(&self.schema));
        let violation = violation.map(|violation| violation.to_string());
        let (broken, error) = (violation.as_deref().unwrap_or_default(), &cause as &dyn std::error::Error);
        if is_a_programmers {
            tracing::error!(
                mutator,
                broken,
                error,
                "the database demands what the app's tables lack, or a partition is missing; `migrate` says what to run"
            );
        } else {
            tracing::warn!(mutator, broken, error, "the database refused a mutation for good");
        }
        let shown = violation.filter(|_| self.names_violations);
        if is_a_programmers {
            return PushError::Schema { violation: shown, cause: StoreError::Statement(cause) };
        }
        let in_words = || refusal_text(&cause).filter(|_| self.names_violations);
        PushError::Rejected(match shown {
            Some(broken) => format!("the data breaks {broken}"),
            None => in_words().map_or_else(|| REFUSED.to_owned(), |text| storable_reason(&text)),
        })
    }

    /// The same for a failure that is the last of a mutation's tries.
    pub(super) fn judge_last(&self, mutator: &str, failure: PushError) -> PushError {
        match failure {
            PushError::Store(StoreError::Aborted) => {
                tracing::warn!(mutator, "a mutator went on after a statement failed");
                PushError::Rejected(WENT_ON.to_owned())
            }
            PushError::Store(error) => self.judge(mutator, error),
            failure => failure,
        }
    }

    /// The refusal of a mutation or a job that left a row which is larger than devices are sent; by the largest.
    pub(crate) fn oversized(&self, written: &Written) -> Option<PushError> {
        let LargeRow { table, bytes } = written.large.iter().max_by_key(|row| row.bytes)?;
        let limit = self.max_row_bytes;
        (*bytes > limit as u64).then(|| {
            PushError::RowTooLarge(format!(
                "a row of `{table}` has {bytes} bytes as JSON, and {limit} are the most (NIZHAL_MAX_ROW_BYTES)"
            ))
        })
    }
}
