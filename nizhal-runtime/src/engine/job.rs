//! Jobs that a transaction wants: written with it, for workers to find after its commit.

use super::{Engine, PushFailure};
use crate::store::StoreError;
use nizhal_core::NewJob;
use sea_orm::DatabaseTransaction;

/// Why a job could not be enqueued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// Nobody would ever run it.
    #[error("job `{0}` is not in .jobs(...)")]
    Unknown(&'static str),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Engine {
    /// Writes these jobs with the transaction.
    ///
    /// # Errors
    /// When one is of no known name, or the database fails.
    pub async fn enqueue(&self, tx: &DatabaseTransaction, jobs: &[NewJob]) -> Result<(), EnqueueError> {
        if let Some(job) = jobs.iter().find(|job| self.schema.job(job.name).is_none()) {
            return Err(EnqueueError::Unknown(job.name));
        }
        Ok(self.store.on(tx).enqueue(jobs).await?)
    }

    /// Says that a commit brought jobs: a worker of this process looks at once.
    pub(crate) fn jobs_came(&self, jobs: &[NewJob]) {
        if !jobs.is_empty() {
            self.job_wake.notify_one();
        }
    }
}

impl From<EnqueueError> for PushFailure {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Store(error) => Self::Store(error),
            unknown => Self::Internal(unknown.into()),
        }
    }
}
