//! One mutation in its place, in a transaction of its own.

use super::{
    arrive::{Arrival, How, InPlace, add},
    place::horizon,
    space::ReplaySpace,
};
use crate::engine::push::{
    actor::{Holding, Holdings},
    key::{recorded, verdict_of},
    reply::{Answer, PushError},
    run::Run,
    transact::{Delivery, Done, News},
    trial::AttemptEnd,
};
use crate::{
    engine::Engine,
    store::{Ended, PullHeader, StoreError, WriteSetSeal, Written},
};
use sea_orm::DatabaseTransaction;

impl Engine {
    /// Runs the mutation in its place, and those behind it again.
    pub(in crate::engine::push) async fn replay_on(
        &self,
        tx: DatabaseTransaction,
        delivery: Delivery<'_>,
        run: Run<'_>,
        (before, seal): (i64, &WriteSetSeal),
    ) -> Result<Done, AttemptEnd> {
        let Run { principal, entry, mutation, hlc, savepoints: statements, .. } = run;
        let refuse = |tx, refusal| Ok(Done::rolled_back(tx, Err(refusal)));
        let within = match ReplaySpace::of(entry, mutation) {
            Ok(within) => within,
            Err(refusal) if refusal.is_final() => return refuse(tx, refusal),
            Err(failure) => return Err(AttemptEnd::Failed(failure)),
        };
        let members = self.store.on(&tx).members(principal).await?;
        if Holdings::new(&self.schema, principal, None, &members).all([&within.bucket]) != Holding::Own {
            return refuse(tx, PushError::Forbidden);
        }
        let how = How {
            principal,
            wire: delivery.wire,
            seal,
            trial: delivery.trial,
            statements,
            takes_write_sets: false,
            limit: None,
            nth: 0,
        };
        let arrival = Arrival { entry, mutation, key: *delivery.key, hlc };
        let InPlace { tx, arrived, mut written, is_taken } = self.arrive(tx, how, &within, &[arrival]).await?;
        let Some(arrived) = arrived.into_iter().next() else { return Err(AttemptEnd::Alone) };
        let result = match arrived.result {
            // It was looked at before.
            Err(cancelled @ PushError::Cancelled(_)) => return refuse(tx, cancelled),
            Err(control @ PushError::TransactionControl(_)) => return refuse(tx, control),
            result => result,
        };
        let header = PullHeader { members, ..PullHeader::default() };
        let is_own = |wrote: &Written| -> Result<bool, StoreError> {
            Ok(self.judge_writes((principal, entry), None, &wrote.write_set, &header)? == Holding::Own)
        };
        if !is_own(&arrived.written)? {
            return refuse(tx, PushError::Forbidden);
        }
        add(&mut written, arrived.written);
        let record = recorded(&result);
        let ended = Ended { key: *delivery.key, record, taken: is_taken.then_some(&written) };
        let (rest, _) = self.record_results(&tx, principal, (before, seal), &ended).await?;
        if rest.leaves_tables {
            self.store.mark_connection_broken(&tx).await;
        }
        if is_taken && !rest.write_set.is_empty() {
            // What is deferred until the commit wrote it, of whichever of them.
            return refuse(tx, PushError::Forbidden);
        }
        if self.foreign_to(&within, &rest, None).or_else(|| self.oversized(&rest)).is_some() {
            // It is refused in its place.
            return Err(AttemptEnd::Savepoints);
        }
        if !is_own(&rest)? {
            return refuse(tx, PushError::Forbidden);
        }
        written.add(rest);
        let news = News { filed: 1, written, jobs: Vec::new() };
        Ok(Done::kept(tx, news, Answer::over(delivery.key, verdict_of(result)).late(arrived.late)))
    }

    /// Forgets what it took to take spaces back to before what is settled; how many mutations.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_settled(&self) -> Result<u64, StoreError> {
        if !self.replays {
            return Ok(0);
        }
        let most = self.replay_bounds.max_actions;
        self.store.forget_settled(&horizon(self.environment.now()), most).await
    }

    /// Releases the jobs of replayed mutations that are final: nothing takes its place before them any more. How many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release_jobs(&self) -> Result<u64, StoreError> {
        if !self.replays {
            return Ok(0);
        }
        let released = self.store.release_jobs(&horizon(self.environment.now())).await?;
        if released > 0 {
            self.job_wake.notify_one();
        }
        Ok(released)
    }
}
