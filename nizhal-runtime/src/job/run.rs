//! One job from lease to commit.
//!
//! The handler runs on a savepoint of a transaction that holds the job's row. Success commits what it wrote, the jobs it wants and
//! the row's deletion together; failure rolls the savepoint back and commits the verdict. A crash leaves the lease alone, and the
//! job is taken again: at least once always, and for what is in the database exactly once.
//!
//! Decision: book/src/decisions/mutators.md#a-job-is-leased-in-one-commit-and-run-in-another

use super::{
    failure::{Failure, pause},
    share::Workers,
};
use crate::{
    engine::{Engine, EnqueueError, job::Bounds},
    store::{Fault, LeasedJob, StoreError, WriteSetEntry, WriteSetSeal, fault},
};
use chrono::TimeDelta;
use futures_util::FutureExt;
use nizhal_core::{DateTimeUtc, Error, JobEntry, JobParts};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

/// How long after its lease a job that nobody holds may be leased again: time to begin the run, no more.
const LEASE_DURATION: TimeDelta = TimeDelta::seconds(30);
/// How long a handler may take.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(300);

/// The end of a job's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// It is done.
    Done,
    /// It is tried again later, or another worker has it.
    Later,
    /// It is given up.
    Dead,
}

/// Runs the next due job as the only worker there is. Returns how that ended, and nothing where none is due.
///
/// # Errors
/// When the database fails. The job is then as it was, or is taken again later.
pub async fn run_next_alone(engine: &Engine, due: DateTimeUtc) -> Result<Option<JobEnd>, StoreError> {
    run_next(engine, &Workers::new(1), due).await
}

/// Runs the job whose turn it is among those that are due at `due`; `None` when none is, or all are of actors that have their share of
/// the workers.
///
/// # Errors
/// When the database fails. The job is then as it was, or is taken again later.
pub(crate) async fn run_next(
    engine: &Engine,
    workers: &Arc<Workers>,
    due: DateTimeUtc,
) -> Result<Option<JobEnd>, StoreError> {
    let names = engine.schema.job_names();
    let leased_until = engine.environment.now() + LEASE_DURATION;
    let leasing = workers.leasing.lock().await;
    let leased = engine.store.lease_job(&names, due, leased_until, &workers.busy()).await?;
    let Some(job) = leased else { return Ok(None) };
    let worker = workers.assign(&job.actor);
    drop(leasing);
    // There may be more: another worker looks.
    engine.job_wake.notify_one();
    let Some(entry) = engine.schema.job(&job.name).filter(|_| !job.dead) else {
        tracing::error!(job = %job.name, id = %job.id, "a job is dead: the server ended each time it ran");
        return Ok(Some(JobEnd::Dead));
    };
    let end = run(engine, entry, &job).await;
    drop(worker);
    // Another of its actor's may have waited for this one alone.
    engine.job_wake.notify_one();
    match end {
        Ok(end) => Ok(Some(end)),
        // The commit was refused, and would be again.
        Err(StoreError::Statement(cause)) => fail(engine, &job, &Error::Db(cause)).await.map(Some),
        Err(error) => {
            let run_at = engine.environment.now() + pause(job.attempt, engine.environment.new_id());
            // At best: the database may be away, and then the job is leased again all the same.
            let _ = engine.store.give_back(&job, run_at).await;
            Err(error)
        }
    }
}

async fn run(engine: &Engine, entry: &JobEntry, job: &LeasedJob) -> Result<JobEnd, StoreError> {
    let tx = engine.store.begin().await?;
    let write = engine.store.on(&tx);
    let seal = write.begin_job().await?;
    if !write.hold_job(job).await? {
        engine.store.roll_back(tx).await?;
        return Ok(JobEnd::Later);
    }
    let end = match attempt(engine, entry, job, (&tx, &seal)).await? {
        Ok(()) => {
            write.job_done(job).await?;
            JobEnd::Done
        }
        Err(failure) => file(engine, job, &failure, &tx).await?,
    };
    write.finish_job(&seal).await?;
    engine.store.commit(tx).await?;
    if end != JobEnd::Later {
        engine.store.audit_written();
    }
    Ok(end)
}

/// Files that a job failed whose transaction is gone.
async fn fail(engine: &Engine, job: &LeasedJob, error: &Error) -> Result<JobEnd, StoreError> {
    tracing::warn!(job = %job.name, id = %job.id, error = error as &dyn std::error::Error, "a job's commit was refused");
    let tx = engine.store.begin().await?;
    let write = engine.store.on(&tx);
    let seal = write.begin_job().await?;
    if !write.hold_job(job).await? {
        engine.store.roll_back(tx).await?;
        return Ok(JobEnd::Later);
    }
    let end = file(engine, job, &Failure::of(error), &tx).await?;
    write.finish_job(&seal).await?;
    engine.store.commit(tx).await?;
    Ok(end)
}

