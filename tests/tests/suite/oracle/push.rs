//! Pushes: what each mutation must come to is found by running its statements by plain SQL, and taking them back.

use super::{
    declare::ADMIN,
    ledger::{Admission, Sent, Waiting},
    plain::{Dump, Image, Key},
    script::{Location, Mutation, client_id},
    shape::STAMP_AT,
    world::{Check, World},
};
use nizhal_core::wire::{self, PushRequest, Wire};
use nizhal_runtime::engine::{PushError, Verdict};
use serde_json::value::RawValue;
use std::collections::BTreeSet;

pub(super) fn request(batch: &[Sent]) -> PushRequest {
    let mutation = |sent: &Sent| {
        let args = serde_json::json!({"statements": sent.statements, "rejects": sent.rejects}).to_string();
        let (client_id, mutation_id) = sent.sequence.clone().unzip();
        wire::Mutation {
            name: sent.name.clone(),
            args: RawValue::from_string(args).expect("JSON"),
            client_mutation_id: sent.id.clone(),
            client_id,
            mutation_id,
            hlc: None,
            depends_on: sent.depends_on.clone().into(),
        }
    };
    PushRequest { mutations: batch.iter().map(mutation).collect() }
}

impl World<'_> {
    pub(super) async fn push(&mut self, device: usize, mutations: &[Mutation]) -> Check {
        let (actor, wire) = self.script.devices[device];
        let mut batch: Vec<Sent> = Vec::new();
        for mutation in mutations {
            let sequence = mutation.place.map(|(of, place)| {
                let client = client_id(of);
                let earlier = batch.iter().filter_map(|sent| sent.sequence.as_ref()).filter(|(id, _)| *id == client);
                let last = earlier.map(|(_, number)| *number).max().unwrap_or(0).max(self.ledger.last(&client));
                let number = match place {
                    Location::Next => last + 1,
                    Location::Past(by) => (last - by).max(1),
                    Location::Ahead => last + 2,
                };
                (client, number)
            });
            batch.push(Sent {
                id: mutation.id.clone(),
                name: mutation.name.to_owned(),
                sequence,
                depends_on: mutation.depends_on.clone(),
                statements: self.plain.statements(&mutation.changes),
                rejects: mutation.rejects,
            });
        }
        self.sent.push((actor, wire, batch.clone()));
        self.deliver(actor, wire, &batch).await
    }

    /// An earlier push comes again.
    pub(super) async fn redeliver(&mut self, back: usize, other_wire: bool) -> Check {
        let Some(at) = self.sent.len().checked_sub(1 + back) else { return Ok(()) };
        let (actor, wire, batch) = self.sent[at].clone();
        let wire = match (wire, other_wire) {
            (Wire::One, true) => Wire::Two,
            (Wire::Two, true) => Wire::One,
            (wire, false) => wire,
        };
        self.deliver(actor, wire, &batch).await
    }

    async fn deliver(&mut self, actor: usize, wire: Wire, batch: &[Sent]) -> Check {
        let (wanted, after) = self.foretell(actor, wire, batch).await;
        let reply = self.engine.push(&self.principal(actor), wire, request(batch)).await;
        if let Some(fault) = reply.fault {
            return Err(format!("inv17: a push found a fault: {fault:?}"));
        }
        let given: Vec<String> = reply.answers.iter().map(|answer| label(&answer.verdict)).collect();
        if given != wanted {
            return Err(format!("inv12: {batch:?} in {wire:?} was answered {given:?}, not {wanted:?}"));
        }
        let found = self.plain.dump(self.db).await;
        if found != after {
            return Err(format!(
                "inv18: {batch:?} in {wire:?} was answered {given:?}; the rows are {found:?}, not {after:?}"
            ));
        }
        Ok(())
    }

    /// What the batch must be answered, and what the database must hold then.
    async fn foretell(&mut self, actor: usize, wire: Wire, batch: &[Sent]) -> (Vec<String>, Dump) {
        let (mut answers, mut waiting) = (Vec::new(), Waiting::default());
        self.db.execute("begin").await;
        let mut now = self.plain.dump(self.db).await;
        for sent in batch {
            let answer = match self.ledger.admit(wire, actor, sent, &mut waiting) {
                Admission::Answered(answer) => answer,
                Admission::Runs => self.try_out(actor, sent, &mut now).await,
            };
            let ends = wire == Wire::One && answer != "applied" && answer != "duplicate";
            answers.push(answer);
            if ends {
                break;
            }
        }
        self.db.execute("rollback").await;
        (answers, now)
    }

    /// Runs a mutation in a savepoint, which stays when it applies.
    async fn try_out(&mut self, actor: usize, sent: &Sent, now: &mut Dump) -> String {
        self.db.execute("savepoint m").await;
        let before = now.clone();
        let answer = match self.run(sent, now).await {
            None => "refused Rejected",
            Some(_) if sent.rejects => "refused Rejected",
            Some(written) if sent.name == ADMIN || self.may_write(actor, &written).await => "applied",
            Some(_) => "refused Forbidden",
        };
        if answer == "applied" {
            if let Some(sequence) = &sent.sequence {
                let effects = self.effects(&before, now);
                self.ledger.effects.insert(sequence.clone(), effects);
            }
        } else {
            self.db.execute("rollback to savepoint m").await;
            *now = before;
        }
        self.ledger.store(actor, sent, answer);
        answer.to_owned()
    }

    /// Runs the statements; every image of a row before and after each, but for what a savepoint took back. `None` when the
    /// database refused one.
    async fn run(&mut self, sent: &Sent, now: &mut Dump) -> Option<BTreeSet<(usize, Image)>> {
        let mut written: BTreeSet<(usize, Image)> = BTreeSet::new();
        let mut saved: Vec<BTreeSet<(usize, Image)>> = Vec::new();
        for statement in &sent.statements {
            self.db.try_execute(statement).await.ok()?;
            let next = self.plain.dump(self.db).await;
            match statement.split(' ').next() {
                Some("savepoint") => saved.push(written.clone()),
                Some("release") => drop(saved.pop()),
                Some("rollback") => written = saved.last()?.clone(),
                _ => {
                    for (table, (old, new)) in now.iter().zip(&next).enumerate() {
                        written.extend(old.symmetric_difference(new).map(|image| (table, image.clone())));
                    }
                }
            }
            *now = next;
        }
        Some(written)
    }

    async fn may_write(&mut self, actor: usize, written: &BTreeSet<(usize, Image)>) -> bool {
        let actor = self.actor(actor);
        let scope = self.plain.scope(self.db, actor).await;
        // Who is a member of what is an administrator's to say.
        written
            .iter()
            .all(|(table, image)| !self.plain.gives_buckets(*table) && self.plain.is_within(&scope, *table, image))
    }

    /// The rows that were written and are there, with their numbers.
    fn effects(&self, before: &Dump, after: &Dump) -> Vec<(Key, i64)> {
        let mut effects = Vec::new();
        for (table, (before, after)) in before.iter().zip(after).enumerate() {
            for image in after.difference(before) {
                let stamp = image[STAMP_AT].as_deref().and_then(|stamp| stamp.parse().ok());
                effects.push(((table, self.plain.key(table, image)), stamp.expect("a number")));
            }
        }
        effects
    }
}

fn label(verdict: &Verdict) -> String {
    let name = |failure: &PushError| {
        let text = format!("{failure:?}");
        text.split(['(', ' ']).next().unwrap_or_default().to_owned()
    };
    match verdict {
        Verdict::Applied(_) => "applied".to_owned(),
        Verdict::Duplicate(_) => "duplicate".to_owned(),
        Verdict::Refused(failure) => format!("refused {}", name(failure)),
        Verdict::Barred(failure) => format!("barred {}", name(failure)),
    }
}
