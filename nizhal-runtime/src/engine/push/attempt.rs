//! One mutation: in one transaction of its own, applied exactly once, answered the same for ever.

use super::{Engine, Ids, PushFailure, numbered};
use crate::engine::scope::Choices;
use crate::observe::ConflictEvent;
use crate::store::{Claim, Conflict, Counters, Fault, Record, StoreError, Stored, Touched, fault};
use futures_util::FutureExt;
use nizhal_core::{
    Applied, CtxParts, Error, Hlc, MutatorEntry, Principal, Random, ServerParts,
    wire::{Mutation, Wire},
};
use std::panic::AssertUnwindSafe;

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

impl Engine {
    /// One mutation, tried again while the database says that it may succeed.
    pub(super) async fn apply(
        &self,
        principal: &Principal,
        wire: Wire,
        mutation: &Mutation,
    ) -> Result<Outcome, PushFailure> {
        let (hlc, of_device) = self.stamp(mutation);
        let stamp = (of_device && self.merges_columns).then(|| hlc.to_string());
        let mut tried = 0;
        loop {
            tried += 1;
            let claim = Claim {
                actor: principal.key(),
                client_mutation_id: &mutation.client_mutation_id,
                sequence: mutation.client_id.as_deref().zip(numbered(mutation)),
                name: &mutation.name,
                stamp: stamp.as_deref(),
                args: mutation.args.get(),
            };
            let unknown = || PushFailure::UnknownMutator(mutation.name.clone());
            let outcome = match (self.schema.mutator(&mutation.name), wire) {
                (Some(entry), _) => self.attempt(principal, wire, entry, (mutation, hlc), &claim).await,
                (None, Wire::One) => Ok(Outcome::Barred(unknown())),
                (None, Wire::Two) => self.refuse(&claim, unknown()).await,
            };
            match outcome {
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
        wire: Wire,
        entry: &MutatorEntry,
        (mutation, hlc): (&Mutation, Hlc),
        claim: &Claim<'_>,
    ) -> Result<Outcome, PushFailure> {
        let tx = self.store.begin().await?;
        let before = match self.admit(&tx, claim).await? {
            Admission::Run { last_version } => last_version,
            Admission::Seen { stored, last } => {
                self.store.on(&tx).finish().await?;
                tx.commit().await.map_err(StoreError::from)?;
                return Ok(Outcome::Seen { stored, last });
            }
            Admission::Barred(failure) => {
                tx.rollback().await.map_err(StoreError::from)?;
                return Ok(Outcome::Barred(failure));
            }
        };
        if wire == Wire::Two
            && let Some(refused) = self.store.on(&tx).refused(claim.actor, &mutation.depends_on).await?
        {
            tx.rollback().await.map_err(StoreError::from)?;
            return self.refuse(claim, PushFailure::Cancelled(refused)).await;
        }
        let parts = CtxParts {
            tx,
            principal: principal.clone(),
            now: self.environment.now(),
            hlc,
            ids: {
                let environment = self.environment.clone();
                Box::new(move || environment.new_id())
            },
            jobs: Vec::new(),
            random: Random::of(&mutation.client_mutation_id),
            server: Some(ServerParts { numbers: &Counters }),
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
                    let record = Record { touched: &written.touched, ..record_of(&applied, mutation, version) };
                    let ids = Ids { client_ref: record.client_ref.clone(), server_id: record.server_id.clone() };
                    write.record(claim, record).await?;
                    self.enqueue(&tx, &parts.jobs).await?;
                    write.finish().await?;
                    tx.commit().await.map_err(StoreError::from)?;
                    self.jobs_came(&parts.jobs);
                    self.conflicted(&written.conflicts);
                    return Ok(Outcome::Applied { touched: written.touched, ids });
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
        self.refuse(claim, refusal).await
    }

    /// Sequence and claim: whether the mutation is to run.
    async fn admit(&self, tx: &sea_orm::DatabaseTransaction, claim: &Claim<'_>) -> Result<Admission, StoreError> {
        let write = self.store.on(tx);
        let mut last_version = 0;
        let mut number = None;
        if let Some((client_id, id)) = claim.sequence {
            let sequence = write.sequence(client_id, claim.actor).await?;
            if sequence.actor != claim.actor {
                return Ok(Admission::Barred(PushFailure::ClientIdTaken));
            }
            last_version = sequence.last_version;
            if id <= sequence.last {
                let stored = write.stored(claim.actor, claim.client_mutation_id).await?;
                return Ok(Admission::Seen { stored, last: Some(sequence.last) });
            }
            if id > sequence.last + 1 {
                return Ok(Admission::Barred(PushFailure::OutOfOrder { got: id, last: sequence.last }));
            }
            number = Some(id);
        }
        if write.claim(claim).await? {
            return Ok(Admission::Run { last_version });
        }
        // The same mutation under a new number: the number is used up, the answer is that of then. It is acknowledged when what
        // it wrote then is in the rows.
        let stored = write.stored(claim.actor, claim.client_mutation_id).await?;
        let version = stored.as_ref().map_or(0, |stored| stored.version);
        write.advance(claim, last_version.max(version)).await?;
        Ok(Admission::Seen { stored, last: number })
    }

    /// Stores a final refusal in a transaction of its own; the mutation's was rolled back.
    async fn refuse(&self, claim: &Claim<'_>, refusal: PushFailure) -> Result<Outcome, PushFailure> {
        let tx = self.store.begin().await?;
        let outcome = match self.admit(&tx, claim).await? {
            Admission::Run { last_version } => {
                let (status, reason) = match &refusal {
                    PushFailure::Rejected(reason) => ("rejected", Some(reason.as_str())),
                    PushFailure::InvalidArgs(reason) => ("invalid_args", Some(reason.as_str())),
                    PushFailure::Cancelled(on) => ("cancelled", Some(on.as_str())),
                    PushFailure::UnknownMutator(name) => ("unknown_mutator", Some(name.as_str())),
                    _ => ("forbidden", None),
                };
                let record = Record { status, reason, version: last_version, ..Record::default() };
                self.store.on(&tx).record(claim, record).await?;
                Outcome::Refused(refusal)
            }
            // Somebody delivered it in between; whatever was answered then is the answer.
            Admission::Seen { stored, last } => Outcome::Seen { stored, last },
            Admission::Barred(failure) => {
                tx.rollback().await.map_err(StoreError::from)?;
                return Ok(Outcome::Barred(failure));
            }
        };
        self.store.on(&tx).finish().await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(outcome)
    }

    /// Whether every touched bucket is the actor's, or of a table that the mutator is privileged for. A public rule's bucket is
    /// everybody's to read and so nobody's to write.
    async fn may_write(
        &self,
        tx: &sea_orm::DatabaseTransaction,
        principal: &Principal,
        entry: &MutatorEntry,
        touched: &[Touched],
    ) -> Result<bool, StoreError> {
        let may_beyond = |touched: &&Touched| entry.desc.privileged.contains(&touched.table.as_str());
        let mut checked =
            touched.iter().filter(|touched| !touched.bucket.is_membership() && !may_beyond(touched)).peekable();
        if checked.peek().is_none() {
            return Ok(true);
        }
        let mut touched = checked.collect::<Vec<_>>().into_iter();
        if let Some(public) = touched.as_slice().iter().find(|touched| touched.bucket.params.is_empty()) {
            let (mutator, table, rule) = (entry.desc.name, &public.table, &public.bucket.rule);
            tracing::warn!(mutator, table, rule, "a public table is written by #[mutator(privileged(Table))] alone");
            return Ok(false);
        }
        let frame = self.store.on(tx).frame(&self.store.scope_args(principal)).await?;
        self.same_rules(&frame)?;
        let own = Choices::new(&self.schema, principal, &frame.members);
        Ok(touched.all(|touched| own.hold(&touched.bucket)))
    }

    /// Tells of the columns that a late write did not get.
    fn conflicted(&self, conflicts: &[Conflict]) {
        for Conflict { table, id, column, kept, lost } in conflicts {
            tracing::info!(table, id, column, kept, lost, "a late write lost against a later one");
            self.observers.conflict(&ConflictEvent::new(table, id, column, kept, lost));
        }
    }

    /// The mutation's stamp: the device's, clamped to our clock, or one of ours; and whether it is the device's.
    fn stamp(&self, mutation: &Mutation) -> (Hlc, bool) {
        let now = self.environment.now().timestamp_millis();
        let mut clock = self.hlc.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match mutation.hlc.as_deref().and_then(|text| text.parse().ok()) {
            Some(stamp) => {
                let (stamp, clamped) = clock.receive(stamp, now);
                if clamped {
                    tracing::warn!(mutation = %mutation.client_mutation_id, "a device's clock is far ahead; its stamp was clamped");
                }
                (stamp, true)
            }
            None => (clock.tick(now), false),
        }
    }
}

/// Whether a mutation is to run.
enum Admission {
    Run { last_version: i64 },
    Seen { stored: Option<Stored>, last: Option<i64> },
    Barred(PushFailure),
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
        touched: &[],
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a mutator panicked: {}", text.unwrap_or_default())
}
