//! Mutations run in their places, once or again.

use super::space::ReplaySpace;
use crate::engine::push::{
    actor::EarlierMemberships,
    batch::SAVEPOINT_TIMEOUT,
    key::recorded,
    reply::PushError,
    run::{MutatorRun, Run},
    trial::{AttemptEnd, Trial},
};
use crate::{
    engine::{Engine, EnqueueError, job::Bounds},
    scope::Carried,
    store::{Action, Fault, Place, Record, StoreError, WriteSetSeal, Written, fault},
};
use nizhal_core::{
    MutatorEntry, NewJob,
    wire::{DependsOn, Mutation},
};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use serde_json::value::RawValue;

/// Where a mutation runs.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) within: &'a ReplaySpace,
    pub(super) position: &'a Place,
    /// What every write of it is sealed with.
    pub(super) seal: &'a WriteSetSeal,
    /// Whether the database knows the place.
    pub(super) is_set: bool,
    /// Whether it has a savepoint, so that it can be refused alone, and what it wrote is looked at by itself.
    pub(super) savepoint: bool,
    /// Whether what it wrote is looked at by itself all the same.
    pub(super) takes_write_set: bool,
}

/// What came of a mutation in its place.
pub(super) struct PlacedRun {
    pub(super) tx: DatabaseTransaction,
    pub(super) result: Result<Record, PushError>,
    /// What it wrote, where that was looked at by itself.
    pub(super) written: Written,
}

