//! One mutation: in one transaction of its own, applied exactly once, answered the same for ever.

use super::{
    acknowledged::Acknowledged,
    reply::{Ids, PushFailure, numbered},
    run::{Ran, Run},
};
use crate::{
    engine::Engine,
    store::{
        Claim, Conflict, Fault, Record, Sequence, Settle, Settled, StoreError, Stored, Touched, Turn, Written, fault,
    },
};
use nizhal_core::{
    Hlc, NewJob, Principal,
    wire::{LostColumn, Mutation, Wire},
};
use sea_orm::DatabaseTransaction;

/// How often a mutation is tried again after a deadlock or serialization failure before it is answered 503.
const ATTEMPTS: usize = 10;

/// What became of one mutation, when the database did not fail.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It ran now, and wrote these buckets.
    Applied { touched: Vec<Touched>, ids: Ids },
    /// It was seen before; this is the answer of then, if it had one of its own, and where its sequence stands.
    Seen { stored: Option<Stored>, last: Option<i64> },
    /// It is final and had no effect.
    Refused(PushFailure),
    /// It may not run at all, and used nothing up.
    Barred(PushFailure),
}

/// What a mutation's tries came to until now.
#[derive(Debug, Default)]
struct Tries {
    count: usize,
    /// Whether it has a connection without stale plans.
    is_renewed: bool,
    /// Whether each of its statements has a savepoint, so that it may go on after one that failed, as it may on SQLite.
    savepoints: bool,
}

