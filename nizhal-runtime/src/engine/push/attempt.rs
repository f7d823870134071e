//! One mutation: in one transaction of its own, applied exactly once, answered the same for ever.

use super::{
    acknowledged::Acknowledged,
    actor::{Held, Holding, Holdings},
    reply::{Answer, Ids, PushFailure, Verdict, lost_of, numbered, seen},
    run::{Ran, Run},
};
use crate::{
    engine::{Engine, job::Bounds},
    store::{
        AheadStamp, Claim, Fault, Frame, Membership, Record, Seal, Sequence, Settle, StoreError, Stored, Turn, Written,
        fault,
    },
};
use nizhal_core::{
    Hlc, MutatorEntry, NewJob, Principal,
    wire::{Mutation, Wire},
};
use sea_orm::DatabaseTransaction;
use std::collections::BTreeSet;

/// How often a mutation is tried again after a deadlock or serialization failure before it is answered 503.
const ATTEMPTS: usize = 10;

/// How often the triggers are looked into for one mutation.
const CHECKS: usize = 3;

/// One delivery of a mutation.
#[derive(Clone, Copy)]
struct Delivery<'a> {
    principal: &'a Principal,
    wire: Wire,
    claim: &'a Claim<'a>,
    /// Whether it shares its commit with nobody.
    alone: bool,
    /// Memberships that it gained when it ran before, to be asked about before it runs again.
    gained: &'a BTreeSet<Membership>,
}

/// What a transaction is for.
enum Work<'a> {
    /// The mutator is to run, its statements under this stamp.
    Run(Run<'a>, Option<&'a str>),
    /// A refusal is to be filed; what the mutator did was rolled back.
    File(PushFailure),
}

/// A transaction in which the work is done, to be committed or rolled back.
struct Done {
    tx: DatabaseTransaction,
    is_kept: bool,
    news: News,
    /// An answer, or a refusal that is to be filed.
    ended: Result<Answer, PushFailure>,
}

/// What others are told when a transaction is committed.
#[derive(Default)]
pub(super) struct News {
    /// How many answers were filed.
    pub(super) filed: usize,
    pub(super) written: Written,
    pub(super) jobs: Vec<NewJob>,
}

/// What a mutation's tries came to until now.
#[derive(Debug, Default)]
struct Tries {
    count: usize,
    /// Whether it has a connection without stale plans.
    is_renewed: bool,
    /// How often the triggers were looked into for it.
    checks: usize,
    /// Whether each of its statements has a savepoint, so that it may go on after one that failed, as it may on SQLite.
    savepoints: bool,
}

/// Why a mutation has no outcome.
enum Undone {
    /// It may have one when it is tried again.
    Again(PushFailure),
    /// It may have one when it shares its commit with nobody.
    Alone,
    /// It may have one when the triggers were looked into.
    Unchecked,
    /// It counts on memberships that it gained itself, and whether it may must be asked before it runs.
    Gained(BTreeSet<Membership>),
    /// It has none.
    Failed(PushFailure),
}

impl<E: Into<PushFailure>> From<E> for Undone {
    fn from(error: E) -> Self {
        match error.into() {
            PushFailure::Store(StoreError::Unavailable(error)) if fault(&error) == Fault::Retry => {
                Self::Again(StoreError::Unavailable(error).into())
            }
            PushFailure::Store(again @ (StoreError::Overtaken | StoreError::StalePlan(_) | StoreError::Aborted)) => {
                Self::Again(again.into())
            }
            PushFailure::Store(StoreError::SharedCommit) => Self::Alone,
            PushFailure::Store(StoreError::UnknownTriggers) => Self::Unchecked,
            PushFailure::Store(StoreError::Unsealed(how)) => {
                Self::Failed(PushFailure::TransactionControl(how.to_owned()))
            }
            failure => Self::Failed(failure),
        }
    }
}

