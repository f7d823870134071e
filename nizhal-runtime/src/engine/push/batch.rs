//! Several mutations of one client in one transaction: one commit for all, and each as if it were alone.
//!
//! Tried twice at most. *Plainly* first: the mutators run one after the other, and when all applied and all that was written is
//! the actor's, no one could tell the difference. (Where it must be known who wrote what, one statement looks after each.) A
//! refusal needs what ran before it kept and its own writes gone, so then all is rolled back and tried *with savepoints*, one for
//! each mutation, where a refusal is filed with the others' answers. Whatever else comes in between (a deadlock, a fault, a write out of scope, a mutation that was seen before) rolls all of it back, and
//! the mutations are taken one at a time. Nothing is answered or pinged before the commit, so a crash leaves all or none.
//!
//! Decision: book/src/decisions/pushing.md#a-batch-is-tried-plainly-then-with-savepoints-then-one-by-one

use super::{
    acknowledged::Acknowledged,
    actor::Holding,
    key::{key_of, refused, verdict_of},
    reply::{Answer, PushError, numbered},
    run::{MutatorRun, Run},
    transact::News,
};
use crate::{
    engine::Engine,
    store::{CommitSlot, Ended, MutationKey, Record, RecordResults, WriteSetSeal, Written},
};
use chrono::TimeDelta;
use nizhal_core::{
    MutatorEntry, NewJob, Principal,
    wire::{Mutation, Wire},
};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use std::{collections::BTreeSet, time::Duration};

/// The most mutations in one transaction. Postgres keeps track of 64 savepoints a session where all can see them; beyond that
/// everybody's snapshots get dearer.
const MAX_MUTATIONS_PER_COMMIT: usize = 50;
/// How long a transaction may go on taking mutations: what it wrote waits for its end to be pulled.
pub(super) const MAX_BATCH_DURATION: TimeDelta = TimeDelta::milliseconds(100);

/// How long the database may take to make, keep or roll back a savepoint.
pub(super) const SAVEPOINT_TIMEOUT: Duration = Duration::from_secs(15);

/// How the mutations of a transaction are told from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BatchMode {
    /// Each has a stamp of its own.
    stamps: bool,
    /// What each wrote is looked at by itself.
    takes_write_sets: bool,
    /// Each has a savepoint, so that it can be refused alone.
    savepoints: bool,
}

/// The mutations that are tried in one transaction, and whose they are.
#[derive(Clone, Copy, Debug)]
struct Sent<'a> {
    principal: &'a Principal,
    wire: Wire,
    mutations: &'a [Mutation],
    acknowledged: &'a Acknowledged,
}

/// The reason why a batch was rolled back.
pub(super) enum BatchRollback {
    /// A mutation was refused.
    NeedsSavepoints,
    /// They are to be taken one at a time.
    OneByOne,
}

impl<E: Into<PushError>> From<E> for BatchRollback {
    fn from(failure: E) -> Self {
        let failure = failure.into();
        // Taken alone, each meets the fault or not, and says so where it does.
        tracing::debug!(error = &failure as &dyn std::error::Error, "a batch is split");
        Self::OneByOne
    }
}

/// One mutation of a batch, ended but not committed.
struct EndedMutation<'a> {
    entry: &'a MutatorEntry,
    key: MutationKey<'a>,
    result: Result<Record, PushError>,
    /// What it wrote, where that was looked at by itself.
    written: Written,
}

/// Mutations that ended, to be committed.
struct OpenBatch<'a> {
    tx: DatabaseTransaction,
    ended: Vec<EndedMutation<'a>>,
    jobs: Vec<NewJob>,
    /// What they wrote that was not looked at by itself.
    written: Written,
}

