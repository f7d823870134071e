//! The mutations of a push in order, each answered by itself; the wire says what a refusal means for those after it.

use super::{
    acknowledged::Acknowledged,
    attempt::{Outcome, lost_of},
    reply::{Ids, PushFailure, PushReply, Verdict, numbered},
};
use crate::{
    engine::Engine,
    store::{Stored, Touched},
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
        let mut waiting = Waiting::default();
        let known = Acknowledged::of(&request.mutations);
        let mut rest = request.mutations.as_slice();
        // How many are to be taken one at a time, because together they could not be.
        let mut singly = 0_usize;
        while let Some(mutation) = rest.first() {
            let together = if singly == 0 && waiting.is_empty() { self.run_of(rest) } else { 1 };
            if together > 1 {
                let answered = Box::pin(self.together(principal, wire, &rest[..together], &known)).await;
                if answered.is_empty() {
                    singly = together;
                }
                for (mutation, verdict) in rest.iter().zip(answered) {
                    rest = &rest[1..];
                    let last = numbered(mutation);
                    if reply.take(wire, mutation, verdict, last) {
                        return reply;
                    }
                }
                continue;
            }
            singly = singly.saturating_sub(1);
            rest = &rest[1..];
            let answered = match waiting.bars(wire, mutation) {
                Some((failure, last)) => Ok((Verdict::Barred(failure), last)),
                None => Box::pin(self.answer(principal, wire, mutation, &known)).await,
            };
            let (verdict, last) = match answered {
                Ok(answered) => answered,
                Err(fault) => {
                    reply.fault = Some(fault);
                    return reply;
                }
            };
            if matches!(verdict, Verdict::Barred(_)) {
                waiting.note(mutation, &verdict, last);
            }
            if reply.take(wire, mutation, verdict, last) {
                return reply;
            }
        }
        reply
    }

    /// One mutation's verdict, and where its client's sequence stands after it.
    async fn answer(
        &self,
        principal: &Principal,
        wire: Wire,
        mutation: &Mutation,
        known: &Acknowledged,
    ) -> Result<(Verdict, Option<i64>), PushFailure> {
        let id = numbered(mutation);
        Ok(match self.apply(principal, wire, mutation, known).await? {
            Outcome::Applied { touched, ids } => {
                self.ping(&touched);
                self.store.audit_written();
                (Verdict::Applied(ids), id)
            }
            Outcome::Seen { stored, last } => (seen(wire, stored, id), last),
            Outcome::Refused(failure) => {
                self.store.audit_written();
                (Verdict::Refused(failure), id)
            }
            Outcome::Barred(failure) => {
                let last = if let PushFailure::OutOfOrder { last, .. } = failure { Some(last) } else { None };
                (Verdict::Barred(failure), last)
            }
        })
    }

    pub(super) fn ping(&self, touched: &[Touched]) {
        let shown: BTreeSet<Bucket> =
            touched.iter().filter(|touched| touched.shown).map(|touched| touched.bucket.clone()).collect();
        self.hub.ping(&shown.into_iter().collect::<Vec<_>>());
    }
}

/// What in this batch must run before others may, and did not; only wire 2 goes on after such a one.
#[derive(Default)]
struct Waiting {
    mutations: BTreeSet<String>,
    /// By `clientID`: the mutation that stopped it, and where its sequence stands.
    clients: BTreeMap<String, (String, Option<i64>)>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.mutations.is_empty()
    }

    fn bars(&self, wire: Wire, mutation: &Mutation) -> Option<(PushFailure, Option<i64>)> {
        if wire == Wire::One {
            return None;
        }
        if let Some((id, last)) = mutation.client_id.as_ref().and_then(|client| self.clients.get(client)) {
            return Some((PushFailure::Waits(id.clone()), *last));
        }
        let on = mutation.depends_on.iter().find(|on| self.mutations.contains(*on))?;
        Some((PushFailure::Waits(on.clone()), None))
    }

    fn note(&mut self, mutation: &Mutation, verdict: &Verdict, last: Option<i64>) {
        let id = &mutation.client_mutation_id;
        self.mutations.insert(id.clone());
        // A clientID of another actor's is told so each time.
        if let (Some(client), Some(PushFailure::OutOfOrder { .. } | PushFailure::Waits(_))) =
            (&mutation.client_id, verdict.failure())
        {
            self.clients.entry(client.clone()).or_insert_with(|| (id.clone(), last));
        }
    }
}

/// The verdict of then, for a mutation that comes again.
fn seen(wire: Wire, stored: Option<Stored>, id: Option<i64>) -> Verdict {
    match (stored, wire, id) {
        (Some(stored), ..) => verdict_of(stored),
        // Its number is used up and nothing is known of it: it was another's. Called a duplicate, it would be lost in silence.
        (None, Wire::Two, Some(id)) => Verdict::Refused(PushFailure::NumberUsed(id)),
        // A client of wire 1 gives it another number when it hears where its sequence stands.
        (None, Wire::One, Some(id)) => Verdict::Barred(PushFailure::NumberUsed(id)),
        (None, ..) => Verdict::Duplicate(Ids::default()),
    }
}

fn verdict_of(stored: Stored) -> Verdict {
    let reason = stored.reason.unwrap_or_default();
    Verdict::Refused(match stored.status.as_str() {
        "rejected" => PushFailure::Rejected(reason),
        "invalid_args" => PushFailure::InvalidArgs(reason),
        "forbidden" => PushFailure::Forbidden,
        "cancelled" => PushFailure::Cancelled(reason),
        "unknown_mutator" => PushFailure::UnknownMutator(reason),
        "mutator_panicked" => PushFailure::MutatorPanicked,
        "transaction_control" => PushFailure::TransactionControl(reason),
        "expired" => PushFailure::Expired,
        _ => {
            let lost = stored.lost.as_deref().map(lost_of).unwrap_or_default();
            return Verdict::Duplicate(Ids { client_ref: stored.client_ref, server_id: stored.server_id, lost });
        }
    })
}

#[cfg(test)]
mod tests;
