//! Each statement of a push and of a pull fails once with each error that SQLite may give, after it rolled back by itself or not.

use super::{PushReply, Verdict};
use crate::{
    engine::Engine,
    hub::Hub,
    store::{Injected, Store, StoreSettings},
    testing::{self, Claims},
};
use nizhal_core::{
    NodeId, Principal,
    wire::{PullRequest, Wire},
};
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use sqlx::Connection as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

/// A store on a file, and an engine over it.
struct World {
    engine: Engine,
    path: PathBuf,
}

impl World {
    async fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nizhal-{name}-{}.db", uuid::Uuid::now_v7()));
        let schema = Arc::new(testing::schema());
        let settings = StoreSettings { url: format!("sqlite://{}", path.display()), pool: 2 };
        let store = Store::connect(&settings, schema.clone()).await.unwrap();
        store.provision().await.unwrap();
        let engine = Engine::new(schema, store, Hub::default(), Arc::new(testing::clock()), NodeId(1));
        Self { engine, path }
    }

    fn actor() -> Principal {
        let claims = Claims { user_id: "u".to_owned(), owner_id: "o".to_owned(), shop_id: "s1".to_owned() };
        Principal::new(claims, None)
    }

    async fn push(&self, ids: &[String]) -> PushReply {
        let mutations: Vec<_> = ids
            .iter()
            .map(|id| {
                let note = if id.starts_with("no-") { "no" } else { id };
                json!({"name": "addNote", "clientMutationId": id, "args": {"clientId": note}})
            })
            .collect();
        let request = serde_json::from_value(json!({"mutations": mutations})).unwrap();
        self.engine.push(&Self::actor(), Wire::Two, request).await
    }

    /// What another process sees: the answers that are stored, and the notes.
    async fn on_disk(&self) -> (BTreeMap<String, String>, BTreeSet<String>) {
        let mut db = sqlx::SqliteConnection::connect(&format!("sqlite://{}", self.path.display())).await.unwrap();
        let answers = sqlx::query_as("select client_mutation_id, status from _nizhal_mutations");
        let answers: Vec<(String, String)> = answers.fetch_all(&mut db).await.unwrap();
        let notes: Vec<String> = sqlx::query_scalar("select id from notes").fetch_all(&mut db).await.unwrap();
        (answers.into_iter().collect(), notes.into_iter().collect())
    }

    /// What was acknowledged is on the disk, and the rest is not; gives the number of answers.
    async fn check(&self, asked: &[String], reply: &PushReply, context: &str) -> usize {
        let (answers, notes) = self.on_disk().await;
        for (at, id) in asked.iter().enumerate() {
            let answer = reply.answers.get(at);
            let stored = answers.get(id).map(String::as_str);
            match answer.map(|answer| &answer.verdict) {
                Some(Verdict::Applied(_) | Verdict::Duplicate(_)) => {
                    assert_eq!(
                        (stored, notes.contains(id)),
                        (Some("applied"), true),
                        "{id} was acknowledged: {context}"
                    );
                }
                Some(Verdict::Refused(_)) => {
                    assert_eq!((stored, notes.contains(id)), (Some("rejected"), false), "{id} was refused: {context}");
                }
                Some(Verdict::Barred(_)) | None => {
                    assert_eq!((stored, notes.contains(id)), (None, false), "{id} was not answered: {context}");
                }
            }
        }
        reply.answers.len()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.path.display()));
        }
    }
}

/// More statements than a push has.
const MANY: usize = 400;

#[tokio::test]
async fn inv39_after_any_error_of_a_push_what_was_acknowledged_is_on_the_disk() {
    let world = World::new("push-faults").await;
    let failpoints = world.engine.store.failpoints().unwrap();
    for error in Injected::ALL {
        let mut reached = 0;
        for after in 0..MANY {
            let context = format!("{} at statement {after}", error.name);
            let id = |name: &str| format!("{name}-{}-{after}", error.name);
            let (mine, yours) = ([id("a"), id("no"), id("b")], [id("c")]);
            failpoints.arm(after, error);
            // They share commits, but for what the failure parts.
            let (first, second) = tokio::join!(world.push(&mine), world.push(&yours));
            let is_over = failpoints.disarm();
            world.check(&mine, &first, &context).await;
            world.check(&yours, &second, &context).await;
            // The devices send again, and nothing that went before is in the way.
            let (first, second) = tokio::join!(world.push(&mine), world.push(&yours));
            let context = format!("after {context}");
            assert_eq!(world.check(&mine, &first, &context).await, 3, "{:?} {context}", first.fault);
            assert_eq!(world.check(&yours, &second, &context).await, 1, "{:?} {context}", second.fault);
            if is_over {
                break;
            }
            reached += 1;
        }
        assert!((30..MANY).contains(&reached), "{}: {reached} statements failed", error.name);
    }
}

#[tokio::test]
async fn inv39_after_any_error_of_a_pull_the_next_one_is_whole() {
    let world = World::new("pull-faults").await;
    let failpoints = world.engine.store.failpoints().unwrap();
    let ids: Vec<String> = (0..5).map(|number| format!("n{number}")).collect();
    world.push(&ids).await;
    let pull = async || {
        let request = PullRequest::default();
        world.engine.pull(&World::actor(), Wire::Two, request).await
    };
    for error in Injected::ALL {
        let mut reached = 0;
        for after in 0..MANY {
            failpoints.arm(after, error);
            let failed = pull().await.is_err();
            let is_over = failpoints.disarm();
            assert_eq!(failed, !is_over, "{} at statement {after}", error.name);
            let page = String::from_utf8(pull().await.unwrap().body).unwrap();
            assert!(ids.iter().all(|id| page.contains(&format!("\"{id}\""))), "{page}");
            let added = [format!("{}-{after}", error.name)];
            let reply = world.push(&added).await;
            assert_eq!(world.check(&added, &reply, "a push after it").await, 1);
            if is_over {
                break;
            }
            reached += 1;
        }
        assert!((3..MANY).contains(&reached), "{}: {reached} statements failed", error.name);
    }
}

#[tokio::test]
async fn inv13_a_full_disk_loses_nothing_that_was_acknowledged() {
    let world = World::new("full").await;
    let limit = async |pages: u32| {
        // The limit is the connection's own, and never below what is used.
        let pragma = format!("pragma max_page_count = {pages}");
        world.engine.store.connection().execute_unprepared(&pragma).await.unwrap();
    };
    let (mut acknowledged, mut failed) = (0, 0);
    for round in 0..60 {
        limit(if round % 3 == 2 { u32::MAX - 1 } else { 1 }).await;
        let ids: Vec<String> = (0..20).map(|number| format!("r{round}n{number}{}", "x".repeat(200))).collect();
        let reply = world.push(&ids).await;
        failed += usize::from(reply.fault.is_some());
        acknowledged += world.check(&ids, &reply, &format!("round {round}")).await;
    }
    assert!(failed >= 20 && acknowledged >= 400, "{failed} pushes failed, {acknowledged} mutations were acknowledged");
}
