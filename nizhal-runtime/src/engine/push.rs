//! A push: each mutation in one transaction of its own, applied exactly once, answered the same for ever.

use super::{Bucket, Engine, PushFailure, PushReply, scope};
use crate::store::{Claim, Fault, Record, StoreError, Stored, Touched, fault};
use futures_util::FutureExt;
use nizhal_core::{
    Applied, CtxParts, Error, Hlc, MutatorEntry, Principal,
    wire::{Mutation, PushRequest},
};
use std::{collections::BTreeSet, panic::AssertUnwindSafe};

/// How often a mutation is tried again after a deadlock or serialization failure before it is answered 503.
const ATTEMPTS: usize = 10;

/// What became of one mutation, when the database did not fail.
#[derive(Debug)]
enum Outcome {
    /// It ran now, and wrote these buckets.
    Applied(Vec<Touched>),
    /// It was seen before; this is the answer of then, if it had one of its own.
    Seen(Option<Stored>),
    /// It is final and had no effect.
    Refused(PushFailure),
    /// It may not run at all, and used nothing up.
    Barred(PushFailure),
}

impl Engine {
    /// Applies a batch of mutations, in order, until the first failure.
    pub async fn push(&self, principal: &Principal, request: PushRequest) -> PushReply {
        let mut reply = PushReply::default();
        for mutation in request.mutations {
            let outcome = match self.schema.mutator(&mutation.name) {
                Some(entry) => self.apply(principal, entry, &mutation).await,
                None => Ok(Outcome::Barred(PushFailure::UnknownMutator(mutation.name.clone()))),
            };
            let failure = match outcome {
                Ok(Outcome::Applied(touched)) => {
                    self.ping(&touched);
                    None
                }
                Ok(Outcome::Seen(stored)) => stored.and_then(failure_of),
                Ok(Outcome::Refused(failure)) => Some(failure),
                Ok(Outcome::Barred(failure)) => {
                    reply.failure = Some(failure);
                    return reply;
                }
                Err(failure) => {
                    reply.failure = Some(failure);
                    return reply;
                }
            };
            if let (Some(client_id), Some(id)) = (&mutation.client_id, numbered(&mutation)) {
                match reply.sequences.iter_mut().find(|(client, _)| client == client_id) {
                    Some((_, last)) => *last = (*last).max(id),
                    None => reply.sequences.push((client_id.clone(), id)),
                }
            }
            if let Some(failure) = failure {
                reply.failure = Some(failure);
                return reply;
            }
            reply.applied.push(mutation.client_mutation_id);
        }
        reply
    }