impl Engine {
    /// One mutation, tried again while the database says that it may succeed.
    pub(super) async fn apply(
        &self,
        principal: &Principal,
        wire: Wire,
        mutation: &Mutation,
        known: &Acknowledged,
    ) -> Result<Answer, PushFailure> {
        let (hlc, stamp) = self.stamp(mutation);
        let claim = claim_of(principal, mutation, known);
        let (mut tries, mut alone, mut gained) = (Tries::default(), false, BTreeSet::new());
        loop {
            tries.count += 1;
            let unknown = || PushFailure::UnknownMutator(mutation.name.clone());
            let delivery = Delivery { principal, wire, claim: &claim, alone, gained: &gained };
            let answered = match (self.schema.mutator(&mutation.name), wire) {
                (Some(entry), _) => {
                    let run = Run { principal, entry, mutation, hlc, savepoints: tries.savepoints, held: None };
                    self.attempt(delivery, run, stamp.as_deref()).await
                }
                (None, Wire::One) => Ok(Answer::to(&claim, Verdict::Barred(unknown()), None)),
                (None, Wire::Two) => self.refuse(delivery, unknown()).await,
            };
            let refusal = match answered {
                Ok(answer) => return Ok(answer),
                Err(Undone::Alone) if !alone => {
                    alone = true;
                    continue;
                }
                Err(Undone::Gained(found)) if gained.is_empty() => {
                    gained = found;
                    continue;
                }
                Err(Undone::Gained(_)) => PushFailure::Forbidden,
                Err(Undone::Unchecked) => {
                    self.look_into_triggers(&mut tries).await?;
                    continue;
                }
                Err(Undone::Again(failure)) if self.may_try_again(&mut tries, &failure) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(Undone::Alone) => return Err(StoreError::SharedCommit.into()),
                Err(Undone::Again(failure) | Undone::Failed(failure)) => self.judge_last(&mutation.name, failure),
            };
            if !refusal.is_final() {
                return Err(refusal);
            }
            match self.refuse(delivery, refusal).await {
                Ok(answer) => return Ok(answer),
                Err(Undone::Alone) if !alone => alone = true,
                Err(Undone::Again(failure)) if self.may_try_again(&mut tries, &failure) => {
                    tokio::task::yield_now().await;
                }
                Err(Undone::Alone) => return Err(StoreError::SharedCommit.into()),
                Err(Undone::Gained(_)) => return Err(PushFailure::Forbidden),
                Err(Undone::Unchecked) => self.look_into_triggers(&mut tries).await?,
                Err(Undone::Again(failure) | Undone::Failed(failure)) => return Err(failure),
            }
        }
    }

    /// Whether a mutation is tried again after such a failure, and what is to be other then.
    fn may_try_again(&self, tries: &mut Tries, failure: &PushFailure) -> bool {
        match failure {
            PushFailure::Store(StoreError::StalePlan(_)) => {
                self.store.renew_connections();
                !std::mem::replace(&mut tries.is_renewed, true)
            }
            PushFailure::Store(StoreError::Aborted) => !std::mem::replace(&mut tries.savepoints, true),
            _ => tries.count < ATTEMPTS,
        }
    }

    /// Looks into the triggers, which are not as they were known to be. What finds them so each time changes them itself.
    async fn look_into_triggers(&self, tries: &mut Tries) -> Result<(), PushFailure> {
        tries.checks += 1;
        let checked = match tries.checks {
            ..=CHECKS => self.store.check_triggers().await,
            _ => Err(StoreError::Schema(
                "a mutation may not change the tables' triggers, nor a file's tables".to_owned(),
            )),
        };
        checked
            .inspect_err(|error| tracing::error!(error = error as &dyn std::error::Error, "nothing can be written"))
            .map_err(Into::into)
    }

    /// Runs the mutation; what it is refused for is filed in a second transaction.
    async fn attempt(&self, delivery: Delivery<'_>, run: Run<'_>, stamp: Option<&str>) -> Result<Answer, Undone> {
        match self.transact(delivery, Work::Run(run, stamp)).await? {
            Ok(answer) => Ok(answer),
            Err(refusal) => self.refuse(delivery, refusal).await,
        }
    }

    /// Files a final refusal.
    async fn refuse(&self, delivery: Delivery<'_>, refusal: PushFailure) -> Result<Answer, Undone> {
        self.transact(delivery, Work::File(refusal)).await?.map_err(Undone::Failed)
    }

