//! One mutation: applied exactly once, answered the same for ever, however often it is tried (`transact` has one try).

use super::{
    acknowledged::Acknowledged,
    key::key_of,
    reply::{Answer, PushError, Verdict},
    run::Run,
    transact::{Delivery, Work},
    trial::{AttemptEnd, Trial},
};
use crate::{
    engine::Engine,
    store::{StoreError, StrayDocument},
};
use nizhal_core::{
    Hlc, Principal,
    wire::{Mutation, Wire},
};
use std::collections::BTreeSet;

/// The number of times that a mutation is tried after a deadlock or serialization failure before it is answered 503.
const MAX_ATTEMPTS: usize = 10;

/// The number of times that the triggers are checked for one mutation.
const MAX_TRIGGER_CHECKS: usize = 3;

/// The tries of a mutation until now.
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

impl Engine {
    /// One mutation, tried again while the database says that it may succeed. Without room for its answer it does not run, and is told
    /// the one of before where there is one.
    pub(super) async fn apply(
        &self,
        (principal, wire): (&Principal, Wire),
        mutation: &Mutation,
        acknowledged: &Acknowledged,
        has_room: bool,
    ) -> Result<Answer, PushError> {
        let (hlc, stamp) = self.stamp(mutation);
        let key = key_of(principal, mutation, acknowledged);
        let (mut tries, mut alone, mut gained, mut strays) = (Tries::default(), false, BTreeSet::new(), Vec::new());
        let mut trial = Trial::default();
        loop {
            tries.count += 1;
            let unknown = || PushError::UnknownMutator(mutation.name.clone());
            let delivery = Delivery {
                principal,
                wire,
                key: &key,
                alone,
                gained: &gained,
                strays: &strays,
                has_room,
                trial: &trial,
            };
            let answered = match (self.schema.mutator(&mutation.name), wire) {
                (Some(entry), _) => {
                    let run = Run {
                        principal,
                        entry,
                        mutation,
                        hlc,
                        savepoints: tries.savepoints,
                        earlier: None,
                        replayed_in: None,
                    };
                    self.attempt(delivery, run, stamp.as_deref()).await
                }
                (None, Wire::One) => Ok(Answer::to(&key, Verdict::Barred(unknown()), None)),
                (None, Wire::Two) => self.refuse(delivery, unknown()).await,
            };
            let refusal = match answered {
                Ok(answer) => return Ok(answer),
                Err(AttemptEnd::Alone) if !alone => {
                    alone = true;
                    continue;
                }
                Err(AttemptEnd::Gained(found)) if gained.is_empty() => {
                    gained = found;
                    continue;
                }
                Err(AttemptEnd::Gained(_)) => PushError::Forbidden,
                Err(AttemptEnd::Strays(found)) if strays.is_empty() && self.store.are_older(&found).await? => {
                    strays = found;
                    continue;
                }
                Err(AttemptEnd::Strays(found)) => self.strayed(&mutation.name, found),
                Err(AttemptEnd::Unchecked) => {
                    self.look_into_triggers(&mut tries).await?;
                    continue;
                }
                Err(end @ (AttemptEnd::Broken(_) | AttemptEnd::TooLong | AttemptEnd::Savepoints)) => {
                    let learnt = trial.learn(end);
                    learnt.map_err(|_| PushError::Store(StoreError::Busy))?;
                    continue;
                }
                Err(AttemptEnd::Again(failure)) if self.may_try_again(&mut tries, &failure) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(AttemptEnd::Alone) => return Err(StoreError::SharedCommit.into()),
                Err(AttemptEnd::Again(failure) | AttemptEnd::Failed(failure)) => {
                    self.judge_last(&mutation.name, failure)
                }
            };
            if !refusal.is_final() {
                return Err(refusal);
            }
            match self.refuse(delivery, refusal).await {
                Ok(answer) => return Ok(answer),
                Err(AttemptEnd::Alone) if !alone => alone = true,
                Err(AttemptEnd::Again(failure)) if self.may_try_again(&mut tries, &failure) => {
                    tokio::task::yield_now().await;
                }
                Err(AttemptEnd::Alone) => return Err(StoreError::SharedCommit.into()),
                Err(AttemptEnd::Gained(_)) => return Err(PushError::Forbidden),
                Err(AttemptEnd::Strays(found)) => return Err(self.strayed(&mutation.name, found)),
                Err(AttemptEnd::Unchecked) => self.look_into_triggers(&mut tries).await?,
                // A refusal is filed, and nothing takes its place.
                Err(AttemptEnd::Broken(_) | AttemptEnd::TooLong | AttemptEnd::Savepoints) => {
                    return Err(StoreError::Busy.into());
                }
                Err(AttemptEnd::Again(failure) | AttemptEnd::Failed(failure)) => return Err(failure),
            }
        }
    }

    /// The failure of a mutator that wrote documents that are none of their columns': a fault of its own, as where an active model finds it.
    fn strayed(&self, mutator: &str, strays: Vec<StrayDocument>) -> PushError {
        for stray in &strays {
            let (table, id, column) = stray.names();
            tracing::error!(mutator, table, id, column, "a mutator wrote a document that is none of its column's");
        }
        let reason = strays.into_iter().next().map(|stray| StoreError::from(stray.reason));
        self.judge(mutator, reason.unwrap_or(StoreError::Aborted))
    }

    /// Whether a mutation is tried again after such a failure, and what is to be other then.
    fn may_try_again(&self, tries: &mut Tries, failure: &PushError) -> bool {
        match failure {
            PushError::Store(StoreError::StalePlan(_)) => {
                self.store.renew_connections();
                !std::mem::replace(&mut tries.is_renewed, true)
            }
            PushError::Store(StoreError::Aborted) => !std::mem::replace(&mut tries.savepoints, true),
            _ => tries.count < MAX_ATTEMPTS,
        }
    }

    /// Looks into the triggers, which are not as they were known to be. What finds them so each time changes them itself.
    async fn look_into_triggers(&self, tries: &mut Tries) -> Result<(), PushError> {
        tries.checks += 1;
        let checked = match tries.checks {
            ..=MAX_TRIGGER_CHECKS => self.store.check_triggers().await,
            _ => Err(StoreError::Schema(
                "a mutation may not change the tables' triggers, nor a file's tables".to_owned(),
            )),
        };
        checked
            .inspect_err(|error| tracing::error!(error = error as &dyn std::error::Error, "nothing can be written"))
            .map_err(Into::into)
    }

    /// Runs the mutation; what it is refused for is filed in a second transaction.
    async fn attempt(&self, delivery: Delivery<'_>, run: Run<'_>, stamp: Option<&str>) -> Result<Answer, AttemptEnd> {
        match self.transact(delivery, Work::Run(run, stamp)).await? {
            Ok(answer) => Ok(answer),
            Err(refusal) => self.refuse(delivery, refusal).await,
        }
    }

    /// Files a final refusal.
    async fn refuse(&self, delivery: Delivery<'_>, refusal: PushError) -> Result<Answer, AttemptEnd> {
        self.transact(delivery, Work::File(refusal)).await?.map_err(AttemptEnd::Failed)
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
