//! A mutation that takes effect in the order it was made: one that arrives late takes its place among those that ran, and those behind it
//! run again.
//!
//! The rows of a space, and the results of its mutations, are those of a database on which they ran one by one in the order of their
//! places. A place is the mutation's stamp, unless its client has a later one, or the space is settled there. What is behind a late mutation
//! is taken back by sets, from images that triggers kept (`store/replay.rs`), and runs again under its own stamp, ids and claims.
//!
//! Decision: book/src/decisions/replay.md#late-mutations-run-on-the-server

use super::{
    actor::{Holding, Holdings},
    key::{ids_of, refused},
    reply::{Answer, PushError, Verdict},
    run::{MutatorRun, Run, storable_reason},
    transact::{AttemptEnd, Delivery, Done, News},
};
use crate::{
    engine::Engine,
    store::{Action, Ended, Fault, Place, PullHeader, Record, Space, StoreError, WriteSetSeal, Written, fault},
};
use nizhal_core::{
    Bucket, DateTimeUtc, Error, Hlc, MutatorEntry, NodeId,
    wire::{DependsOn, Mutation},
};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use serde_json::value::RawValue;
use std::{collections::BTreeSet, time::Duration};

/// The most mutations that run again for one that comes late. One that is later than that takes its place behind all of them.
const MAX_REWOUND: u32 = 2_000;

/// How long mutations may come late, in days: what was done before is settled.
const MAX_LATE_DAYS: i64 = 14;

/// How long the database may take to make, keep or roll back a savepoint.
const SAVEPOINT_TIMEOUT: Duration = Duration::from_secs(15);

/// The space of a mutation: one bucket of one rule.
struct ReplaySpace<'a> {
    rule: &'static str,
    bucket: Bucket,
    /// Its name in the database.
    space: String,
    /// What every write of it is sealed with.
    seal: &'a WriteSetSeal,
}

/// What came of a mutation in its place.
struct PlacedRun {
    tx: DatabaseTransaction,
    result: Result<Record, PushError>,
    written: Written,
}

impl Engine {
    /// Runs the mutation in its place, and those behind it again.
    pub(super) async fn replay_on(
        &self,
        tx: DatabaseTransaction,
        delivery: Delivery<'_>,
        run: Run<'_>,
        (before, seal): (i64, &WriteSetSeal),
    ) -> Result<Done, AttemptEnd> {
        let Run { principal, entry, mutation, .. } = run;
        let refuse = |tx, refusal| Ok(Done::rolled_back(tx, Err(refusal)));
        let within = match place_of(entry, mutation, seal) {
            Ok(within) => within,
            Err(refusal) if refusal.is_final() => return refuse(tx, refusal),
            Err(failure) => return Err(AttemptEnd::Failed(failure)),
        };
        let write = self.store.on(&tx);
        let members = write.members(principal).await?;
        if Holdings::new(&self.schema, principal, None, &members).all([&within.bucket]) != Holding::Own {
            return refuse(tx, PushError::Forbidden);
        }
        let space = write.lock_space(&within.space, mutation.client_id.as_deref()).await?;
        let (mut position, mut later) = self.position(&tx, &within, &space, (run.hlc, mutation)).await?;
        let mut written = Written::default();
        if !later.is_empty() && !self.take_back(&tx, &within, &position).await? {
            (position, later) = (last_place(position, space.head.as_ref()), Vec::new());
        }
        if !later.is_empty() {
            let write = self.store.on(&tx);
            // Of whichever mutations wrote it, and so not for this actor to answer for.
            written = write.take_write_set(seal).await?;
        }
        let (mut tx, result) = {
            let replayed = replayed(mutation, &position);
            let run = Run { mutation: &replayed, hlc: position.stamp, replayed_in: Some(&within.bucket), ..run };
            let PlacedRun { tx, result, written: own } = self.run_in_place(tx, &within, run, &position).await?;
            let header = PullHeader { members, ..PullHeader::default() };
            let holding = self.judge_writes((principal, entry), None, &own.write_set, &header)?;
            if result.is_ok() && holding != Holding::Own {
                return refuse(tx, PushError::Forbidden);
            }
            if let Err(control @ PushError::TransactionControl(_)) = result {
                return refuse(tx, control);
            }
            add(&mut written, own);
            (tx, result)
        };
        for (at, action) in later.iter().enumerate() {
            let (back, again) = self.run_again(tx, &within, (at, action), delivery.broken).await?;
            tx = back;
            add(&mut written, again);
        }
        let record = result.as_ref().map_or_else(refused, Clone::clone);
        let write = self.store.on(&tx);
        let action = Action {
            actor: principal.key().to_owned(),
            claims: (entry.replay.claims)(principal).ok_or_else(claims_of_another_type)?,
            name: mutation.name.clone(),
            args: mutation.args.get().to_owned(),
            client_id: mutation.client_id.clone(),
            sent: mutation.hlc,
            status: record.status.to_owned(),
            position,
        };
        write.file_action(&within.space, &action).await?;
        write.set_place(None, None).await?;
        let ended = Ended { key: *delivery.key, record: record.clone(), taken: Some(&written) };
        let (rest, _) = self.record_results(&tx, principal, (before, seal), &ended).await?;
        if !rest.write_set.is_empty() {
            // What is deferred until the commit wrote it, of whichever of them.
            return refuse(tx, PushError::Forbidden);
        }
        written.add(rest);
        let news = News { filed: 1, written, jobs: Vec::new() };
        let verdict = match result {
            Ok(record) => Verdict::Applied(ids_of(&record)),
            Err(refusal) => Verdict::Refused(refusal),
        };
        Ok(Done::kept(tx, news, Answer::over(delivery.key, verdict)))
    }