    /// Begins a transaction, works on it, and commits it where something is to be kept.
    async fn transact(&self, delivery: Delivery<'_>, work: Work<'_>) -> Result<Result<Answer, PushFailure>, Undone> {
        let (tx, turn) = self.store.begin_push(delivery.alone).await?;
        // The transaction goes along, so that it is gone where that fails.
        match self.work_on(tx, &turn, delivery, work).await {
            Ok(Done { tx, is_kept: true, news, ended }) => {
                turn.commit(tx).await?;
                self.tell(&news);
                Ok(ended)
            }
            Ok(Done { tx, ended, .. }) => {
                let is_spoiled = matches!(ended, Err(PushFailure::TransactionControl(_)));
                turn.abandon(Some(tx), is_spoiled).await;
                Ok(ended)
            }
            Err(undone) => {
                turn.abandon(None, false).await;
                Err(undone)
            }
        }
    }

    async fn work_on(
        &self,
        tx: DatabaseTransaction,
        turn: &Turn<'_>,
        delivery: Delivery<'_>,
        work: Work<'_>,
    ) -> Result<Done, Undone> {
        let stamp = if let Work::Run(_, stamp) = &work { *stamp } else { None };
        let seal = Seal::draw();
        let (before, is_expired) = match self.admit(&tx, turn, delivery, (&seal, stamp)).await? {
            Ok(admitted) => admitted,
            Err(barred @ Answer { verdict: Verdict::Barred(_), .. }) => return Ok(Done::gone(tx, Ok(barred))),
            Err(answer) => return self.kept(tx, News::default(), answer).await,
        };
        let claim = delivery.claim;
        match work {
            Work::Run(..) if is_expired => Ok(Done::gone(tx, Err(PushFailure::Expired))),
            Work::Run(run, _) => self.run_on(tx, delivery, run, (before, &seal)).await,
            // Somebody may have delivered it in between; then whatever was answered is the answer, above.
            Work::File(refusal) => {
                let answers = [(*claim, refused(&refusal))];
                self.settle(&tx, delivery.principal, (before, &seal), &answers).await?;
                self.store.on(&tx).log(&[(claim, answers[0].1.status, &[])]).await?;
                let news = News { filed: 1, ..News::default() };
                self.kept(tx, news, Answer::over(claim, Verdict::Refused(refusal))).await
            }
        }
    }

    async fn run_on(
        &self,
        tx: DatabaseTransaction,
        delivery: Delivery<'_>,
        run: Run<'_>,
        begun: (i64, &Seal),
    ) -> Result<Done, Undone> {
        let Delivery { wire, claim, .. } = delivery;
        let Run { principal, entry, mutation, .. } = run;
        if wire == Wire::Two
            && let Some(refused) = self.store.on(&tx).refused(claim.actor, &mutation.depends_on).await?
        {
            return Ok(Done::gone(tx, Err(PushFailure::Cancelled(refused))));
        }
        let held = self.held(&tx, delivery, entry).await?;
        let Ran { tx, jobs, result, gained } = self.run(Run { held: held.as_ref(), ..run }, tx).await?;
        if !gained.is_empty() {
            return Err(Undone::Gained(gained));
        }
        let record = match result {
            Ok(record) => record,
            Err(refusal) => return Ok(Done::gone(tx, Err(refusal))),
        };
        let mut ids = ids_of(&record);
        let answers = [(*claim, record)];
        let (written, frame) = match self.settle(&tx, principal, begun, &answers).await {
            // What else it did to its session is not known.
            Err(Undone::Failed(control @ PushFailure::TransactionControl(_))) => {
                return Ok(Done::gone(tx, Err(control)));
            }
            settled => settled?,
        };
        match self.judge_writes((principal, entry), held.as_ref(), &written.touched, &frame)? {
            Holding::Own => {}
            Holding::Foreign => return Ok(Done::gone(tx, Err(PushFailure::Forbidden))),
            Holding::Gained(gained) => return Err(Undone::Gained(gained)),
        }
        if written.leaves_tables {
            self.store.spoil(&tx).await;
        }
        let write = self.store.on(&tx);
        if let Some(lost) = self.lost(entry, &written.conflicts) {
            // The device hears of it again when it asks again.
            write.record_lost(claim.actor, claim.client_mutation_id, &lost).await?;
            ids.lost = lost_of(&lost);
        }
        write.log(&[(claim, answers[0].1.status, &written.touched)]).await?;
        if !jobs.is_empty() {
            let now = self.store.on(&tx).members(principal).await?;
            let unasked = held.as_ref().map(|held| held.unasked(&now)).unwrap_or_default();
            if !unasked.is_empty() {
                return Err(Undone::Gained(unasked));
            }
            let carried = Holdings::new(&self.schema, principal, held.as_ref(), &now).carried();
            self.enqueue(&tx, &jobs, &Bounds::of(carried, entry.desc.privileged)).await?;
        }
        let news = News { filed: 1, written, jobs };
        self.kept(tx, news, Answer::over(claim, Verdict::Applied(ids))).await
    }