impl Engine {
    /// Takes a space back to before this place. False, and nothing is done, where the database refuses rows of then: another space has taken
    /// a value that is unique, or a row is gone that they refer to.
    pub(super) async fn take_back(
        &self,
        tx: &DatabaseTransaction,
        within: &ReplaySpace,
        position: &Place,
    ) -> Result<bool, StoreError> {
        let savepoint = self.store.wait(SAVEPOINT_TIMEOUT, tx.begin()).await?;
        match self.store.on(&savepoint).take_back(&within.name, position).await {
            Ok(()) => {
                self.store.wait(SAVEPOINT_TIMEOUT, savepoint.commit()).await?;
                Ok(true)
            }
            Err(StoreError::Statement(cause)) if fault(&cause) == Fault::Final => {
                self.store.wait(SAVEPOINT_TIMEOUT, savepoint.rollback()).await?;
                let (space, mutation, error) = (&within.name, &position.id, &cause as &dyn std::error::Error);
                tracing::warn!(
                    space,
                    mutation,
                    error,
                    "rows cannot be taken back, and a late mutation takes effect last"
                );
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Runs a mutation in its place. A refusal stays there as one, since it may apply when what is before it is another: that needs a
    /// savepoint.
    pub(super) async fn run_in_place(
        &self,
        tx: DatabaseTransaction,
        at: At<'_>,
        run: Run<'_>,
    ) -> Result<PlacedRun, AttemptEnd> {
        let At { within, position, seal, is_set, savepoint, takes_write_set } = at;
        if !is_set {
            self.store.on(&tx).set_place(Some(&within.name), Some(position)).await?;
        }
        // Without a savepoint it runs on the transaction itself.
        let (outer, inner) = match savepoint {
            true => {
                let inner = self.store.wait(SAVEPOINT_TIMEOUT, tx.begin()).await?;
                (Some(tx), inner)
            }
            false => (None, tx),
        };
        let MutatorRun { tx: inner, jobs, result, .. } = self.run(run, inner).await?;
        let mut ran = match result {
            Ok(record) => {
                let write = self.store.on(&inner);
                let written = match savepoint || takes_write_set {
                    true => write.take_write_set(seal).await?,
                    false => Written::default(),
                };
                let stray = write.stray(&within.name, position).await?;
                let refusal = match self.foreign_to(within, &written, stray).or_else(|| self.oversized(&written)) {
                    None => self.file_jobs(&inner, (within, position), (run.entry, &jobs)).await?,
                    refusal => refusal,
                };
                (refusal.map_or(Ok(record), Err), written)
            }
            Err(refusal) => (Err(refusal), Written::default()),
        };
        if ran.0.is_err() {
            ran.1 = Written::default();
        }
        let (result, written) = ran;
        let tx = match (outer, &result) {
            (Some(outer), Ok(_)) => {
                self.store.wait(SAVEPOINT_TIMEOUT, inner.commit()).await?;
                outer
            }
            (Some(outer), Err(_)) => {
                self.store.wait(SAVEPOINT_TIMEOUT, inner.rollback()).await?;
                outer
            }
            // The whole transaction goes then, whoever shares it.
            (None, Ok(_) | Err(PushError::TransactionControl(_))) => inner,
            (None, Err(_)) => return Err(AttemptEnd::Savepoints),
        };
        Ok(PlacedRun { tx, result, written })
    }

    /// Runs a mutation again that ran before in another past; what it wrote.
    pub(super) async fn run_again(
        &self,
        tx: DatabaseTransaction,
        (within, seal): (&ReplaySpace, &WriteSetSeal),
        (at, action): (usize, &Action),
        (trial, statements): (&Trial, bool),
    ) -> Result<(DatabaseTransaction, Written), AttemptEnd> {
        let id = &action.position.id;
        let entry = self.schema.mutator(&action.name).filter(|entry| entry.desc.replay == Some(within.rule));
        let (tx, result, written) = match entry {
            None => (tx, Err(PushError::UnknownMutator(action.name.clone())), Written::default()),
            Some(_) if trial.broken.contains(id) => (tx, Err(PushError::MutatorPanicked), Written::default()),
            Some(entry) => {
                let principal = (entry.replay.principal)(&action.claims).map_err(|_| claims_of_another_type())?;
                let mutation = mutation_of(action)?;
                let run = Run {
                    principal: &principal,
                    entry,
                    mutation: &mutation,
                    hlc: action.position.stamp,
                    savepoints: statements,
                    earlier: None::<&EarlierMemberships>,
                    replayed_in: Some(&within.bucket),
                };
                let place = At {
                    within,
                    position: &action.position,
                    seal,
                    is_set: false,
                    savepoint: true,
                    takes_write_set: true,
                };
                match self.run_in_place(tx, place, run).await {
                    Ok(PlacedRun { tx, result, written }) => (tx, result, written),
                    // It does so each time: the others must not wait for it.
                    Err(AttemptEnd::Failed(failure)) if is_its_own(&failure) => {
                        let error = &failure as &dyn std::error::Error;
                        tracing::error!(
                            mutator = action.name,
                            mutation = id,
                            error,
                            "a mutation failed when it ran again"
                        );
                        return Err(AttemptEnd::Broken(id.clone()));
                    }
                    Err(other) => return Err(other),
                }
            }
        };
        let record = recorded(&result);
        if record.status != action.status {
            self.store.on(&tx).revise(&within.name, (at, action), &record).await?;
        }
        Ok((tx, written))
    }

    /// The refusal of a mutation that wrote beyond its space: rows of another bucket of the rule, or of a table that is not replayed.
    pub(super) fn foreign_to(&self, within: &ReplaySpace, written: &Written, stray: Option<&str>) -> Option<PushError> {
        let foreign = written.write_set.iter().find(|entry| {
            self.store.replayed_in(&entry.table) != Some(within.rule)
                || (entry.bucket.rule == within.rule && entry.bucket != within.bucket)
        });
        let (table, space) = (foreign.map(|entry| entry.table.as_str()).or(stray)?, &within.name);
        tracing::error!(table, space, "a replayed mutator writes replayed tables alone, and rows of its own bucket");
        Some(PushError::Forbidden)
    }

    /// Keeps the jobs that a mutation wants until it is final. They may write in its bucket, whoever holds which others when it runs again.
    /// Gives back the refusal of one that is to write elsewhere.
    async fn file_jobs(
        &self,
        tx: &DatabaseTransaction,
        (within, position): (&ReplaySpace, &Place),
        (entry, jobs): (&MutatorEntry, &[NewJob]),
    ) -> Result<Option<PushError>, AttemptEnd> {
        if jobs.is_empty() {
            return Ok(None);
        }
        let bounds = Bounds::of(Carried::only(vec![within.bucket.clone()]), entry.desc.privileged);
        let bounded = match self.bounded(jobs, &bounds) {
            Ok(bounded) => bounded,
            Err(EnqueueError::Forbidden(_)) => return Ok(Some(PushError::Forbidden)),
            Err(failure) => return Err(AttemptEnd::Failed(failure.into())),
        };
        self.store.on(tx).file_jobs(&within.name, position, &bounded).await?;
        Ok(None)
    }
}

/// Whether a failure is the mutation's own, and not the database's, which may be well the next time.
fn is_its_own(failure: &PushError) -> bool {
    !matches!(failure, PushError::Store(error) if !matches!(error, StoreError::Statement(_)))
}

/// The mutation as it runs in its place: one without a stamp has the place's, each time.
pub(super) fn replayed(mutation: &Mutation, position: &Place) -> Mutation {
    Mutation {
        name: mutation.name.clone(),
        args: mutation.args.clone(),
        client_mutation_id: mutation.client_mutation_id.clone(),
        client_id: mutation.client_id.clone(),
        mutation_id: mutation.mutation_id,
        hlc: mutation.hlc.or(Some(position.stamp)),
        depends_on: mutation.depends_on.clone(),
    }
}

fn mutation_of(action: &Action) -> Result<Mutation, AttemptEnd> {
    let args = RawValue::from_string(action.args.clone())
        .map_err(|error| AttemptEnd::Failed(PushError::Internal(error.into())))?;
    let mutation = Mutation {
        name: action.name.clone(),
        args,
        client_mutation_id: action.position.id.clone(),
        client_id: action.client_id.clone(),
        mutation_id: None,
        hlc: action.sent,
        depends_on: DependsOn::default(),
    };
    Ok(replayed(&mutation, &action.position))
}

pub(super) fn claims_of_another_type() -> AttemptEnd {
    AttemptEnd::Failed(PushError::Internal(
        "the claims of a replayed mutation are of another type than the mutator's".into(),
    ))
}
