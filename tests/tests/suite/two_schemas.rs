//! Two apps in two schemas of one Postgres: neither's writers touch what the other's devices get, nor when.

use crate::fixture;
use nizhal::Principal;
use nizhal::prelude::*;
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_runtime::engine::Engine;
use nizhal_runtime::schema::Schema;
use nizhal_runtime::store::{Store, StoreSettings};
use nizhal_tests::{Address, Connection, Database, Device, Kind};
use serde_json::{Value, json};
use std::sync::Arc;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "items")]
struct Item {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
}

sync_rules! {
    rules for Claims;
    rule mine(owner) { owner = actor.user_id; Item where Item.owner == owner; }
}

/// What to run.
#[nizhal::args]
struct Sql {
    sql: String,
}

#[mutator]
async fn run(ctx: &mut Ctx<Claims>, args: Sql) -> Result<Applied> {
    ctx.db().execute_unprepared(&args.sql).await?;
    Ok(Applied::done())
}

/// The store of an app in the schema of this name.
async fn store(database: &Database, schema: &str) -> (Arc<Schema>, Store) {
    let description = Schema::new(tables![Item], rules().into_inner(), mutators![run]).expect("a sound schema");
    let description = Arc::new(description);
    let url = format!("{}?options=-c%20search_path%3D{schema}", database.url());
    let settings = StoreSettings { url, pool: 4 };
    let store = Store::connect(&settings, description.clone()).await.expect("a database");
    (description, store.with_app(schema))
}

async fn app(database: &Database, schema: &str) -> Engine {
    let (description, store) = store(database, schema).await;
    fixture::engine_over(description, store, fixture::StoppedClock::default()).await
}

async fn world() -> (Database, Connection, Engine, Engine) {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute("create schema a; create schema b").await;
    let (a, b) = (app(&database, "a").await, app(&database, "b").await);
    // Their clocks are far from each other, as those of two apps are.
    db.execute("select setval('a._nizhal_clock', 100000)").await;
    (database, db, a, b)
}

fn ann() -> Principal {
    Principal::new(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() }, None)
}

async fn pull(engine: &Engine, device: &mut Device) {
    loop {
        let request: PullRequest = serde_json::from_value(json!({"cursor": device.cursor})).expect("a pull");
        let page = engine.pull(&ann(), Wire::Two, request).await.expect("an answer");
        let body: Value = serde_json::from_slice(&page.body).expect("JSON");
        if !device.apply(&body).has_more {
            return;
        }
    }
}

async fn push(engine: &Engine, sql: &str) -> String {
    let mutation = json!({"name": "run", "args": {"sql": sql}, "clientMutationId": Uuid::now_v7()});
    format!("{:?}", engine.push(&ann(), Wire::Two, fixture::push_of(&[mutation])).await)
}

fn device() -> Device {
    Device::new(&Address::default(), "d", "t").wire_two()
}

#[tokio::test]
async fn inv01_a_transaction_that_writes_both_gives_each_a_version_of_its_own() {
    let (_database, mut db, a, b) = world().await;
    let (mut ours, mut theirs) = (device(), device());
    pull(&a, &mut ours).await;
    pull(&b, &mut theirs).await;
    // Of another owner there: who writes beyond its own schema is judged by its own rules alone.
    let both = "insert into items (id, owner) values ('i1', 'ann'); insert into b.items (id, owner) values ('i1', 'ann'), ('i2', 'cem')";
    let told = push(&a, both).await;
    assert!(told.contains("Applied"), "{told}");
    let forbidden =
        "insert into b.items (id, owner) values ('i3', 'ann'); insert into items (id, owner) values ('i3', 'cem')";
    let told = push(&a, forbidden).await;
    assert!(told.contains("Forbidden"), "{told}");
    let each =
        "insert into b.items (id, owner) values ('i4', 'ann'); insert into a.items (id, owner) values ('i4', 'ann')";
    db.execute(&format!("begin; {each}; commit")).await;
    for (engine, device) in [(&a, &mut ours), (&b, &mut theirs)] {
        pull(engine, device).await;
        assert_eq!(device.ids("items"), ["i1", "i4"]);
    }
    let versions = "select (select max(_nizhal_version) < 1000 from b.items)::text || (select min(_nizhal_version) > 1000 from a.items)::text";
    assert_eq!(db.text(versions).await, "truetrue", "a version is of another clock");
}