    /// The memberships of before, where the mutator may change them, and which of those that it gained it may count on.
    async fn held(
        &self,
        tx: &DatabaseTransaction,
        Delivery { principal, gained, .. }: Delivery<'_>,
        entry: &MutatorEntry,
    ) -> Result<Option<Held>, StoreError> {
        if !self.may_change_memberships(entry) {
            return Ok(None);
        }
        let write = self.store.on(tx);
        let unfounded = write.unfounded(gained).await?;
        Ok(Some(Held::new(write.members(principal).await?, unfounded, !gained.is_empty())))
    }

    async fn kept(&self, tx: DatabaseTransaction, news: News, answer: Answer) -> Result<Done, Undone> {
        self.store.on(&tx).end_push().await?;
        Ok(Done { tx, is_kept: true, news, ended: Ok(answer) })
    }

    /// Tells what a commit brought: to workers, listeners and observers.
    pub(super) fn tell(&self, news: &News) {
        self.jobs_came(&news.jobs);
        (0..news.filed).for_each(|_| self.store.audit_written());
        self.ping(&news.written.touched);
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

    /// Sequence and claim: the version of the mutation before, and whether the mutation may have run before its client was forgotten;
    /// or its answer, when it is not to run.
    async fn admit(
        &self,
        tx: &DatabaseTransaction,
        turn: &Turn<'_>,
        Delivery { wire, claim, .. }: Delivery<'_>,
        begun: (&Seal, Option<&str>),
    ) -> Result<Result<(i64, bool), Answer>, StoreError> {
        let write = self.store.on(tx);
        let barred = |failure, last| Ok(Err(Answer::to(claim, Verdict::Barred(failure), last)));
        let (client_id, number) = claim.sequence.unzip();
        let standing = write.admit(claim.actor, client_id, &[claim.client_mutation_id], begun).await?;
        turn.identify(standing.backend);
        let (mut last_version, mut forgotten_ms) = (0, standing.forgotten_ms);
        if let (Some(id), Some(sequence)) = (number, standing.sequence) {
            if sequence.actor != claim.actor {
                return barred(PushFailure::ClientIdTaken, None);
            }
            (last_version, forgotten_ms) = (sequence.last_version, sequence.forgotten_ms);
            if id <= sequence.last {
                let mut stored = write.stored(claim.actor, claim.client_mutation_id).await?;
                if stored.is_none() && self.is_forgotten(claim, id, &sequence) {
                    stored = Some(Stored::expired());
                }
                return Ok(Err(Answer::to(claim, seen(wire, stored, number), Some(sequence.last))));
            }
            if id > sequence.last + 1 {
                return barred(PushFailure::OutOfOrder { got: id, last: sequence.last }, Some(sequence.last));
            }
        }
        if !standing.known {
            // A client that is not known may be one that was forgotten, and this what it sent then.
            let is_expired = forgotten_ms > 0 && claim.made_ms.is_some_and(|made| !self.is_since(made, forgotten_ms));
            return Ok(Ok((last_version, is_expired)));
        }
        // The same mutation under a new number: the number is used up, the answer is that of then. It is acknowledged when what
        // it wrote then is in the rows.
        let stored = write.stored(claim.actor, claim.client_mutation_id).await?;
        let version = stored.as_ref().map_or(0, |stored| stored.version);
        if let Some((client_id, id)) = claim.sequence {
            write.advance(client_id, id, last_version.max(version)).await?;
        }
        Ok(Err(Answer::over(claim, seen(wire, stored, number))))
    }

    /// Whether a mutation under a used number is one whose answer was forgotten, and no new one of a client that begins its
    /// numbers again: by when its device made it, nearer to the last forgotten answer or to now.
    fn is_forgotten(&self, claim: &Claim<'_>, number: i64, sequence: &Sequence) -> bool {
        number <= sequence.expired && !claim.made_ms.is_some_and(|made| self.is_since(made, sequence.expired_at_ms))
    }

    /// Whether what a device made at this moment, by its own clock, is nearer to now than to that other one.
    pub(super) fn is_since(&self, made_ms: i64, other_ms: i64) -> bool {
        let now_ms = self.environment.now().timestamp_millis();
        now_ms.saturating_sub(made_ms) < made_ms.saturating_sub(other_ms)
    }

    /// Files the answer, for now: what it wrote is yet to be judged.
    async fn settle(
        &self,
        tx: &DatabaseTransaction,
        principal: &Principal,
        (before, seal): (i64, &Seal),
        answers: &[(Claim<'_>, Record)],
    ) -> Result<(Written, Frame), Undone> {
        let sequence = answers.last().and_then(|(claim, _)| claim.sequence);
        let settle = Settle { principal, sequence, before, answers, looked: "", seal };
        let (written, frame) = self.store.on(tx).settle(&settle).await?;
        // Whatever was written: under other rules, the triggers may have noted nothing of it.
        self.same_rules(&frame.rules)?;
        Ok((written, frame))
    }

    /// The mutation's stamp: the device's, clamped to our clock, or one of ours; and as text when it is the device's and some
    /// table merges by it.
    pub(super) fn stamp(&self, mutation: &Mutation) -> (Hlc, Option<String>) {
        let now = self.environment.now().timestamp_millis();
        let mut clock = self.hlc.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        clock.come_back(now);
        match mutation.hlc {
            Some(stamp) => {
                let (stamp, clamped) = clock.receive(stamp, now);
                if clamped {
                    tracing::warn!(mutation = %mutation.client_mutation_id, "a device's clock is far ahead; its stamp was clamped");
                }
                (stamp, self.merges_columns.then(|| stamp.to_string()))
            }
            None => (clock.tick(now), None),
        }
    }
}

impl Done {
    /// What the transaction did is to be rolled back.
    fn gone(tx: DatabaseTransaction, ended: Result<Answer, PushFailure>) -> Self {
        Self { tx, is_kept: false, news: News::default(), ended }
    }
}

/// What names the mutation.
pub(super) fn claim_of<'a>(principal: &'a Principal, mutation: &'a Mutation, known: &Acknowledged) -> Claim<'a> {
    Claim {
        actor: principal.key(),
        client_mutation_id: &mutation.client_mutation_id,
        sequence: mutation.client_id.as_deref().zip(numbered(mutation)),
        name: &mutation.name,
        args: mutation.args.get(),
        acknowledged: known.by(mutation),
        made_ms: mutation.hlc.map(|hlc| hlc.millis),
    }
}

/// The pair that a client reconciles by.
pub(super) fn ids_of(record: &Record) -> Ids {
    let lost = record.lost.as_deref().map(lost_of).unwrap_or_default();
    Ids { client_ref: record.client_ref.clone(), server_id: record.server_id.clone(), lost }
}

/// A refusal as it is stored.
pub(super) fn refused(refusal: &PushFailure) -> Record {
    let (status, reason) = match refusal {
        PushFailure::Rejected(reason) => ("rejected", Some(reason.clone())),
        PushFailure::InvalidArgs(reason) => ("invalid_args", Some(reason.clone())),
        PushFailure::Cancelled(on) => ("cancelled", Some(on.clone())),
        PushFailure::UnknownMutator(name) => ("unknown_mutator", Some(name.clone())),
        PushFailure::MutatorPanicked => ("mutator_panicked", None),
        PushFailure::Expired => ("expired", None),
        PushFailure::TransactionControl(reason) => ("transaction_control", Some(reason.clone())),
        _ => ("forbidden", None),
    };
    Record { status, reason, ..Record::default() }
}
