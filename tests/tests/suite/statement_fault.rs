//! Each round trip of a push and of a pull to Postgres fails once, with each kind of error, or loses its connection before or after
//! it took effect; and after each what was acknowledged is in the database, and the rest is not.

use crate::fixture::{engine, push_of};
use nizhal::Principal;
use nizhal::engine::{Engine, PushReply, Verdict};
use nizhal::prelude::*;
use nizhal::schema::Schema;
use nizhal::wire::{PullRequest, Wire};
use nizhal_tests::{COMMIT_FAULT, Connection, Database, Kind, StatementFault, StatementProxy};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

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

/// One of each kind that errors are sorted into: to be tried again at once, later, never, by nobody, and a transaction that a
/// statement before ended.
const FAULTS: [StatementFault; 7] = [
    StatementFault::Error("40001"),
    StatementFault::Error("53100"),
    StatementFault::Error("23514"),
    StatementFault::Error("XX000"),
    StatementFault::Error("25P02"),
    StatementFault::EndsBefore,
    StatementFault::EndsAfter,
];

/// More round trips than a push has.
const MANY: usize = 200;

/// An engine whose database is behind a proxy, and a way around it.
struct World {
    engine: Engine,
    proxy: StatementProxy,
    db: Connection,
    _database: Database,
}

fn ann() -> Principal {
    Principal::new(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() }, None)
}

impl World {
    async fn new() -> Self {
        let database = Database::new(Kind::Postgres).await;
        let mut db = database.connect().await;
        db.execute(COMMIT_FAULT).await;
        let proxy = StatementProxy::start(database.url()).await;
        let schema = Schema::new(tables![Note], rules().into_inner(), mutators![add]).expect("a sound schema");
        let engine = engine(&Database::at(&proxy.before(database.url())), schema).await;
        Self { engine, proxy, db, _database: database }
    }

    async fn push(&self, ids: &[String]) -> PushReply {
        let mutation = |id: &String| json!({"name": "add", "clientMutationId": id, "args": {"id": id}});
        let mutations: Vec<Value> = ids.iter().map(mutation).collect();
        self.engine.push(&ann(), Wire::Two, push_of(&mutations)).await
    }

    /// What was acknowledged is in the database, and the rest is not; gives the number of answers. Where an answer was lost on its
    /// way, what it would have said may be there too, whole.
    async fn check(&mut self, asked: &[String], reply: &PushReply, may_be_done: bool, context: &str) -> usize {
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
    let mut world = World::new().await;
    for (number, fault) in FAULTS.into_iter().enumerate() {
        let mut reached = 0;
        for after in 0..MANY {
            let context = format!("{fault:?} at round trip {after}");
            let ids = ["a", "no", "b"].map(|name| format!("{name}-{number}-{after}"));
            world.proxy.arm(after, fault);
            let reply = world.push(&ids).await;
            let is_over = world.proxy.disarm();
            world.check(&ids, &reply, fault == StatementFault::EndsAfter, &context).await;
            // The device sends again, and nothing that went before is in the way.
            let again = world.push(&ids).await;
            let context = format!("after {context}");
            assert_eq!(world.check(&ids, &again, false, &context).await, 3, "{:?} {context}", again.fault);
            // What the first answer said, the second says too.
            for (first, second) in reply.answers.iter().zip(&again.answers) {
                let applied = |verdict: &Verdict| matches!(verdict, Verdict::Applied(_) | Verdict::Duplicate(_));
                assert_eq!(applied(&first.verdict), applied(&second.verdict), "{context}");
            }
            if is_over {
                break;
            }
            reached += 1;
        }
        assert!((10..MANY).contains(&reached), "{fault:?}: {reached} round trips failed");
    }
}

#[tokio::test]
async fn inv39_after_any_fault_of_a_pull_the_next_one_is_whole() {
    let mut world = World::new().await;
    let ids: Vec<String> = (0..5).map(|number| format!("n{number}")).collect();
    world.push(&ids).await;
    for (number, fault) in FAULTS.into_iter().enumerate() {
        let mut reached = 0;
        for after in 0..MANY {
            let pull = async || {
                let request: PullRequest = serde_json::from_value(json!({"cursor": ""})).expect("a pull");
                world.engine.pull(&ann(), Wire::Two, request).await
            };
            world.proxy.arm(after, fault);
            let page = pull().await;
            let is_over = world.proxy.disarm();
            for page in
                [page.ok(), Some(pull().await.unwrap_or_else(|error| panic!("after {fault:?} at {after}: {error}")))]
            {
                let Some(page) = page else { continue };
                let page = String::from_utf8(page.body).expect("text");
                assert!(ids.iter().all(|id| page.contains(&format!("\"{id}\""))), "{fault:?} at {after}: {page}");
            }
            let added = [format!("p-{number}-{after}")];
            let reply = world.push(&added).await;
            assert_eq!(world.check(&added, &reply, false, "a push after it").await, 1);
            if is_over {
                break;
            }
            reached += 1;
        }
        assert!((1..MANY).contains(&reached), "{fault:?}: {reached} round trips failed");
    }
}
