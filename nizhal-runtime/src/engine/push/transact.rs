//! One transaction of a mutation: admitted, run or refused, its answer filed and what it wrote judged, then kept or rolled back.

use super::{
    actor::{EarlierMemberships, Holding, Holdings},
    key::{ids_of, refused},
    reply::{Answer, PushError, Verdict, lost_of, replayed_verdict},
    run::{MutatorRun, Run},
    trial::{AttemptEnd, Trial},
};
use crate::{
    engine::{Engine, job::Bounds},
    store::{
        AheadStamp, CommitSlot, Ended, Membership, MutationKey, PullHeader, RecordResults, Sequence, StoreError,
        StoredResult, StrayDocument, WriteSetSeal, Written,
    },
};
use nizhal_core::{MutatorEntry, NewJob, Principal, wire::Wire};
use sea_orm::DatabaseTransaction;
use std::collections::BTreeSet;

/// One delivery of a mutation.
#[derive(Clone, Copy)]
pub(super) struct Delivery<'a> {
    pub(super) principal: &'a Principal,
    pub(super) wire: Wire,
    pub(super) key: &'a MutationKey<'a>,
    /// Whether it shares its commit with nobody.
    pub(super) alone: bool,
    /// Memberships that it gained when it ran before, to be asked about before it runs again.
    pub(super) gained: &'a BTreeSet<Membership>,
    /// Documents that were stray before it ran.
    pub(super) strays: &'a [StrayDocument],
    /// Whether an answer may be filed.
    pub(super) has_room: bool,
    /// What earlier tries of a replayed mutation have taught.
    pub(super) trial: &'a Trial,
}

/// The work of a transaction.
pub(super) enum Work<'a> {
    /// The mutator is to run, its statements under this stamp.
    Run(Run<'a>, Option<&'a str>),
    /// A refusal is to be filed; what the mutator did was rolled back.
    File(PushError),
}

/// A transaction in which the work is done, to be committed or rolled back.
pub(super) struct Done {
    tx: DatabaseTransaction,
    commits: bool,
    news: News,
    /// An answer, or a refusal that is to be filed.
    ended: Result<Answer, PushError>,
}

/// The news that are published when a transaction is committed.
#[derive(Default)]
pub(super) struct News {
    /// How many answers were filed.
    pub(super) filed: usize,
    pub(super) written: Written,
    pub(super) jobs: Vec<NewJob>,
}

impl Engine {
    /// Begins a transaction, works on it, and commits it where something is to be kept.
    pub(super) async fn transact(
        &self,
        delivery: Delivery<'_>,
        work: Work<'_>,
    ) -> Result<Result<Answer, PushError>, AttemptEnd> {
        let (tx, slot) = self.store.begin_push(delivery.alone).await?;
        // The transaction goes along, so that it is gone where that fails.
        match self.work_on(tx, &slot, delivery, work).await {
            Ok(Done { tx, commits: true, news, ended }) => {
                slot.commit(tx).await?;
                self.publish(&news);
                Ok(ended)
            }
            Ok(Done { tx, ended, .. }) => {
                let is_broken = matches!(ended, Err(PushError::TransactionControl(_)));
                slot.abandon(Some(tx), is_broken).await;
                Ok(ended)
            }
            Err(undone) => {
                slot.abandon(None, false).await;
                Err(undone)
            }
        }
    }

    async fn work_on(
        &self,
        tx: DatabaseTransaction,
        slot: &CommitSlot<'_>,
        delivery: Delivery<'_>,
        work: Work<'_>,
    ) -> Result<Done, AttemptEnd> {
        let stamp = if let Work::Run(_, stamp) = &work { *stamp } else { None };
        let seal = WriteSetSeal::draw();
        let (before, is_expired) = match self.admit(&tx, slot, delivery, (&seal, stamp)).await? {
            Ok(admitted) => admitted,
            Err(barred @ Answer { verdict: Verdict::Barred(_), .. }) => return Ok(Done::rolled_back(tx, Ok(barred))),
            Err(answer) => {
                self.store.on(&tx).end_push().await?;
                return Ok(Done::kept(tx, News::default(), answer));
            }
        };
        if !delivery.has_room {
            return Err(StoreError::TooManyAnswers { limit: self.answers.limit }.into());
        }
        let key = delivery.key;
        match work {
            Work::Run(..) if is_expired => Ok(Done::rolled_back(tx, Err(PushError::Expired))),
            Work::Run(run, _) => self.run_on(tx, delivery, run, (before, &seal)).await,
            // Somebody may have delivered it in between; then whatever was answered is the answer, above.
            Work::File(refusal) => {
                let ended = Ended { key: *key, record: refused(&refusal), taken: None };
                self.record_results(&tx, delivery.principal, (before, &seal), &ended).await?;
                let news = News { filed: 1, ..News::default() };
                Ok(Done::kept(tx, news, Answer::over(key, Verdict::Refused(refusal))))
            }
        }
    }