async fn file(
    engine: &Engine,
    job: &LeasedJob,
    failure: &Failure,
    tx: &DatabaseTransaction,
) -> Result<JobEnd, StoreError> {
    let verdict = failure.verdict(job, engine.environment.now(), engine.environment.new_id());
    let end = if verdict.dead { JobEnd::Dead } else { JobEnd::Later };
    tracing::warn!(job = %job.name, id = %job.id, attempt = job.attempt, dead = verdict.dead, error = verdict.error, "a job failed");
    engine.store.on(tx).job_failed(job, verdict).await?;
    Ok(end)
}

/// Runs the handler on a savepoint, which is gone again when it fails.
async fn attempt(
    engine: &Engine,
    entry: &JobEntry,
    job: &LeasedJob,
    (tx, seal): (&DatabaseTransaction, &WriteSetSeal),
) -> Result<Result<(), Failure>, StoreError> {
    let environment = engine.environment.clone();
    let parts = JobParts {
        tx: tx.begin().await?,
        now: environment.now(),
        attempt: u16::try_from(job.attempt).unwrap_or(u16::MAX),
        ids: Box::new(move || environment.new_id()),
        jobs: Vec::new(),
    };
    let bounds = Bounds::read(job.buckets.as_deref(), entry.desc.privileged)?;
    let running = AssertUnwindSafe((entry.call)(parts, &job.args)).catch_unwind();
    // Where the parts are lost, so is the savepoint: dropping it rolls it back.
    let (mut parts, result) = match tokio::time::timeout(HANDLER_TIMEOUT, running).await {
        Ok(Ok(job_run)) => job_run,
        Ok(Err(_)) => return Ok(Err(Failure::Again("the job panicked".to_owned()))),
        Err(_) => return Ok(Err(Failure::Again("the job ran longer than five minutes".to_owned()))),
    };
    parts.jobs.iter_mut().for_each(|next| next.actor.clone_from(&job.actor));
    let result = match result {
        Ok(()) => match judged(engine, entry.desc.name, job, (&bounds, &parts, seal)).await {
            Ok(()) => Ok(()),
            Err(EnqueueError::Store(StoreError::Statement(cause))) => Err(Error::Db(cause)),
            Err(EnqueueError::Store(StoreError::Unsealed(how))) => Err(Error::TransactionControl(how.to_owned())),
            Err(EnqueueError::Store(error)) => return Err(error),
            Err(EnqueueError::Forbidden(_)) => Err(Error::Forbidden),
            Err(EnqueueError::RowTooLarge(reason)) => Err(Error::Rejected(reason)),
            Err(error) => Err(Error::internal(error)),
        },
        failed => failed,
    };
    match result {
        Ok(()) => parts.tx.commit().await?,
        Err(error) => {
            if let Error::Db(cause) = &error
                && fault(cause) == Fault::StalePlan
            {
                engine.store.renew_connections();
            }
            // The cause is for the log; the row gets a text that is safe.
            tracing::warn!(job = %job.name, id = %job.id, error = &error as &dyn std::error::Error, "a job's handler failed");
            let failure = Failure::of(&error);
            parts.tx.rollback().await?;
            return Ok(Err(failure));
        }
    }
    Ok(Ok(()))
}

/// Writes the jobs that a handler wants, when it wrote within its bounds, and no row that is too large.
async fn judged(
    engine: &Engine,
    name: &'static str,
    job: &LeasedJob,
    (bounds, parts, seal): (&Bounds, &JobParts, &WriteSetSeal),
) -> Result<(), EnqueueError> {
    // What the handler deferred is judged with the rest.
    engine.store.on(&parts.tx).run_deferred().await?;
    let written = engine.store.on(&parts.tx).sealed(seal).await?;
    if let Some(WriteSetEntry { bucket, table, .. }) = bounds.beyond(&written.write_set) {
        tracing::warn!(
            job = %job.name, id = %job.id, table, rule = bucket.rule,
            "a job wrote beyond the buckets that it carries: those of the actor whose mutation wanted it; \
             #[nizhal::job(privileged(Table))] may"
        );
        return Err(EnqueueError::Forbidden(name));
    }
    if let Some(refusal) = engine.oversized(&written) {
        return Err(EnqueueError::RowTooLarge(refusal.to_string()));
    }
    engine.enqueue(&parts.tx, &parts.jobs, bounds).await
}
