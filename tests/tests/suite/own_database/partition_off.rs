//! Triggers of single partitions that are switched off, as `pg_restore --disable-triggers` does: nothing is written until they are back.

use super::{changed::refusal, device, events, pull, push};
use crate::fixture::{engine, store};
use nizhal_tests::{Connection, Database, Kind};
use std::sync::Arc;

async fn database() -> (Database, Connection) {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(
        "create table events (id text, year integer, owner text not null, primary key (id, year)) partition by list (year); \
         create table events_1 partition of events for values in (1); \
         create table events_2 partition of events for values in (2, 3) partition by list (year); \
         create table events_2a partition of events_2 for values in (2)",
    )
    .await;
    (database, db)
}

fn insert(id: &str, year: i32, owner: &str) -> String {
    format!("insert into events values ('{id}', {year}, '{owner}')")
}

/// Puts the triggers of a partition that are named so into this state.
async fn switch(db: &mut Connection, partition: &str, state: &str, triggers: &str) {
    let switch = db
        .text(&format!(
            "select string_agg(format('alter table {partition} {state} trigger %I', tgname), ';') from pg_trigger \
             where tgrelid = '{partition}'::regclass and tgname like '\\_nizhal\\_{triggers}'"
        ))
        .await;
    db.execute(&switch).await;
}

#[tokio::test]
async fn inv18_where_triggers_of_a_partition_are_off_nothing_is_written() {
    let (database, mut db) = database().await;
    let operator = store(&database, &Arc::new(events()), 2).await;
    let engine = engine(&database, events()).await;
    let mut device = device();
    for (at, (partition, year, state, triggers)) in [
        ("events_1", 1, "disable", "%"),
        ("events_2a", 2, "disable", "%"),
        ("events_1", 1, "enable replica", "%"),
        ("events_1", 1, "disable", "insert%"),
        ("events_2a", 2, "disable", "stamp"),
        ("events_2a", 2, "disable", "truncate%"),
    ]
    .into_iter()
    .enumerate()
    {
        let case = format!("{partition} {state} {triggers}");
        let id = |kind: &str| format!("{kind}{at}");
        assert!(push(&engine, &insert(&id("before"), year, "ann")).await.contains("Applied"), "{case}");
        pull(&engine, &mut device).await;
        switch(&mut db, partition, state, triggers).await;
        for owner in ["ann", "ben"] {
            let told = push(&engine, &insert(&id(owner), year, owner)).await;
            assert!(told.contains("answers: []") && told.contains(partition), "{case}: {told}");
        }
        assert_eq!(db.count(&format!("events where id in ('ann{at}', 'ben{at}')")).await, 0, "{case}");
        let told = refusal(&engine, &self::device()).await;
        assert!(told.contains("switched off") && told.contains(partition), "{case}: {told}");
        let ready = engine.ready().await.expect_err("not ready").to_string();
        assert!(ready.contains("run `migrate`"), "{case}: {ready}");
        if triggers.starts_with("truncate") {
            db.execute(&format!("truncate {partition}")).await;
        }
        db.execute(&insert(&id("unseen"), year, "ann")).await;
        operator.provision().await.expect("provisioned");
        assert_eq!(operator.plan().await.expect("a plan"), Vec::<String>::new(), "{case}");
        assert!(push(&engine, &insert(&id("ann"), year, "ann")).await.contains("Applied"), "{case}");
        assert!(push(&engine, &insert(&id("ben"), year, "ben")).await.contains("Forbidden"), "{case}");
        // What was written meanwhile reaches devices.
        pull(&engine, &mut device).await;
        let there = db.text("select string_agg(format('%s %s', id, year), ',' order by id) from events").await;
        assert_eq!(on(&device), there, "{case}");
    }
    // A good answer stands for a while.
    engine.ready().await.expect("ready");
}

/// The events of a device.
fn on(device: &nizhal_tests::Device) -> String {
    let keys: Vec<(String, String)> =
        device.ids("events").iter().map(|id| serde_json::from_str(id).expect("a key")).collect();
    let mut keys: Vec<String> = keys.into_iter().map(|(id, year)| format!("{id} {year}")).collect();
    keys.sort();
    keys.join(",")
}

#[tokio::test]
async fn inv18_a_mutation_that_switches_a_partitions_triggers_off_and_on_is_refused() {
    let (database, mut db) = database().await;
    let engine = engine(&database, events()).await;
    let quiet = format!(
        "do $$ begin alter table events_1 disable trigger user; {}; alter table events_1 enable trigger user; end $$",
        insert("a", 1, "ben")
    );
    let told = push(&engine, &quiet).await;
    assert!(!told.contains("Applied"), "{told}");
    assert_eq!(db.count("events").await, 0);
    assert!(push(&engine, &insert("b", 1, "ann")).await.contains("Applied"));
}

#[tokio::test]
async fn inv18_inv40_partitions_that_come_and_go_stop_no_push() {
    let (database, mut db) = database().await;
    db.execute("create table events_3 partition of events for values in (5)").await;
    let engine = engine(&database, events()).await;
    assert!(push(&engine, &insert("a", 1, "ann")).await.contains("Applied"));
    // As a long `vacuum full` of it would.
    let mut other = database.connect().await;
    other.execute("begin; lock table events_1 in access exclusive mode").await;
    for (at, change) in [
        "create table events_4 partition of events for values in (4)",
        "alter table events detach partition events_3",
        "alter table events attach partition events_3 for values in (5)",
        "drop table events_4",
    ]
    .into_iter()
    .enumerate()
    {
        db.execute(change).await;
        let told = push(&engine, &insert(&format!("b{at}"), 2, "ann")).await;
        assert!(told.contains("Applied"), "{change}: {told}");
        let told = push(&engine, &insert(&format!("c{at}"), 2, "ben")).await;
        assert!(told.contains("Forbidden"), "{change}: {told}");
    }
    // A mutation may make one.
    let made = format!(
        "do $$ begin create table events_6 partition of events for values in (6); {}; end $$",
        insert("d", 6, "ann")
    );
    let told = push(&engine, &made).await;
    assert!(told.contains("Applied"), "{told}");
    assert!(push(&engine, &insert("e", 6, "ben")).await.contains("Forbidden"));
    other.execute("rollback").await;
    engine.ready().await.expect("ready");
}