    async fn run_on(
        &self,
        tx: DatabaseTransaction,
        delivery: Delivery<'_>,
        run: Run<'_>,
        begun: (i64, &WriteSetSeal),
    ) -> Result<Done, AttemptEnd> {
        let Delivery { wire, key, .. } = delivery;
        let Run { principal, entry, mutation, .. } = run;
        if wire == Wire::Two
            && let Some(refused) = self.store.on(&tx).refused(key.actor, &mutation.depends_on).await?
        {
            return Ok(Done::rolled_back(tx, Err(PushError::Cancelled(refused))));
        }
        match self.missing_blobs(&tx, principal, std::slice::from_ref(mutation)).await? {
            None => {}
            Some(refusal) if refusal.is_final() => return Ok(Done::rolled_back(tx, Err(refusal))),
            Some(missing) => return Err(AttemptEnd::Failed(missing)),
        }
        if entry.desc.replay.is_some() {
            return self.replay_on(tx, delivery, run, begun).await;
        }
        let earlier = self.earlier(&tx, delivery, entry).await?;
        let MutatorRun { tx, jobs, result, gained } = self.run(Run { earlier: earlier.as_ref(), ..run }, tx).await?;
        if !gained.is_empty() {
            return Err(AttemptEnd::Gained(gained));
        }
        let record = match result {
            Ok(record) => record,
            Err(refusal) => return Ok(Done::rolled_back(tx, Err(refusal))),
        };
        let mut ids = ids_of(&record);
        let ended = Ended { key: *key, record, taken: None };
        let (written, header) = match self.record_results(&tx, principal, begun, &ended).await {
            // What else it did to its session is not known.
            Err(AttemptEnd::Failed(control @ PushError::TransactionControl(_))) => {
                return Ok(Done::rolled_back(tx, Err(control)));
            }
            recorded => recorded?,
        };
        match self.judge_writes((principal, entry), earlier.as_ref(), &written.write_set, &header)? {
            Holding::Own => {}
            Holding::Foreign => return Ok(Done::rolled_back(tx, Err(PushError::Forbidden))),
            Holding::Gained(gained) => return Err(AttemptEnd::Gained(gained)),
        }
        let mut strays = self.store.on(&tx).strays(&written.write_set.iter().collect::<Vec<_>>()).await?;
        strays.retain(|stray| !delivery.strays.iter().any(|known| known.is(stray)));
        if !strays.is_empty() {
            return Err(AttemptEnd::Strays(strays));
        }
        if let Some(refusal) = self.oversized(&written) {
            return Ok(Done::rolled_back(tx, Err(refusal)));
        }
        if written.leaves_tables {
            self.store.mark_connection_broken(&tx).await;
        }
        let write = self.store.on(&tx);
        if let Some(lost) = self.lost(entry, &written.conflicts) {
            // The device hears of it again when it asks again.
            write.record_lost(key.actor, key.client_mutation_id, &lost).await?;
            ids.lost = lost_of(&lost);
        }
        let unasked = self.enqueue_within(&tx, (principal, entry), earlier.as_ref(), &jobs).await?;
        if !unasked.is_empty() {
            return Err(AttemptEnd::Gained(unasked));
        }
        let news = News { filed: 1, written, jobs };
        Ok(Done::kept(tx, news, Answer::over(key, Verdict::Applied(ids))))
    }

    /// Writes the jobs that a mutation wants, each within the buckets that its actor holds; none where it gained memberships that are to
    /// be asked about before, which are given back.
    pub(super) async fn enqueue_within(
        &self,
        tx: &DatabaseTransaction,
        (principal, entry): (&Principal, &MutatorEntry),
        earlier: Option<&EarlierMemberships>,
        jobs: &[NewJob],
    ) -> Result<BTreeSet<Membership>, PushError> {
        if jobs.is_empty() {
            return Ok(BTreeSet::new());
        }
        let now = self.store.on(tx).members(principal).await?;
        let unasked = earlier.map(|earlier| earlier.unasked(&now)).unwrap_or_default();
        if unasked.is_empty() {
            let carried = Holdings::new(&self.schema, principal, earlier, &now).carried();
            self.enqueue(tx, jobs, &Bounds::of(carried, entry.desc.privileged)).await?;
        }
        Ok(unasked)
    }

    /// The memberships of before, where the mutator may change them, and which of those that it gained it may count on.
    async fn earlier(
        &self,
        tx: &DatabaseTransaction,
        Delivery { principal, gained, .. }: Delivery<'_>,
        entry: &MutatorEntry,
    ) -> Result<Option<EarlierMemberships>, StoreError> {
        if !self.may_change_memberships(entry) {
            return Ok(None);
        }
        let write = self.store.on(tx);
        let unfounded = write.unfounded(gained).await?;
        Ok(Some(EarlierMemberships::new(write.members(principal).await?, unfounded, !gained.is_empty())))
    }