    /// One mutation, tried again while the database says that it may succeed.
    async fn apply(
        &self,
        principal: &Principal,
        entry: &MutatorEntry,
        mutation: &Mutation,
    ) -> Result<Outcome, PushFailure> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.attempt(principal, entry, mutation).await {
                Err(PushFailure::Store(StoreError::Unavailable(error)))
                    if tried < ATTEMPTS && fault(&error) == Fault::Retry =>
                {
                    tokio::task::yield_now().await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt(
        &self,
        principal: &Principal,
        entry: &MutatorEntry,
        mutation: &Mutation,
    ) -> Result<Outcome, PushFailure> {
        let claim = Claim {
            actor: principal.key(),
            client_mutation_id: &mutation.client_mutation_id,
            sequence: mutation.client_id.as_deref().zip(numbered(mutation)),
            name: &mutation.name,
        };
        let tx = self.store.begin().await?;
        let before = match self.admit(&tx, &claim).await? {
            Admission::Run { last_version } => last_version,
            Admission::Seen(stored) => {
                self.store.on(&tx).finish().await?;
                tx.commit().await.map_err(StoreError::from)?;
                return Ok(Outcome::Seen(stored));
            }
            Admission::Barred(failure) => {
                tx.rollback().await.map_err(StoreError::from)?;
                return Ok(Outcome::Barred(failure));
            }
        };
        let parts = CtxParts {
            tx,
            principal: principal.clone(),
            now: self.environment.now(),
            hlc: self.stamp(mutation),
            ids: {
                let environment = self.environment.clone();
                Box::new(move || environment.new_id())
            },
            jobs: Vec::new(),
        };
        let called = AssertUnwindSafe((entry.call)(parts, &mutation.args)).catch_unwind().await;
        let (parts, result) = called.map_err(|panic| PushFailure::Internal(panic_text(&panic).into()))?;
        let tx = parts.tx;
        let refusal = match result {
            Ok(applied) => {
                let written = self.store.on(&tx).written().await?;
                if self.may_write(&tx, principal, entry, &written.touched).await? {
                    let write = self.store.on(&tx);
                    let version = written.version.unwrap_or(before);
                    write.record(&claim, record_of(&applied, mutation, version)).await?;
                    self.enqueue(&tx, &parts.jobs).await?;
                    write.finish().await?;
                    tx.commit().await.map_err(StoreError::from)?;
                    self.jobs_came(&parts.jobs);
                    return Ok(Outcome::Applied(written.touched));
                }
                PushFailure::Forbidden
            }
            // A reason may quote what the device sent, and Postgres cannot keep U+0000.
            Err(Error::Rejected(reason)) => PushFailure::Rejected(reason.replace('\0', "")),
            Err(Error::InvalidArgs(reason)) => PushFailure::InvalidArgs(reason.replace('\0', "")),
            Err(Error::Db(error)) => match fault(&error) {
                Fault::Constraint => PushFailure::Rejected("the data breaks a constraint of the database".to_owned()),
                Fault::Retry | Fault::Unavailable => return Err(StoreError::from(error).into()),
                Fault::Bug => return Err(PushFailure::Internal(error.into())),
            },
            Err(Error::Internal(cause)) => return Err(PushFailure::Internal(cause)),
            Err(other) => return Err(PushFailure::Internal(other.into())),
        };
        tx.rollback().await.map_err(StoreError::from)?;
        self.refuse(&claim, refusal).await
    }

    /// Sequence and claim: whether the mutation is to run.
    async fn admit(&self, tx: &sea_orm::DatabaseTransaction, claim: &Claim<'_>) -> Result<Admission, StoreError> {
        let write = self.store.on(tx);
        let mut last_version = 0;
        if let Some((client_id, id)) = claim.sequence {
            let sequence = write.sequence(client_id, claim.actor).await?;
            if sequence.actor != claim.actor {
                return Ok(Admission::Barred(PushFailure::ClientIdTaken));
            }
            last_version = sequence.last_version;
            if id <= sequence.last {
                return Ok(Admission::Seen(write.stored(claim.actor, claim.client_mutation_id).await?));
            }
            if id > sequence.last + 1 {
                return Ok(Admission::Barred(PushFailure::OutOfOrder { got: id, last: sequence.last }));
            }
        }
        if write.claim(claim).await? {
            return Ok(Admission::Run { last_version });
        }
        // The same mutation under a new number: the number is used up, the answer is that of then.
        write.advance(claim, last_version).await?;
        Ok(Admission::Seen(write.stored(claim.actor, claim.client_mutation_id).await?))
    }

    /// Stores a final refusal in a transaction of its own; the mutation's was rolled back.
    async fn refuse(&self, claim: &Claim<'_>, refusal: PushFailure) -> Result<Outcome, PushFailure> {
        let tx = self.store.begin().await?;
        let outcome = match self.admit(&tx, claim).await? {
            Admission::Run { last_version } => {
                let (status, reason) = match &refusal {
                    PushFailure::Rejected(reason) => ("rejected", Some(reason.as_str())),
                    PushFailure::InvalidArgs(reason) => ("invalid_args", Some(reason.as_str())),
                    _ => ("forbidden", None),
                };
                let record = Record { status, reason, version: last_version, ..Record::default() };
                self.store.on(&tx).record(claim, record).await?;
                Outcome::Refused(refusal)
            }
            // Somebody delivered it in between; whatever was answered then is the answer.
            Admission::Seen(stored) => Outcome::Seen(stored),
            Admission::Barred(failure) => return Ok(Outcome::Barred(failure)),
        };
        self.store.on(&tx).finish().await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(outcome)
    }

    /// Whether every touched bucket is the actor's, or of a table that the mutator is privileged for.
    async fn may_write(
        &self,
        tx: &sea_orm::DatabaseTransaction,
        principal: &Principal,
        entry: &MutatorEntry,
        touched: &[Touched],
    ) -> Result<bool, StoreError> {
        let mut checked =
            touched.iter().filter(|touched| !entry.desc.privileged.contains(&touched.table.as_str())).peekable();
        if checked.peek().is_none() {
            return Ok(true);
        }
        let members = self.store.on(tx).members(&self.store.scope_args(principal)).await?;
        let own = scope::buckets(&self.schema, principal, &members);
        Ok(checked.all(|touched| own.contains(&touched.bucket)))
    }

    /// The mutation's stamp: the device's, clamped to our clock, or one of ours.
    fn stamp(&self, mutation: &Mutation) -> Hlc {
        let now = self.environment.now().timestamp_millis();
        let mut clock = self.hlc.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match mutation.hlc.as_deref().and_then(|text| text.parse().ok()) {
            Some(stamp) => {
                let (stamp, clamped) = clock.receive(stamp, now);
                if clamped {
                    tracing::warn!(mutation = %mutation.client_mutation_id, "a device's clock is far ahead; its stamp was clamped");
                }
                stamp
            }
            None => clock.tick(now),
        }
    }

    fn ping(&self, touched: &[Touched]) {
        let shown: BTreeSet<Bucket> =
            touched.iter().filter(|touched| touched.shown).map(|touched| touched.bucket.clone()).collect();
        self.hub.ping(&shown.into_iter().collect::<Vec<_>>());
    }
}

/// Whether a mutation is to run.
enum Admission {
    Run { last_version: i64 },
    Seen(Option<Stored>),
    Barred(PushFailure),
}

/// The mutation's place in its client's sequence; only places from 1 count.
fn numbered(mutation: &Mutation) -> Option<i64> {
    mutation.mutation_id.filter(|id| *id >= 1)
}

fn failure_of(stored: Stored) -> Option<PushFailure> {
    let reason = stored.reason.unwrap_or_default();
    match stored.status.as_str() {
        "rejected" => Some(PushFailure::Rejected(reason)),
        "invalid_args" => Some(PushFailure::InvalidArgs(reason)),
        "forbidden" => Some(PushFailure::Forbidden),
        _ => None,
    }
}

fn record_of(applied: &Applied, mutation: &Mutation, version: i64) -> Record<'static> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Reference {
        client_id: Option<String>,
    }
    let reference = serde_json::from_str::<Reference>(mutation.args.get()).ok().and_then(|args| args.client_id);
    Record {
        status: "applied",
        reason: None,
        result: serde_json::to_string(applied).ok(),
        client_ref: applied.server_id.is_some().then_some(reference).flatten(),
        server_id: applied.server_id.clone(),
        version,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a mutator panicked: {}", text.unwrap_or_default())
}