impl Engine {
    /// How many mutations, from the first on, can be tried together: all of one client, the next in its sequence, each of a
    /// mutator that is known and changes no memberships, none twice.
    pub(super) fn batch_len(&self, mutations: &[Mutation]) -> usize {
        let Some(first) = mutations.first() else { return 0 };
        let sequenced = |mutation: &Mutation| mutation.client_id.is_some() && numbered(mutation).is_some();
        let mut ids = BTreeSet::new();
        let mut count: usize = 0;
        for (index, mutation) in (0..).zip(mutations).take(MAX_MUTATIONS_PER_COMMIT) {
            let next = match numbered(first) {
                Some(start) if sequenced(first) => {
                    mutation.client_id == first.client_id && numbered(mutation) == start.checked_add(index)
                }
                _ => !sequenced(mutation),
            };
            let entry = self.schema.mutator(&mutation.name);
            // Memberships are read once, for all: who may change them is judged alone. And so is what takes its place among others.
            let may_join =
                entry.is_some_and(|entry| !self.may_change_memberships(entry) && entry.desc.replay.is_none());
            if !next || !may_join || !ids.insert(&mutation.client_mutation_id) {
                break;
            }
            count += 1;
        }
        count
    }

    /// Whether the mutator is privileged for a table that gives rules their buckets.
    pub(super) fn may_change_memberships(&self, entry: &MutatorEntry) -> bool {
        entry.desc.privileged.iter().any(|table| self.schema.gives_buckets(table))
    }

    /// Tries them in one transaction: the answers to those that were done, from the first on. None when they are to be taken one
    /// at a time; fewer than all when one ended the batch or it took long.
    pub(super) async fn run_batch(
        &self,
        principal: &Principal,
        wire: Wire,
        mutations: &[Mutation],
        acknowledged: &Acknowledged,
    ) -> Vec<Answer> {
        let privileged = |mutation: &Mutation| {
            self.schema.mutator(&mutation.name).is_none_or(|entry| !entry.desc.privileged.is_empty())
        };
        let stamps = self.merges_columns && mutations.iter().any(|mutation| mutation.hlc.is_some());
        let takes_write_sets = self.store.is_audited() || stamps || mutations.iter().any(privileged);
        let sent = Sent { principal, wire, mutations, acknowledged };
        let mut done = self.attempt_batch(sent, BatchMode { stamps, takes_write_sets, savepoints: false }).await;
        if let Err(BatchRollback::NeedsSavepoints) = done {
            done = self.attempt_batch(sent, BatchMode { stamps, takes_write_sets: true, savepoints: true }).await;
        }
        done.unwrap_or_default()
    }

    async fn attempt_batch(&self, sent: Sent<'_>, mode: BatchMode) -> Result<Vec<Answer>, BatchRollback> {
        let (tx, slot) = self.store.begin_push(false).await?;
        let OpenBatch { tx, ended, jobs, written } = match self.attempt_batch_on(tx, &slot, sent, mode).await {
            Ok(open_batch) => open_batch,
            Err(rollback) => {
                slot.abandon(None, false).await;
                return Err(rollback);
            }
        };
        slot.commit(tx).await?;
        let mut news = News { filed: ended.len(), written, jobs };
        let mut answers = Vec::with_capacity(ended.len());
        for EndedMutation { entry, key, result, written } in ended {
            let lost = self.lost(entry, &written.conflicts);
            news.written.add(written);
            let verdict = verdict_of(result.map(|record| Record { lost, ..record }));
            answers.push(Answer::over(&key, verdict));
        }
        self.publish(&news);
        Ok(answers)
    }