    /// Where a mutation takes effect, and what is behind it.
    async fn position(
        &self,
        tx: &DatabaseTransaction,
        within: &ReplaySpace<'_>,
        space: &Space,
        (stamp, mutation): (Hlc, &Mutation),
    ) -> Result<(Place, Vec<Action>), StoreError> {
        let position = Place { stamp, id: mutation.client_mutation_id.clone() };
        let position = last_place(last_place(position, space.last.as_ref()), space.settled.as_ref());
        let position = last_place(position, Some(&horizon(self.environment.now())));
        if space.head.as_ref().is_none_or(|head| position > *head) {
            return Ok((position, Vec::new()));
        }
        let later = self.store.on(tx).actions_behind(&within.space, &position, MAX_REWOUND + 1).await?;
        if later.len() > MAX_REWOUND as usize {
            let (name, mutation) = (&within.space, &mutation.client_mutation_id);
            tracing::warn!(space = name, mutation, "a mutation is too late to take its place, and takes effect last");
            return Ok((last_place(position, space.head.as_ref()), Vec::new()));
        }
        Ok((position, later))
    }

    /// Takes a space back to before this place. False, and nothing is done, where the database refuses rows of then: another space has taken
    /// a value that is unique, or a row is gone that they refer to.
    async fn take_back(
        &self,
        tx: &DatabaseTransaction,
        within: &ReplaySpace<'_>,
        position: &Place,
    ) -> Result<bool, StoreError> {
        let savepoint = self.store.wait(SAVEPOINT_TIMEOUT, tx.begin()).await?;
        match self.store.on(&savepoint).take_back(&within.space, position).await {
            Ok(()) => {
                self.store.wait(SAVEPOINT_TIMEOUT, savepoint.commit()).await?;
                Ok(true)
            }
            Err(StoreError::Statement(cause)) if fault(&cause) == Fault::Final => {
                self.store.wait(SAVEPOINT_TIMEOUT, savepoint.rollback()).await?;
                let (space, mutation, error) = (&within.space, &position.id, &cause as &dyn std::error::Error);
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

    /// Runs a mutation in its place, with a savepoint: a refusal stays there as one, since it may apply when what is before it is another.
    async fn run_in_place(
        &self,
        tx: DatabaseTransaction,
        within: &ReplaySpace<'_>,
        run: Run<'_>,
        position: &Place,
    ) -> Result<PlacedRun, AttemptEnd> {
        self.store.on(&tx).set_place(Some(&within.space), Some(position)).await?;
        let savepoint = self.store.wait(SAVEPOINT_TIMEOUT, tx.begin()).await?;
        let MutatorRun { tx: inner, jobs, result, .. } = self.run(run, savepoint).await?;
        let mut ran = match result {
            Ok(record) => {
                let written = self.store.on(&inner).take_write_set(within.seal).await?;
                let stray = self.store.on(&inner).stray(&within.space, position).await?;
                let result = match self.foreign_to(within, &written, stray) {
                    Some(refusal) => Err(refusal),
                    None if !jobs.is_empty() => return Err(AttemptEnd::Failed(wants_jobs(run.entry))),
                    None => self.oversized(&written).map_or(Ok(record), Err),
                };
                (result, written)
            }
            Err(refusal) => (Err(refusal), Written::default()),
        };
        if ran.0.is_err() {
            ran.1 = Written::default();
            self.store.wait(SAVEPOINT_TIMEOUT, inner.rollback()).await?;
        } else {
            self.store.wait(SAVEPOINT_TIMEOUT, inner.commit()).await?;
        }
        let (result, written) = ran;
        Ok(PlacedRun { tx, result, written })
    }

    /// Runs a mutation again that ran before in another past.
    async fn run_again(
        &self,
        tx: DatabaseTransaction,
        within: &ReplaySpace<'_>,
        (at, action): (usize, &Action),
        broken: &BTreeSet<String>,
    ) -> Result<(DatabaseTransaction, Written), AttemptEnd> {
        let id = &action.position.id;
        let entry = self.schema.mutator(&action.name).filter(|entry| entry.desc.replay == Some(within.rule));
        let (tx, result, written) = match entry {
            None => (tx, Err(PushError::UnknownMutator(action.name.clone())), Written::default()),
            Some(_) if broken.contains(id) => (tx, Err(PushError::MutatorPanicked), Written::default()),
            Some(entry) => {
                let principal = (entry.replay.principal)(&action.claims).map_err(|_| claims_of_another_type())?;
                let mutation = mutation_of(action)?;
                let run = Run {
                    principal: &principal,
                    entry,
                    mutation: &mutation,
                    hlc: action.position.stamp,
                    savepoints: false,
                    earlier: None,
                    replayed_in: Some(&within.bucket),
                };
                match self.run_in_place(tx, within, run, &action.position).await {
                    Ok(PlacedRun { tx, result, written }) => (tx, result, written),
                    // It does so each time: the others must not wait for it.
                    Err(AttemptEnd::Failed(failure)) => {
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
        let record = result.as_ref().map_or_else(refused, Clone::clone);
        if record.status != action.status {
            self.store.on(&tx).revise(&within.space, (at, action), &record).await?;
        }
        Ok((tx, written))
    }

    /// The refusal of a mutation that wrote beyond its space: rows of another bucket of the rule, or of a table that is not replayed.
    fn foreign_to(&self, within: &ReplaySpace<'_>, written: &Written, stray: Option<&str>) -> Option<PushError> {
        let is_replayed = |table: &str| {
            let replayed = self.schema.replayed();
            replayed.iter().any(|replayed| {
                replayed.table.name == table && replayed.buckets.iter().any(|(rule, _)| *rule == within.rule)
            })
        };
        let foreign = written.write_set.iter().find(|entry| {
            !is_replayed(&entry.table) || (entry.bucket.rule == within.rule && entry.bucket != within.bucket)
        });
        let (table, space) = (foreign.map(|entry| entry.table.as_str()).or(stray)?, &within.space);
        tracing::error!(table, space, "a replayed mutator writes replayed tables alone, and rows of its own bucket");
        Some(PushError::Forbidden)
    }
}

/// Nothing takes its place before this one any more.
pub(in crate::engine) fn horizon(now: DateTimeUtc) -> Place {
    let millis = now.timestamp_millis().saturating_sub(MAX_LATE_DAYS * 24 * 60 * 60 * 1_000);
    Place { stamp: Hlc { millis, counter: 0, node: NodeId(0) }, id: String::new() }
}

/// The place, or the next one behind the other.
fn last_place(position: Place, other: Option<&Place>) -> Place {
    match other {
        Some(other) if position <= *other => Place { stamp: Place::behind(other.stamp), ..position },
        _ => position,
    }
}

fn place_of<'a>(
    entry: &MutatorEntry,
    mutation: &Mutation,
    seal: &'a WriteSetSeal,
) -> Result<ReplaySpace<'a>, PushError> {
    let rule = entry.desc.replay.ok_or_else(|| PushError::Internal("the mutator is not replayed".into()))?;
    let value = match (entry.replay.bucket)(&mutation.args) {
        Ok(Some(value)) => value.to_string(),
        Ok(None) => return Err(PushError::Internal("a replayed mutator names no bucket".into())),
        Err(Error::InvalidArgs(reason)) => return Err(PushError::InvalidArgs(storable_reason(&reason))),
        Err(error) => return Err(PushError::Internal(error.into())),
    };
    let bucket = Bucket::new(rule, vec![value]);
    let space = format!("{rule}:{}", bucket.key());
    Ok(ReplaySpace { rule, bucket, space, seal })
}

/// The mutation as it runs in its place: one without a stamp has the place's, each time.
fn replayed(mutation: &Mutation, position: &Place) -> Mutation {
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

/// Adds what was written later, with its lines.
fn add(written: &mut Written, later: Written) {
    written.raw_write_set.push_str(&later.raw_write_set);
    written.add(later);
}

fn claims_of_another_type() -> AttemptEnd {
    AttemptEnd::Failed(PushError::Internal(
        "the claims of a replayed mutation are of another type than the mutator's".into(),
    ))
}

fn wants_jobs(entry: &MutatorEntry) -> PushError {
    let mutator = entry.desc.name;
    tracing::error!(mutator, "a replayed mutator wants a job, which would be done for a past that may become another");
    PushError::Internal("a replayed mutator wants a job".into())
}

impl Engine {
    /// Forgets what it took to take spaces back to before what is settled; how many mutations.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_settled(&self) -> Result<u64, StoreError> {
        if !self.replays {
            return Ok(0);
        }
        self.store.forget_settled(&horizon(self.environment.now())).await
    }
}