/// Why a mutation has no outcome.
enum Undone {
    /// It may have one when it is tried again.
    Again(PushFailure),
    /// It may have one when it shares its commit with nobody.
    Alone,
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
    ) -> Result<Outcome, PushFailure> {
        let (hlc, stamp) = self.stamp(mutation);
        let claim = claim_of(principal, mutation, known);
        let (mut tries, mut alone) = (Tries::default(), false);
        loop {
            tries.count += 1;
            let unknown = || PushFailure::UnknownMutator(mutation.name.clone());
            let outcome = match (self.schema.mutator(&mutation.name), wire) {
                (Some(entry), _) => {
                    let run = Run { principal, entry, mutation, hlc, savepoints: tries.savepoints };
                    self.attempt(alone, wire, run, &claim, stamp.as_deref()).await
                }
                (None, Wire::One) => Ok(Outcome::Barred(unknown())),
                (None, Wire::Two) => self.refuse(alone, principal, &claim, unknown()).await,
            };
            let refusal = match outcome {
                Ok(outcome) => return Ok(outcome),
                Err(Undone::Alone) if !alone => {
                    alone = true;
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
            match self.refuse(alone, principal, &claim, refusal).await {
                Ok(outcome) => return Ok(outcome),
                Err(Undone::Alone) if !alone => alone = true,
                Err(Undone::Again(failure)) if self.may_try_again(&mut tries, &failure) => {
                    tokio::task::yield_now().await;
                }
                Err(Undone::Alone) => return Err(StoreError::SharedCommit.into()),
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

    async fn attempt(
        &self,
        alone: bool,
        wire: Wire,
        run: Run<'_>,
        claim: &Claim<'_>,
        stamp: Option<&str>,
    ) -> Result<Outcome, Undone> {
        let (tx, turn) = self.store.begin_push(alone).await?;
        // The transaction goes along, so that it is gone where that fails.
        match self.attempt_on(tx, &turn, wire, run, claim, stamp).await {
            Ok(Attempted::Kept { tx, outcome, jobs, conflicts }) => {
                turn.commit(tx).await?;
                self.jobs_came(&jobs);
                self.conflicted(&conflicts);
                Ok(outcome)
            }
            Ok(Attempted::Gone { tx, ended }) => {
                let is_spoiled = matches!(ended, Err(PushFailure::TransactionControl(_)));
                turn.abandon(Some(tx), is_spoiled).await;
                match ended {
                    Ok(outcome) => Ok(outcome),
                    Err(refusal) => self.refuse(alone, run.principal, claim, refusal).await,
                }
            }
            Err(undone) => {
                turn.abandon(None, false).await;
                Err(undone)
            }
        }
    }

    async fn attempt_on(
        &self,
        tx: DatabaseTransaction,
        turn: &Turn<'_>,
        wire: Wire,
        run: Run<'_>,
        claim: &Claim<'_>,
        stamp: Option<&str>,
    ) -> Result<Attempted, Undone> {
        let Run { principal, entry, mutation, .. } = run;
        let before = match self.admit(&tx, turn, claim, stamp).await? {
            Admission::Run { last_version } => last_version,
            Admission::Expired { .. } => return gone(tx, Err(PushFailure::Expired)),
            Admission::Seen { stored, last } => return self.kept(tx, Outcome::Seen { stored, last }).await,
            Admission::Barred(failure) => return gone(tx, Ok(Outcome::Barred(failure))),
        };
        if wire == Wire::Two
            && let Some(refused) = self.store.on(&tx).refused(claim.actor, &mutation.depends_on).await?
        {
            return gone(tx, Err(PushFailure::Cancelled(refused)));
        }
        let Ran { tx, jobs, result } = self.run(run, tx).await?;
        let record = match result {
            Ok(record) => record,
            Err(refusal) => return gone(tx, Err(refusal)),
        };
        let mut ids = ids_of(&record);
        let answers = [(*claim, record)];
        let settled = self.settle(&tx, principal, before, &answers).await?;
        if !self.may_write(principal, entry, &settled.written.touched, &settled)? {
            return gone(tx, Err(PushFailure::Forbidden));
        }
        let Written { touched, conflicts, .. } = settled.written;
        let write = self.store.on(&tx);
        if let Some(lost) = self.lost(entry, &conflicts) {
            // The device hears of it again when it asks again.
            write.record_lost(claim.actor, claim.client_mutation_id, &lost).await?;
            ids.lost = lost_of(&lost);
        }
        write.log(&[(claim, answers[0].1.status, &touched)]).await?;
        self.enqueue(&tx, &jobs).await?;
        write.end_push().await?;
        Ok(Attempted::Kept { tx, outcome: Outcome::Applied { touched, ids }, jobs, conflicts })
    }

    async fn kept(&self, tx: DatabaseTransaction, outcome: Outcome) -> Result<Attempted, Undone> {
        self.store.on(&tx).end_push().await?;
        Ok(Attempted::Kept { tx, outcome, jobs: Vec::new(), conflicts: Vec::new() })
    }

    /// Sequence and claim: whether the mutation is to run.
    async fn admit(
        &self,
        tx: &DatabaseTransaction,
        turn: &Turn<'_>,
        claim: &Claim<'_>,
        stamp: Option<&str>,
    ) -> Result<Admission, StoreError> {
        let write = self.store.on(tx);
        let client_id = claim.sequence.map(|(client_id, _)| client_id);
        let standing = write.admit(claim.actor, client_id, &[claim.client_mutation_id], stamp).await?;
        turn.identify(standing.backend);
        let (mut last_version, mut forgotten_ms) = (0, 0);
        if let (Some((_, id)), Some(sequence)) = (claim.sequence, standing.sequence) {
            if sequence.actor != claim.actor {
                return Ok(Admission::Barred(PushFailure::ClientIdTaken));
            }
            (last_version, forgotten_ms) = (sequence.last_version, sequence.forgotten_ms);
            if id <= sequence.last {
                let mut stored = write.stored(claim.actor, claim.client_mutation_id).await?;
                if stored.is_none() && self.is_forgotten(claim, id, &sequence) {
                    stored = Some(Stored::expired());
                }
                return Ok(Admission::Seen { stored, last: Some(sequence.last) });
            }
            if id > sequence.last + 1 {
                return Ok(Admission::Barred(PushFailure::OutOfOrder { got: id, last: sequence.last }));
            }
        }
        if !standing.known {
            // A client that is not known may be one that was forgotten, and this what it sent then.
            if forgotten_ms > 0 && claim.made_ms.is_some_and(|made| !self.is_since(made, forgotten_ms)) {
                return Ok(Admission::Expired { last_version });
            }
            return Ok(Admission::Run { last_version });
        }
        // The same mutation under a new number: the number is used up, the answer is that of then. It is acknowledged when what
        // it wrote then is in the rows.
        let stored = write.stored(claim.actor, claim.client_mutation_id).await?;
        let version = stored.as_ref().map_or(0, |stored| stored.version);
        if let Some((client_id, id)) = claim.sequence {
            write.advance(client_id, id, last_version.max(version)).await?;
        }
        Ok(Admission::Seen { stored, last: claim.sequence.map(|(_, id)| id) })
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
        before: i64,
        answers: &[(Claim<'_>, Record)],
    ) -> Result<Settled, Undone> {
        let sequence = answers.last().and_then(|(claim, _)| claim.sequence);
        let settle = Settle { principal, sequence, before, answers, looked: "" };
        let settled = self.store.on(tx).settle(&settle).await?;
        if !settled.filed {
            // Another delivery was quicker, and what it was answered is the answer.
            return Err(StoreError::Overtaken.into());
        }
        Ok(settled)
    }

    /// Stores a final refusal in a transaction of its own; the mutation's was rolled back.
    async fn refuse(
        &self,
        alone: bool,
        principal: &Principal,
        claim: &Claim<'_>,
        refusal: PushFailure,
    ) -> Result<Outcome, Undone> {
        let (tx, turn) = self.store.begin_push(alone).await?;
        match self.refuse_on(tx, &turn, principal, claim, refusal).await {
            Ok(Attempted::Kept { tx, outcome, .. }) => {
                turn.commit(tx).await?;
                Ok(outcome)
            }
            Ok(Attempted::Gone { tx, ended }) => {
                turn.abandon(Some(tx), false).await;
                ended.map_err(Undone::Failed)
            }
            Err(undone) => {
                turn.abandon(None, false).await;
                Err(undone)
            }
        }
    }

    async fn refuse_on(
        &self,
        tx: DatabaseTransaction,
        turn: &Turn<'_>,
        principal: &Principal,
        claim: &Claim<'_>,
        refusal: PushFailure,
    ) -> Result<Attempted, Undone> {
        match self.admit(&tx, turn, claim, None).await? {
            Admission::Run { last_version } | Admission::Expired { last_version } => {
                let answers = [(*claim, refused(&refusal))];
                self.settle(&tx, principal, last_version, &answers).await?;
                self.store.on(&tx).log(&[(claim, answers[0].1.status, &[])]).await?;
                self.kept(tx, Outcome::Refused(refusal)).await
            }
            // Somebody delivered it in between; whatever was answered then is the answer.
            Admission::Seen { stored, last } => self.kept(tx, Outcome::Seen { stored, last }).await,
            Admission::Barred(failure) => gone(tx, Ok(Outcome::Barred(failure))),
        }
    }

    /// The mutation's stamp: the device's, clamped to our clock, or one of ours; and as text when it is the device's and some
    /// table merges by it.
    pub(super) fn stamp(&self, mutation: &Mutation) -> (Hlc, Option<String>) {
        let now = self.environment.now().timestamp_millis();
        let mut clock = self.hlc.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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

/// How an attempt ended.
enum Attempted {
    /// What the transaction holds is to be kept.
    Kept { tx: DatabaseTransaction, outcome: Outcome, jobs: Vec<NewJob>, conflicts: Vec<Conflict> },
    /// The transaction is to be rolled back: nothing is to be done then, or a refusal is to be stored.
    Gone { tx: DatabaseTransaction, ended: Result<Outcome, PushFailure> },
}

#[expect(clippy::unnecessary_wraps, reason = "it ends functions that may fail")]
fn gone(tx: DatabaseTransaction, ended: Result<Outcome, PushFailure>) -> Result<Attempted, Undone> {
    Ok(Attempted::Gone { tx, ended })
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

/// The columns that a stored answer names as lost.
pub(super) fn lost_of(stored: &str) -> Vec<LostColumn> {
    serde_json::from_str(stored).unwrap_or_default()
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

/// Whether a mutation is to run.
enum Admission {
    Run {
        last_version: i64,
    },
    /// It does not, for it may have run before its client was forgotten.
    Expired {
        last_version: i64,
    },
    Seen {
        stored: Option<Stored>,
        last: Option<i64>,
    },
    Barred(PushFailure),
}
