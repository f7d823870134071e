//! Pushes.

use super::{Claims, FAULTS, World, at_each_round_trip};
use nizhal::prelude::*;
use nizhal_runtime::engine::{PushReply, Verdict};
use nizhal_runtime::schema::Schema;
use nizhal_tests::StatementFault;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

#[nizhal::table(name = "notes")]
struct Note {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
}

sync_rules! {
    rules for Claims;
    rule mine(owner) { owner = actor.user_id; Note where Note.owner == owner; }
}

#[nizhal::args]
struct Add {
    id: String,
}

#[mutator]
async fn add(ctx: &mut Ctx<Claims>, args: Add) -> Result<Applied> {
    let is_refused = args.id.starts_with("no-");
    NoteActive { id: Set(args.id), owner: Set(ctx.actor().user_id.clone()) }.insert(ctx.db()).await?;
    if is_refused { Err(reject!("no")) } else { Ok(Applied::done()) }
}

/// The schema of notes that a push adds.
pub(super) fn notes() -> Schema {
    Schema::new(tables![Note], rules().into_inner(), mutators![add]).expect("a sound schema")
}

impl World {
    pub(super) async fn add(&self, ids: &[String]) -> PushReply {
        self.push("add", ids, |id| json!({"id": id})).await
    }

    /// What was acknowledged is in the database, and the rest is not; gives the number of answers. Where an answer was lost on its
    /// way, what it would have said may be there too, whole.
    pub(super) async fn check(
        &mut self,
        asked: &[String],
        reply: &PushReply,
        may_be_done: bool,
        context: &str,
    ) -> usize {
        let answers = self.db.rows("select client_mutation_id, status from _nizhal_mutations").await;
        let text = |cell: &Option<String>| cell.clone().unwrap_or_default();
        let answers: BTreeMap<String, String> = answers.iter().map(|row| (text(&row[0]), text(&row[1]))).collect();
        let notes: BTreeSet<String> =
            self.db.rows("select id from notes").await.iter().map(|row| text(&row[0])).collect();
        for (at, id) in asked.iter().enumerate() {
            let found = (answers.get(id).map(String::as_str), notes.contains(id));
            match reply.answers.get(at).map(|answer| &answer.verdict) {
                Some(Verdict::Applied(_) | Verdict::Duplicate(_)) => {
                    assert_eq!(found, (Some("applied"), true), "{id} was acknowledged: {context}");
                }
                Some(Verdict::Refused(_)) => {
                    assert_eq!(found, (Some("rejected"), false), "{id} was refused: {context}");
                }
                Some(Verdict::Barred(_)) | None if may_be_done => {
                    let whole = [(None, false), (Some("applied"), true), (Some("rejected"), false)];
                    assert!(whole.contains(&found), "{id} was not answered, and is half there: {found:?}: {context}");
                }
                Some(Verdict::Barred(_)) | None => {
                    assert_eq!(found, (None, false), "{id} was not answered: {context}");
                }
            }
        }
        reply.answers.len()
    }
}

#[tokio::test]
async fn inv13_inv39_after_any_fault_of_a_push_what_was_acknowledged_is_in_the_database() {
    let mut world = World::new(notes()).await;
    at_each_round_trip(&FAULTS, 10, async |fault, number, after| {
        let context = format!("{fault:?} at round trip {after}");
        let ids = ["a", "no", "b"].map(|name| format!("{name}-{number}-{after}"));
        world.proxy.arm(after, fault);
        let reply = world.add(&ids).await;
        let is_over = world.proxy.disarm();
        world.check(&ids, &reply, fault == StatementFault::EndsAfter, &context).await;
        // The device sends again, and nothing that went before is in the way.
        let again = world.add(&ids).await;
        let context = format!("after {context}");
        assert_eq!(world.check(&ids, &again, false, &context).await, 3, "{:?} {context}", again.fault);
        // What the first answer said, the second says too.
        for (first, second) in reply.answers.iter().zip(&again.answers) {
            let applied = |verdict: &Verdict| matches!(verdict, Verdict::Applied(_) | Verdict::Duplicate(_));
            assert_eq!(applied(&first.verdict), applied(&second.verdict), "{context}");
        }
        is_over
    })
    .await;
}