#[tokio::test]
async fn inv30_an_open_transaction_of_one_delays_nothing_of_the_other() {
    let (database, mut db, a, b) = world().await;
    let mut holder = database.connect().await;
    holder.execute("begin; insert into b.items (id, owner) values ('late', 'ann')").await;
    db.execute("insert into a.items (id, owner) values ('i1', 'ann')").await;
    let mut ours = device();
    pull(&a, &mut ours).await;
    assert_eq!(ours.ids("items"), ["i1"], "another app's transaction holds it back");
    for (schema, is_held) in [("a", false), ("b", true)] {
        let held = store(&database, schema).await.1.holder().await.expect("an answer");
        assert_eq!(held.is_some(), is_held, "{held:?}");
    }
    holder.execute("commit").await;
    let mut theirs = device();
    pull(&b, &mut theirs).await;
    assert_eq!(theirs.ids("items"), ["late"]);
}

#[tokio::test]
async fn inv01_writers_of_both_at_once_reach_both() {
    let (_database, mut db, a, b) = world().await;
    let (mut ours, mut theirs) = (device(), device());
    let write = async |engine: &Engine, name: &str| {
        for number in 0..30 {
            let there = format!("insert into b.items (id, owner) values ('{name}-{number}', 'ann')");
            let both = format!("insert into a.items (id, owner) values ('{name}{number}', 'ann'); {there}");
            let told = push(engine, &both).await;
            assert!(told.contains("Applied"), "{told}");
        }
    };
    let read = async |engine: &Engine, device: &mut Device| {
        for _ in 0..30 {
            pull(engine, device).await;
        }
    };
    tokio::join!(write(&a, "x"), write(&b, "y"), write(&a, "z"), read(&a, &mut ours), read(&b, &mut theirs));
    for (engine, device, schema) in [(&a, &mut ours, "a"), (&b, &mut theirs, "b")] {
        pull(engine, device).await;
        assert_eq!(device.ids("items").len() as u64, db.count(&format!("{schema}.items")).await);
    }
}

/// A role's path is switched while a server runs: what it connects anew goes on in the schema that it began in.
#[tokio::test]
async fn inv02_a_server_stays_in_the_schema_that_it_began_in() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute("create schema a; create schema b").await;
    let follows = |schema: &str| {
        format!(
            "do $$ begin execute format('alter role current_user in database %I set search_path = {schema}', current_database()); end $$"
        )
    };
    for schema in ["b", "a"] {
        db.execute(&follows(schema)).await;
        let description =
            Arc::new(Schema::new(tables![Item], rules().into_inner(), mutators![run]).expect("a sound schema"));
        let engine = fixture::engine_over(
            description.clone(),
            fixture::store(&database, &description, 2).await,
            fixture::StoppedClock::default(),
        )
        .await;
        if schema == "b" {
            continue;
        }
        db.execute("insert into a.items (id, owner) values ('i1', 'ann'); insert into b.items (id, owner) values ('i2', 'ann')").await;
        let mut ours = device();
        pull(&engine, &mut ours).await;
        assert_eq!(ours.ids("items"), ["i1"]);
        db.execute(&follows("b")).await;
        let ours_alone = "pid <> pg_backend_pid() and datname = current_database()";
        db.execute(&format!("select pg_terminate_backend(pid) from pg_stat_activity where {ours_alone}")).await;
        nizhal_tests::until("the sessions ended", async || {
            db.count(&format!("pg_stat_activity where {ours_alone}")).await == 0
        })
        .await;
        db.execute("insert into a.items (id, owner) values ('i3', 'ann')").await;
        pull(&engine, &mut ours).await;
        assert_eq!(ours.ids("items"), ["i1", "i3"]);
        let told = push(&engine, "insert into items (id, owner) values ('i4', 'ann')").await;
        assert!(told.contains("Applied"), "{told}");
        assert_eq!((db.count("a.items").await, db.count("b.items").await), (3, 1));
    }
}
