//! Jobs that a transaction wants: written with it, for workers to find after its commit; and the buckets that bound what they write.

use super::{
    Engine, PushError,
    push::{checked, is_privileged, is_unheld},
};
use crate::{
    scope::{Carried, readings},
    store::{StoreError, WriteSetEntry},
};
use nizhal_core::NewJob;
use sea_orm::DatabaseTransaction;

/// Why a job could not be enqueued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// Nobody would ever run it.
    #[error("job `{0}` is not in .jobs(...)")]
    Unknown(&'static str),
    /// It is to write in a bucket that is not its actor's.
    #[error("job `{0}` is to write in a bucket that whoever wants it does not hold")]
    Forbidden(&'static str),
    /// What wants it left a row that is larger than devices are sent; the text names the table and the limit.
    #[error("{0}")]
    RowTooLarge(String),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Where a mutator or a job may write, and so where the jobs may that it wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    /// The buckets; none where the server itself wants it, which may write anywhere.
    carried: Option<Carried>,
    /// The tables that are written beyond them.
    privileged: &'static [&'static str],
}

impl Bounds {
    /// These buckets, and all of these tables.
    pub(crate) fn of(carried: Carried, privileged: &'static [&'static str]) -> Self {
        Self { carried: Some(carried), privileged }
    }

    /// Those of a job's row.
    ///
    /// # Errors
    /// When the row's text is none of ours: what cannot be read bounds everything.
    pub(crate) fn read(buckets: Option<&str>, privileged: &'static [&'static str]) -> Result<Self, StoreError> {
        let read = |text: &str| serde_json::from_str(text);
        let carried = buckets.map(read).transpose();
        let carried = carried.map_err(|_| StoreError::Schema("a job's buckets cannot be read".to_owned()))?;
        Ok(Self { carried, privileged })
    }

    /// The first of what was touched that lies beyond them.
    pub(crate) fn beyond<'a>(&self, write_set: &'a [WriteSetEntry]) -> Option<&'a WriteSetEntry> {
        let carried = self.carried.as_ref()?;
        let mut checked = checked(self.privileged, write_set).into_iter();
        checked.find(|entry| is_unheld(entry) || !carried.hold(&entry.bucket))
    }
}

impl Engine {
    /// Writes these jobs with the transaction; each carries the buckets that it names, or all of these bounds.
    ///
    /// # Errors
    /// When one is of no known name, names a bucket beyond the bounds, or the database fails.
    pub(crate) async fn enqueue(
        &self,
        tx: &DatabaseTransaction,
        jobs: &[NewJob],
        bounds: &Bounds,
    ) -> Result<(), EnqueueError> {
        Ok(self.store.on(tx).enqueue(&self.bounded(jobs, bounds)?).await?)
    }

    /// These jobs, each with the buckets that it names, or all of these bounds, as JSON.
    ///
    /// # Errors
    /// When one is of no known name, or names a bucket beyond the bounds.
    pub(in crate::engine) fn bounded<'a>(
        &self,
        jobs: &'a [NewJob],
        bounds: &Bounds,
    ) -> Result<Vec<(&'a NewJob, Option<String>)>, EnqueueError> {
        let mut bounded = Vec::with_capacity(jobs.len());
        for job in jobs {
            if self.schema.job(job.name).is_none() {
                return Err(EnqueueError::Unknown(job.name));
            }
            let carried = if job.buckets.is_empty() { bounds.carried.clone() } else { Some(self.named(job, bounds)?) };
            let text = carried.map(|carried| serde_json::to_string(&carried)).transpose();
            bounded.push((job, text.map_err(|error| StoreError::Schema(error.to_string()))?));
        }
        Ok(bounded)
    }

    /// The buckets that a job names, each of which must lie within the bounds.
    fn named(&self, job: &NewJob, bounds: &Bounds) -> Result<Carried, EnqueueError> {
        let mut named = Vec::new();
        for name in &job.buckets {
            let before = named.len();
            let own = readings(self.schema.rules(), name).into_iter().filter(|(rule, bucket)| {
                let is_carried = bounds.carried.as_ref().is_none_or(|carried| carried.hold(bucket));
                is_carried || is_privileged(bounds.privileged, rule)
            });
            named.extend(own.map(|(_, bucket)| bucket));
            if named.len() == before {
                return Err(EnqueueError::Forbidden(job.name));
            }
        }
        Ok(Carried::only(named))
    }

    /// Says that a commit brought jobs: a worker of this process looks at once.
    pub(crate) fn jobs_came(&self, jobs: &[NewJob]) {
        if !jobs.is_empty() {
            self.job_wake.notify_one();
        }
    }
}

impl From<EnqueueError> for PushError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Store(error) => Self::Store(error),
            EnqueueError::Forbidden(_) => Self::Forbidden,
            EnqueueError::RowTooLarge(reason) => Self::RowTooLarge(reason),
            unknown => Self::Internal(unknown.into()),
        }
    }
}
