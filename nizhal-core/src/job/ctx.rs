//! What a job works with: its transaction, its moment, and no actor but the buckets of the one who wanted it.

use super::{Jobs, NewJob};
use crate::{DateTimeUtc, Error, GuardedTransaction, Uuid};
use sea_orm::DatabaseTransaction;

/// The parts of a [`JobCtx`], as the runtime makes them.
pub struct JobParts {
    /// The run's own transaction.
    pub tx: DatabaseTransaction,
    /// The server's time when the run began.
    pub now: DateTimeUtc,
    /// Which try this is, from 1.
    pub attempt: u16,
    /// Where fresh ids come from.
    pub ids: Box<dyn FnMut() -> Uuid + Send + Sync>,
    /// The jobs that it wants done.
    pub jobs: Vec<NewJob>,
}

/// A job's context: one transaction, one moment. What it writes lies in the buckets that it carries: those of the actor whose mutation
/// wanted it, unless it is `privileged` for the table.
///
/// ```ignore
/// let entries = LedgerEntry::find().filter(LedgerEntryColumn::CustomerId.eq(id)).all(ctx.db()).await?;
/// ```
pub struct JobCtx {
    db: GuardedTransaction,
    parts: Parts,
}

/// The parts beside the transaction.
struct Parts {
    now: DateTimeUtc,
    attempt: u16,
    ids: Box<dyn FnMut() -> Uuid + Send + Sync>,
    jobs: Vec<NewJob>,
}

impl JobCtx {
    /// A context of these parts.
    pub fn new(parts: JobParts) -> Self {
        let JobParts { tx, now, attempt, ids, jobs } = parts;
        Self { db: GuardedTransaction::new(tx, false), parts: Parts { now, attempt, ids, jobs } }
    }

    /// The parts again, when the job is done, and the error that its result gives way to: it went on where
    /// it could not.
    pub fn into_parts(self) -> (JobParts, Option<Error>) {
        let Parts { now, attempt, ids, jobs } = self.parts;
        let (tx, error) = self.db.into_parts();
        (JobParts { tx, now, attempt, ids, jobs }, error)
    }

    /// The transaction: any sea-orm query runs on it, and the job is done when it commits.
    pub fn db(&self) -> &GuardedTransaction {
        &self.db
    }

    /// The server's time when this run began; it does not move while it runs.
    pub fn now(&self) -> DateTimeUtc {
        self.parts.now
    }

    /// Which try this is, from 1.
    pub fn attempt(&self) -> u16 {
        self.parts.attempt
    }

    /// A fresh UUID v7.
    pub fn new_id(&mut self) -> Uuid {
        (self.parts.ids)()
    }

    /// Further jobs, which exist once this one is done.
    pub fn jobs(&mut self) -> Jobs<'_> {
        let Parts { now, ids, jobs, .. } = &mut self.parts;
        Jobs::new(jobs, ids.as_mut(), *now)
    }
}
