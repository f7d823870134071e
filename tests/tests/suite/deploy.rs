//! Deploys while others run: servers of the rules of before, a rollback, another app or an older binary on the same database.

use crate::fixture::{self, both};
use nizhal::prelude::*;
use nizhal::{Principal, Rules};
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_runtime::engine::Engine;
use nizhal_runtime::schema::Schema;
use nizhal_runtime::store::Store;
use nizhal_tests::{Address, Database, Device, Kind};
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

#[nizhal::table(name = "notes")]
struct Note {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
}

sync_rules! {
    both_rules for Claims;
    rule items(owner) { owner = actor.user_id; Item where Item.owner == owner; }
    rule notes(owner) { owner = actor.user_id; Note where Note.owner == owner; }
}

sync_rules! {
    items_alone for Claims;
    rule items(owner) { owner = actor.user_id; Item where Item.owner == owner; }
}

#[nizhal::table(name = "others")]
struct Other {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
}

sync_rules! {
    other_rules for Claims;
    rule items(owner) { owner = actor.user_id; Other where Other.owner == owner; }
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

async fn store(database: &Database, rules: Rules<Claims>) -> (Arc<Schema>, Store) {
    let schema = Schema::new(tables![Item, Note], rules.into_inner(), mutators![run]).expect("a sound schema");
    let schema = Arc::new(schema);
    let store = fixture::store(database, &schema, 4).await;
    (schema, store)
}

/// A server of these rules; it provisions the database as it starts.
async fn server(database: &Database, rules: Rules<Claims>) -> Engine {
    let (schema, store) = store(database, rules).await;
    fixture::engine_over(schema, store, fixture::StoppedClock::default()).await
}

fn principal(user: &str) -> Principal {
    Principal::new(Claims { user_id: user.to_owned(), owner_id: "o".to_owned() }, None)
}

fn device() -> Device {
    Device::new(&Address::default(), "d", "t").wire_two()
}

/// Pulls to the end; whether the device was told to start again.
async fn pull(engine: &Engine, device: &mut Device) -> bool {
    let mut reset = false;
    loop {
        let request: PullRequest =
            serde_json::from_value(json!({"cursor": device.cursor, "limit": 2})).expect("a pull");
        let page = engine.pull(&principal("ann"), Wire::Two, request).await.expect("an answer");
        let body: Value = serde_json::from_slice(&page.body).expect("JSON");
        reset |= body["cursorReset"] == true;
        if !device.apply(&body).has_more {
            return reset;
        }
    }
}

/// What becomes of these statements, each a mutation of ann's.
async fn push(engine: &Engine, sql: &[&str]) -> String {
    let mutation = |sql: &&str| json!({"name": "run", "args": {"sql": sql}, "clientMutationId": Uuid::now_v7()});
    let mutations: Vec<Value> = sql.iter().map(mutation).collect();
    format!("{:?}", engine.push(&principal("ann"), Wire::Two, fixture::push_of(&mutations)).await)
}

async fn inv18_a_server_of_the_rules_of_before_writes_nothing(kind: Kind) {
    let database = Database::new(kind).await;
    let old = server(&database, both_rules()).await;
    let new = server(&database, items_alone()).await;
    let foreign = "insert into notes (id, owner) values ('n1', 'cem')";
    let nothing = "update notes set owner = owner where id = 'none'";
    let own = "insert into items (id, owner) values ('i1', 'ann')";
    for statements in [&[foreign][..], &[nothing], &[own], &[nothing, foreign], &[own, nothing]] {
        let told = push(&old, statements).await;
        assert!(told.contains("OtherRules"), "{statements:?}: {told}");
    }
    let mut db = database.connect().await;
    assert_eq!((db.count("notes").await, db.count("items").await), (0, 0), "a write was let in without a look");
    assert_eq!(db.count("_nizhal_mutations").await, 0, "something was answered for ever");
    let told = push(&new, &[own]).await;
    assert!(told.contains("Applied"), "{told}");
}

async fn inv01_a_rule_that_went_and_came_back_shows_what_was_written_between(kind: Kind) {
    let database = Database::new(kind).await;
    let mut db = database.connect().await;
    let before = server(&database, both_rules()).await;
    db.execute("insert into notes (id, owner) values ('n1', 'ann'), ('n2', 'ann'), ('n3', 'ann')").await;
    db.execute("insert into items (id, owner) values ('i1', 'ann')").await;
    let (mut absent, mut present, mut elsewhere) = (device(), device(), device());
    pull(&before, &mut absent).await;
    pull(&before, &mut present).await;
    let between = server(&database, items_alone()).await;
    db.execute("insert into notes (id, owner) values ('n4', 'ann')").await;
    db.execute("delete from notes where id = 'n1'").await;
    db.execute("update notes set owner = 'cem' where id = 'n2'").await;
    db.execute("insert into items (id, owner) values ('i2', 'ann')").await;
    pull(&between, &mut present).await;
    pull(&between, &mut elsewhere).await;
    let again = server(&database, both_rules()).await;
    for device in [&mut absent, &mut present, &mut elsewhere] {
        pull(&again, device).await;
        assert_eq!(device.ids("notes"), ["n3", "n4"]);
        assert_eq!(device.ids("items"), ["i1", "i2"]);
        assert!(!pull(&again, device).await, "a reset without end");
    }
    // Who holds nothing of the rule that was away does not start again.
    assert!(!pull(&again, &mut elsewhere).await);
}

async fn inv40_a_database_of_another_app_or_of_a_newer_binary_is_refused(kind: Kind) {
    let database = Database::new(kind).await;
    let mut db = database.connect().await;
    let first = store(&database, both_rules()).await.1.with_app("first");
    first.provision().await.expect("provisioned");
    db.execute("insert into notes (id, owner) values ('n1', 'ann')").await;
    let second = || async { store(&database, items_alone()).await.1.with_app("second") };
    for told in [
        second().await.plan().await.map(drop),
        second().await.provision().await,
        second().await.reset().await,
        second().await.drop_tables().await,
        second().await.new_epoch().await.map(drop),
    ] {
        let told = told.expect_err("it is another's").to_string();
        assert!(told.contains("the app `first`'s, and this is `second`"), "{told}");
        assert!(told.contains("migrate --renamed-from first"), "{told}");
    }
    assert_eq!(first.plan().await.expect("a plan"), Vec::<String>::new(), "the first one's triggers are gone");
    // The same name, and yet another app.
    let other = Schema::new(tables![Other], other_rules().into_inner(), vec![]).expect("a sound schema");
    let other = fixture::store(&database, &Arc::new(other), 2).await.with_app("first");
    let told = other.provision().await.expect_err("it is another's").to_string();
    assert!(told.contains("this app declares none of them"), "{told}");
    let renamed = second().await.with_renamed(Some("first".to_owned()));
    renamed.provision().await.expect("it is the same app");
    assert!(first.plan().await.is_err());
    db.execute("update _nizhal_control set provisioning = provisioning + 1").await;
    for told in [renamed.plan().await.map(drop), renamed.provision().await] {
        let told = told.expect_err("it is newer").to_string();
        assert!(told.contains("provisioned by a newer version of Nizhal"), "{told}");
    }
}

/// The server of before that starts again, or whatever runs its `migrate`, does not bring its rules back.
async fn inv40_rules_that_were_replaced_come_back_by_word_alone(kind: Kind) {
    let database = Database::new(kind).await;
    let (before, _) = store(&database, items_alone()).await;
    let (after, _) = store(&database, both_rules()).await;
    let forward = async |schema: &Arc<Schema>| fixture::store(&database, schema, 2).await.going_forward(true);
    forward(&before).await.provision().await.expect("the first rules");
    forward(&after).await.provision().await.expect("the next ones");
    for told in [forward(&before).await.plan().await.map(drop), forward(&before).await.provision().await] {
        let told = told.expect_err("they were replaced").to_string();
        assert!(told.contains("start the build of those here too") && told.contains("migrate --back"), "{told}");
    }
    assert_eq!(forward(&after).await.plan().await.expect("a plan"), Vec::<String>::new());
    fixture::store(&database, &before, 2).await.provision().await.expect("by word");
    assert_eq!(forward(&before).await.plan().await.expect("a plan"), Vec::<String>::new());
    assert!(forward(&after).await.plan().await.is_err());
}

async fn inv40_each_earlier_provisioning_is_brought_up_to_date(kind: Kind) {
    let dumps = match kind {
        Kind::Postgres => &[include_str!("provisioned/postgres_1.sql"), include_str!("provisioned/postgres_2.sql")][..],
        Kind::Sqlite => &[include_str!("provisioned/sqlite_1.sql")],
    };
    for dump in dumps {
        let database = Database::new(kind).await;
        let mut db = database.connect().await;
        db.execute(dump).await;
        let engine = server(&database, both_rules()).await;
        let mut device = device();
        pull(&engine, &mut device).await;
        assert_eq!((device.ids("items"), device.ids("notes")), (vec!["i1"], vec!["n1"]), "{dump}");
        let insert = "insert into items (id, owner) values ('i2', 'ann')";
        let told = push(&engine, &[insert]).await;
        assert!(told.contains("Applied"), "{told}");
        let told = push(&engine, &["insert into items (id, owner) values ('i3', 'cem')"]).await;
        assert!(told.contains("Forbidden"), "{told}");
        db.execute("delete from notes where id = 'n1'").await;
        pull(&engine, &mut device).await;
        assert_eq!((device.ids("items").len(), device.ids("notes").len()), (2, 0));
        assert_eq!(db.count("_nizhal_mutations where client_mutation_id = 'm1'").await, 1, "an answer is gone");
        assert_eq!(db.count("_nizhal_control where length(secret) >= 8 and epoch <> ''").await, 1);
    }
}

both![
    inv18_a_server_of_the_rules_of_before_writes_nothing,
    inv01_a_rule_that_went_and_came_back_shows_what_was_written_between,
    inv40_a_database_of_another_app_or_of_a_newer_binary_is_refused,
    inv40_each_earlier_provisioning_is_brought_up_to_date,
    inv40_rules_that_were_replaced_come_back_by_word_alone,
];