    /// Publishes what a commit brought to workers, listeners and observers.
    pub(super) fn publish(&self, news: &News) {
        self.jobs_came(&news.jobs);
        (0..news.filed).for_each(|_| self.store.audit_written());
        self.ping(&news.written.write_set);
        self.conflicted(&news.written.conflicts);
        for AheadStamp { table, id, column, stamp } in &news.written.ahead {
            tracing::warn!(
                table,
                id,
                column,
                stamp,
                "a stored stamp is ahead of the clock, and counts as a minute old"
            );
        }
    }

    /// Checks the sequence and the stored result. Returns the version of the mutation before, and whether the mutation may have run
    /// before its client was forgotten; or its answer, when it is not to run.
    async fn admit(
        &self,
        tx: &DatabaseTransaction,
        slot: &CommitSlot<'_>,
        Delivery { wire, key, .. }: Delivery<'_>,
        begun: (&WriteSetSeal, Option<&str>),
    ) -> Result<Result<(i64, bool), Answer>, StoreError> {
        let write = self.store.on(tx);
        let barred = |failure, last| Ok(Err(Answer::to(key, Verdict::Barred(failure), last)));
        let (client_id, number) = key.sequence.unzip();
        let standing = write.admit(key.actor, client_id, &[key.client_mutation_id], begun).await?;
        slot.identify(standing.backend);
        let (mut last_version, mut forgotten_ms) = (0, standing.forgotten_ms);
        if let (Some(id), Some(sequence)) = (number, standing.sequence) {
            if sequence.actor != key.actor {
                return barred(PushError::ClientIdTaken, None);
            }
            (last_version, forgotten_ms) = (sequence.last_version, sequence.forgotten_ms);
            if id <= sequence.last {
                let mut stored = write.stored_result(key.actor, key.client_mutation_id).await?;
                if stored.is_none() && self.is_forgotten(key, id, &sequence) {
                    stored = Some(StoredResult::expired());
                }
                let late = stored.as_ref().is_some_and(|stored| stored.late);
                let verdict = replayed_verdict(wire, stored, number);
                return Ok(Err(Answer::to(key, verdict, Some(sequence.last)).late(late)));
            }
            if id > sequence.last + 1 {
                return barred(PushError::OutOfOrder { got: id, last: sequence.last }, Some(sequence.last));
            }
        }
        if !standing.is_answered {
            // A client that is not known may be one that was forgotten, and this what it sent then.
            let is_expired = forgotten_ms > 0 && key.made_ms.is_some_and(|made| !self.is_since(made, forgotten_ms));
            return Ok(Ok((last_version, is_expired)));
        }
        // The same mutation under a new number: the number is used up, the answer is that of then. It is acknowledged when what
        // it wrote then is in the rows.
        let stored = write.stored_result(key.actor, key.client_mutation_id).await?;
        let version = stored.as_ref().map_or(0, |stored| stored.version);
        if let Some((client_id, id)) = key.sequence {
            write.advance(client_id, id, last_version.max(version)).await?;
        }
        let late = stored.as_ref().is_some_and(|stored| stored.late);
        Ok(Err(Answer::over(key, replayed_verdict(wire, stored, number)).late(late)))
    }

    /// Whether a mutation under a used number is one whose answer was forgotten, and no new one of a client that begins its
    /// numbers again: by when its device made it, nearer to the last forgotten answer or to now.
    fn is_forgotten(&self, key: &MutationKey<'_>, number: i64, sequence: &Sequence) -> bool {
        number <= sequence.expired && !key.made_ms.is_some_and(|made| self.is_since(made, sequence.expired_at_ms))
    }

    /// Whether what a device made at this moment, by its own clock, is nearer to now than to that other one.
    pub(super) fn is_since(&self, made_ms: i64, other_ms: i64) -> bool {
        let now_ms = self.environment.now().timestamp_millis();
        now_ms.saturating_sub(made_ms) < made_ms.saturating_sub(other_ms)
    }

    /// Files the answer, for now: what it wrote is yet to be judged.
    pub(super) async fn record_results(
        &self,
        tx: &DatabaseTransaction,
        principal: &Principal,
        (before, seal): (i64, &WriteSetSeal),
        ended: &Ended<'_>,
    ) -> Result<(Written, PullHeader), AttemptEnd> {
        let (sequence, ended) = (ended.key.sequence, std::slice::from_ref(ended));
        let record_results = RecordResults { principal, sequence, before, ended, seal };
        let (written, header) = self.store.on(tx).record_results(&record_results).await?;
        // Whatever was written: under other rules, the triggers may have noted nothing of it.
        self.same_rules(&header.rules)?;
        Ok((written, header))
    }
}

impl Done {
    /// The transaction may commit with this answer.
    pub(super) fn kept(tx: DatabaseTransaction, news: News, answer: Answer) -> Self {
        Self { tx, commits: true, news, ended: Ok(answer) }
    }

    /// What the transaction did is to be rolled back.
    pub(super) fn rolled_back(tx: DatabaseTransaction, ended: Result<Answer, PushError>) -> Self {
        Self { tx, commits: false, news: News::default(), ended }
    }
}
