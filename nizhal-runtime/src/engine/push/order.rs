//! The mutations of a push in order, each answered by itself; the wire says what a refusal means for those after it.

use super::{
    acknowledged::Acknowledged,
    key::key_of,
    replay::SentTogether,
    reply::{Answer, PushError, PushReply, Verdict},
};
use crate::{
    engine::{Engine, quota::Spent},
    store::{StoreError, WriteSetEntry},
};
use nizhal_core::{
    Bucket, Principal,
    wire::{Mutation, PushRequest, Wire},
};
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// Applies a batch of mutations, in order: in wire 1 until the first failure, in wire 2 all that may run.
    pub async fn push(&self, principal: &Principal, wire: Wire, request: PushRequest) -> PushReply {
        let mut reply = PushReply::default();
        let mut blockers = Blockers::default();
        let acknowledged = Acknowledged::of(&request.mutations);
        let mut remaining = request.mutations.as_slice();
        let has_room = match self.has_room_for_answers(principal.key(), remaining.len()).await {
            Ok(has_room) => has_room,
            Err(error) => return PushReply { fault: Some(error.into()), ..reply },
        };
        // How many are to run one by one, because they could not as a batch. Without room for answers those that have theirs still
        // get it.
        let mut one_by_one_left = if has_room { 0 } else { remaining.len() };
        while let Some(mutation) = remaining.first() {
            let batch_len = if one_by_one_left == 0 && blockers.is_empty() { self.batch_len(remaining) } else { 1 };
            let replayed_len =
                if one_by_one_left == 0 && blockers.is_empty() { self.replayed_len(remaining) } else { 0 };
            if batch_len > 1 || replayed_len > 1 {
                let batch_len = batch_len.max(replayed_len);
                let mutations = &remaining[..batch_len];
                let answered = match replayed_len {
                    0 => Box::pin(self.run_batch(principal, wire, mutations, &acknowledged)).await,
                    _ => {
                        let acknowledged = &acknowledged;
                        Box::pin(self.replay_together(SentTogether { principal, wire, mutations, acknowledged })).await
                    }
                };
                if answered.is_empty() {
                    one_by_one_left = batch_len;
                }
                remaining = &remaining[answered.len()..];
                for answer in answered {
                    if reply.add(wire, answer) {
                        return reply;
                    }
                }
                continue;
            }
            one_by_one_left = one_by_one_left.saturating_sub(1);
            remaining = &remaining[1..];
            let answered = match blockers.bars(wire, mutation) {
                Some((failure, last)) => {
                    Ok(Answer::to(&key_of(principal, mutation, &acknowledged), Verdict::Barred(failure), last))
                }
                None => Box::pin(self.apply((principal, wire), mutation, &acknowledged, has_room)).await,
            };
            let answer = match answered {
                Ok(answer) => answer,
                Err(fault) => {
                    reply.fault = Some(fault);
                    return reply;
                }
            };
            if matches!(answer.verdict, Verdict::Barred(_)) {
                blockers.add(mutation, &answer.verdict, answer.last);
            }
            if reply.add(wire, answer) {
                return reply;
            }
        }
        reply
    }

    /// Whether so many more answers of the actor's may be stored. Where they may not, the oldest go that its clients have.
    ///
    /// # Errors
    /// When the database fails.
    async fn has_room_for_answers(&self, actor: &str, count: usize) -> Result<bool, StoreError> {
        let (quota, count) = (&self.answers, count as u64);
        let now_ms = self.environment.now().timestamp_millis();
        match quota.spend(actor, count, now_ms) {
            Spent::Allowed => return Ok(true),
            Spent::Full => return Ok(false),
            Spent::MustCount => {}
        }
        let mut stored = self.store.count_answers(actor, quota.limit).await?;
        if stored + count > quota.limit {
            let forgotten = self.store.forget_acknowledged(actor, quota.limit / 2).await?;
            tracing::info!(
                actor,
                forgotten,
                "an actor has as many answers as it may; the oldest that its clients have are forgotten"
            );
            if forgotten > 0 {
                stored = self.store.count_answers(actor, quota.limit).await?;
            }
        }
        Ok(quota.counted(actor, stored, count, now_ms))
    }

    pub(super) fn ping(&self, write_set: &[WriteSetEntry]) {
        let shown: BTreeSet<Bucket> =
            write_set.iter().filter(|entry| entry.shown).map(|entry| entry.bucket.clone()).collect();
        self.hub.ping(&shown.into_iter().collect::<Vec<_>>());
    }
}

/// The mutations of this batch that others must wait for, because they did not run; only wire 2 goes on after such a one.
#[derive(Default)]
struct Blockers {
    mutations: BTreeSet<String>,
    /// By `clientID`: the mutation that stopped it, and where its sequence stands.
    clients: BTreeMap<String, (String, Option<i64>)>,
}

impl Blockers {
    fn is_empty(&self) -> bool {
        self.mutations.is_empty()
    }

    fn bars(&self, wire: Wire, mutation: &Mutation) -> Option<(PushError, Option<i64>)> {
        if wire == Wire::One {
            return None;
        }
        if let Some((id, last)) = mutation.client_id.as_ref().and_then(|client| self.clients.get(client)) {
            return Some((PushError::Waits(id.clone()), *last));
        }
        let on = mutation.depends_on.iter().find(|on| self.mutations.contains(*on))?;
        Some((PushError::Waits(on.clone()), None))
    }

    fn add(&mut self, mutation: &Mutation, verdict: &Verdict, last: Option<i64>) {
        let id = &mutation.client_mutation_id;
        self.mutations.insert(id.clone());
        // A clientID of another actor's is told so each time.
        if let (Some(client), Some(PushError::OutOfOrder { .. } | PushError::Waits(_))) =
            (&mutation.client_id, verdict.failure())
        {
            self.clients.entry(client.clone()).or_insert_with(|| (id.clone(), last));
        }
    }
}

#[cfg(test)]
mod tests;