    async fn attempt_batch_on<'a>(
        &'a self,
        mut tx: DatabaseTransaction,
        slot: &CommitSlot<'_>,
        sent: Sent<'a>,
        mode: BatchMode,
    ) -> Result<OpenBatch<'a>, BatchRollback> {
        let Sent { principal, wire, mutations, acknowledged } = sent;
        let begun = self.environment.now();
        let seal = WriteSetSeal::draw();
        let before = self.admit_all(&tx, slot, (principal, &seal), mutations).await?;
        if let Some(refusal) = self.missing_blobs(&tx, principal, mutations).await? {
            // Those before the one that names it are to apply.
            return Err(refusal.into());
        }
        let mut ended: Vec<EndedMutation<'_>> = Vec::with_capacity(mutations.len());
        let mut jobs = Vec::new();
        for mutation in mutations {
            if !ended.is_empty() && self.environment.now() - begun > MAX_BATCH_DURATION {
                break;
            }
            let entry = self.schema.mutator(&mutation.name).ok_or(BatchRollback::OneByOne)?;
            let key = key_of(principal, mutation, acknowledged);
            let (result, written) = match self.cancelled(&tx, principal, wire, mutation, &ended).await? {
                Some(on) => (Err(PushError::Cancelled(on)), Written::default()),
                None => {
                    let (back, result, written) =
                        self.run_in_batch(tx, (mode, &seal), (principal, entry, mutation), &mut jobs).await?;
                    tx = back;
                    (result, written)
                }
            };
            let ends = wire == Wire::One && result.is_err();
            ended.push(EndedMutation { entry, key, result, written });
            if ends {
                break;
            }
        }
        self.end_all(tx, principal, (mode, before, &seal), ended, jobs).await
    }

    /// The version of the client's mutation before, when all of them are to run.
    pub(super) async fn admit_all(
        &self,
        tx: &DatabaseTransaction,
        slot: &CommitSlot<'_>,
        (principal, seal): (&Principal, &WriteSetSeal),
        mutations: &[Mutation],
    ) -> Result<i64, BatchRollback> {
        let ids: Vec<&str> = mutations.iter().map(|mutation| mutation.client_mutation_id.as_str()).collect();
        let first = mutations.first().and_then(|mutation| mutation.client_id.as_deref().zip(numbered(mutation)));
        let client_id = first.map(|(client_id, _)| client_id);
        let standing = self.store.on(tx).admit(principal.key(), client_id, &ids, (seal, None)).await?;
        slot.identify(standing.backend);
        let made_ms: Vec<Option<i64>> = mutations.iter().map(|mutation| mutation.hlc.map(|hlc| hlc.millis)).collect();
        match (first, standing.sequence) {
            _ if standing.is_answered => Err(BatchRollback::OneByOne),
            // What may have been forgotten is judged one by one too.
            (None, _) if standing.forgotten_ms > 0 && made_ms.iter().any(Option::is_some) => {
                Err(BatchRollback::OneByOne)
            }
            (None, _) => Ok(0),
            // What may be of a client that was forgotten is judged one by one.
            (_, Some(sequence))
                if sequence.forgotten_ms > 0
                    && made_ms.iter().flatten().any(|made| !self.is_since(*made, sequence.forgotten_ms)) =>
            {
                Err(BatchRollback::OneByOne)
            }
            (Some((_, number)), Some(sequence)) if sequence.actor == principal.key() && number == sequence.last + 1 => {
                Ok(sequence.last_version)
            }
            _ => Err(BatchRollback::OneByOne),
        }
    }

    /// What it depends on, when that was refused, earlier or in this batch.
    async fn cancelled(
        &self,
        tx: &DatabaseTransaction,
        principal: &Principal,
        wire: Wire,
        mutation: &Mutation,
        ended: &[EndedMutation<'_>],
    ) -> Result<Option<String>, BatchRollback> {
        if wire == Wire::One || mutation.depends_on.is_empty() {
            return Ok(None);
        }
        let here = ended.iter().filter(|ended| ended.result.is_err()).map(|ended| ended.key.client_mutation_id);
        let here = here.filter(|id| mutation.depends_on.iter().any(|on| on == id)).min().map(str::to_owned);
        let before = self.store.on(tx).refused(principal.key(), &mutation.depends_on).await?;
        Ok(here.into_iter().chain(before).min())
    }

    /// What comes of a mutation, and what it wrote where that is looked at.
    async fn run_in_batch(
        &self,
        tx: DatabaseTransaction,
        (mode, seal): (BatchMode, &WriteSetSeal),
        (principal, entry, mutation): (&Principal, &MutatorEntry, &Mutation),
        jobs: &mut Vec<NewJob>,
    ) -> Result<(DatabaseTransaction, Result<Record, PushError>, Written), BatchRollback> {
        let (hlc, stamp) = self.stamp(mutation);
        // Without a savepoint it runs on the transaction itself.
        let (outer, inner) = match mode.savepoints {
            true => {
                let savepoint = self.store.wait(SAVEPOINT_TIMEOUT, tx.begin()).await?;
                (Some(tx), savepoint)
            }
            false => (None, tx),
        };
        if mode.stamps {
            self.store.on(&inner).stamp(stamp.as_deref()).await?;
        }
        let run = Run { principal, entry, mutation, hlc, savepoints: false, earlier: None, replayed_in: None };
        let MutatorRun { tx: inner, jobs: wanted, result, .. } = self.run(run, inner).await?;
        if result.is_err() {
            let Some(outer) = outer else { return Err(BatchRollback::NeedsSavepoints) };
            if matches!(result, Err(PushError::TransactionControl(_))) {
                self.store.mark_connection_broken(&outer).await;
            }
            self.store.wait(SAVEPOINT_TIMEOUT, inner.rollback()).await?;
            return Ok((outer, result, Written::default()));
        }
        // It changes no memberships, so none is to be asked about.
        self.enqueue_within(&inner, (principal, entry), None, &wanted).await?;
        // Clears the note too, so that the next mutation is not taken for one that wrote this.
        let written =
            if mode.takes_write_sets { self.store.on(&inner).take_write_set(seal).await? } else { Written::default() };
        jobs.extend(wanted);
        let Some(outer) = outer else { return Ok((inner, result, written)) };
        self.store.wait(SAVEPOINT_TIMEOUT, inner.commit()).await?;
        Ok((outer, result, written))
    }

    /// Files all answers and judges what was written.
    async fn end_all<'a>(
        &self,
        tx: DatabaseTransaction,
        principal: &Principal,
        (mode, before, seal): (BatchMode, i64, &WriteSetSeal),
        ended: Vec<EndedMutation<'a>>,
        jobs: Vec<NewJob>,
    ) -> Result<OpenBatch<'a>, BatchRollback> {
        let record = |ended: &EndedMutation<'_>| match &ended.result {
            Ok(record) => Record { lost: self.lost(ended.entry, &ended.written.conflicts), ..record.clone() },
            Err(refusal) => refused(refusal),
        };
        let taken = |written| mode.takes_write_sets.then_some(written);
        let records: Vec<_> = ended
            .iter()
            .map(|ended| Ended { key: ended.key, record: record(ended), taken: taken(&ended.written) })
            .collect();
        let sequence = ended.last().and_then(|last| last.key.sequence);
        let write = self.store.on(&tx);
        let record_results = RecordResults { principal, sequence, before, ended: &records, seal };
        let (written, header) = write.record_results(&record_results).await?;
        self.same_rules(&header.rules)?;
        if written.leaves_tables {
            self.store.mark_connection_broken(&tx).await;
        }
        if mode.takes_write_sets && !(written.write_set.is_empty() && written.conflicts.is_empty()) {
            // A deferred trigger wrote it, and which mutation's that was is not known.
            return Err(BatchRollback::OneByOne);
        }
        let Some(first) = ended.first() else { return Err(BatchRollback::OneByOne) };
        let each = ended.iter().map(|ended| (ended.entry, &ended.written));
        for (entry, written) in each.chain([(first.entry, &written)]) {
            let holding = self.judge_writes((principal, entry), None, &written.write_set, &header)?;
            if holding != Holding::Own || self.oversized(written).is_some() {
                return Err(BatchRollback::OneByOne);
            }
        }
        let write_set: Vec<_> =
            ended.iter().flat_map(|ended| &ended.written.write_set).chain(&written.write_set).collect();
        if !write.strays(&write_set).await?.is_empty() {
            return Err(BatchRollback::OneByOne);
        }
        Ok(OpenBatch { tx, ended, jobs, written })
    }
}
