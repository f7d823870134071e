//! What is changed under a running server: no pull passes rows that it cannot see, and no value stays behind on devices.

use super::{ann, device, events, pull, push, things};
use crate::fixture::{engine, store};
use nizhal_core::NodeId;
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_runtime::engine::Engine;
use nizhal_runtime::hub::Hub;
use nizhal_tests::{Database, Device, Kind};
use serde_json::json;
use std::sync::Arc;

/// What a pull is refused with.
pub(super) async fn refusal(engine: &Engine, device: &Device) -> String {
    let request: PullRequest = serde_json::from_value(json!({"cursor": device.cursor})).expect("a pull");
    match engine.pull(&ann(), Wire::Two, request).await {
        Ok(page) => panic!("answered: {}", String::from_utf8_lossy(&page.body)),
        Err(error) => format!("{error:?}"),
    }
}

#[tokio::test]
async fn inv01_inv40_no_pull_passes_rows_that_it_cannot_see() {
    let heir = "create table more () inherits (things)";
    for (change, undo, wanted) in [
        (heir, "drop table more", "other tables inherit from it"),
        (
            "alter table things alter column count type bigint",
            "alter table things alter column count type integer",
            "column `count` is of type bigint",
        ),
    ] {
        let database = Database::new(Kind::Postgres).await;
        let mut db = database.connect().await;
        let engine = engine(&database, things()).await;
        let mut device = device();
        for id in ["a", "b"] {
            if id == "b" {
                db.execute(change).await;
            }
            db.execute(&format!("insert into things (id, owner, count) values ('{id}', 'ann', 1)")).await;
            if id == "a" {
                pull(&engine, &mut device).await;
                continue;
            }
            let told = refusal(&engine, &device).await;
            assert!(told.contains(wanted), "{change}: {told}");
            if change == heir {
                let told = push(&engine, "insert into things (id, owner, count) values ('c', 'ann', 1)").await;
                assert!(told.contains("fault: Some(Store(Schema") && told.contains(wanted), "{told}");
            }
            // Twice: what a reader does once more is not let through.
            refusal(&engine, &device).await;
        }
        db.execute(undo).await;
        pull(&engine, &mut device).await;
        assert_eq!(device.ids("things"), ["a", "b"], "{change}");
        // An heir that comes a second time leaves no other trace in the catalogue than itself.
        db.execute(heir).await;
        db.execute("insert into things (id, owner, count) values ('d', 'ann', 1)").await;
        refusal(&engine, &device).await;
    }
}

#[tokio::test]
async fn inv01_inv40_row_level_security_refuses_pulls_and_rejects_no_mutation() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    let schema = Arc::new(things());
    store(&database, &schema, 2).await.provision().await.expect("provisioned");
    let role = format!("server_{}", uuid());
    db.execute(&format!(
        "create role {role} login; grant select, insert, update, delete on all tables in schema public to {role}; \
         grant usage, select on all sequences in schema public to {role}"
    ))
    .await;
    let serving = Database::at(&database.url().replace("postgres@", &format!("{role}@")));
    let serving = store(&serving, &schema, 2).await;
    let engine =
        Engine::new(schema, serving, Hub::default(), Arc::new(crate::fixture::StoppedClock::default()), NodeId(1));
    let mut device = device();
    pull(&engine, &mut device).await;
    db.execute("alter table things enable row level security").await;
    db.execute("insert into things (id, owner, count) values ('a', 'ann', 1)").await;
    let told = refusal(&engine, &device).await;
    assert!(told.contains("row-level security applies to this user"), "{told}");
    let told = push(&engine, "insert into things (id, owner, count) values ('b', 'ann', 1)").await;
    assert!(told.contains("fault: Some(Store(Schema"), "{told}");
    db.execute("alter table things disable row level security").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a"]);
    // The role's own doing, which no table tells of.
    db.execute(&format!("alter role {role} bypassrls; alter table things enable row level security")).await;
    pull(&engine, &mut device).await;
    db.execute(&format!("alter role {role} nobypassrls")).await;
    db.execute("insert into things (id, owner, count) values ('c', 'ann', 1)").await;
    refusal(&engine, &device).await;
    db.execute("alter table things disable row level security").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a", "c"]);
    db.execute(&format!("drop owned by {role}")).await;
}

/// A name that no other test of the cluster has.
pub(super) fn uuid() -> String {
    nizhal::Uuid::now_v7().simple().to_string()
}

#[tokio::test]
async fn inv01_what_was_written_while_triggers_were_off_reaches_devices() {
    let lost = [
        "alter table things disable trigger user",
        "do $$ declare t text; begin for t in select tgname from pg_trigger where tgrelid = 'things'::regclass and not tgisinternal \
         loop execute format('drop trigger %I on things', t); end loop; end $$",
    ];
    for lose in lost {
        let database = Database::new(Kind::Postgres).await;
        let mut db = database.connect().await;
        let operator = store(&database, &Arc::new(things()), 2).await;
        let engine = engine(&database, things()).await;
        db.execute("insert into things (id, owner, count) values ('a', 'ann', 1), ('b', 'ann', 1)").await;
        let mut device = device();
        pull(&engine, &mut device).await;
        db.execute(lose).await;
        db.execute("insert into things (id, owner, count) values ('c', 'ann', 1)").await;
        db.execute("delete from things where id = 'a'; update things set count = 7 where id = 'b'").await;
        // One that has nothing to read passes nothing.
        let told = refusal(&engine, &self::device()).await;
        assert!(told.contains("triggers of synced tables are missing or switched off"), "{lose}: {told}");
        operator.provision().await.expect("migrated");
        pull(&engine, &mut device).await;
        assert_eq!(device.ids("things"), ["b", "c"], "{lose}");
        assert_eq!(device.row("things", "b").map(|row| row["count"].clone()), Some(7.into()), "{lose}");
        // Once is enough.
        let collected = db.text("select collected::text from _nizhal_control").await;
        operator.provision().await.expect("migrated");
        assert_eq!(db.text("select collected::text from _nizhal_control").await, collected, "{lose}");
    }
}

#[tokio::test]
async fn inv01_values_that_a_change_of_the_table_rewrote_reach_devices() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    let engine = engine(&database, things()).await;
    db.execute("insert into things (id, owner, count) values ('a', 'ann', 1), ('b', 'ann', 2)").await;
    let mut device = device();
    pull(&engine, &mut device).await;
    let collected = "select collected::text from _nizhal_control";
    let before = db.text(collected).await;
    // These change no value, and cost no device anything.
    for harmless in [
        "vacuum full things",
        "alter table things alter column count set default 5",
        "alter table things add column theirs integer default random() * 10",
        "create index on things (count)",
    ] {
        db.execute(harmless).await;
        pull(&engine, &mut device).await;
        engine.ready().await.expect("ready");
        assert_eq!(db.text(collected).await, before, "{harmless}");
    }
    db.execute("alter table things alter column count type integer using count * 10").await;
    // A pull reads when there is something to read.
    db.execute("insert into things (id, owner, count) values ('x', 'zoe', 3)").await;
    pull(&engine, &mut device).await;
    let count = |device: &Device, id: &str| device.row("things", id).map(|row| row["count"].clone());
    assert_eq!(count(&device, "b"), Some(20.into()), "a pull notices it");
    db.execute("alter table things alter column owner type text using case when id = 'a' then 'ben' else owner end")
        .await;
    engine.ready().await.expect("ready");
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["b"], "also that a row left the bucket");
    db.execute("alter table things drop column count; alter table things add column count integer not null default 3")
        .await;
    engine.ready().await.expect("ready");
    pull(&engine, &mut device).await;
    assert_eq!(count(&device, "b"), Some(3.into()), "a column in the place of another");
    // `migrate` does as well, where no server runs.
    db.execute("alter table things alter column count type integer using count + 1").await;
    store(&database, &Arc::new(things()), 2).await.provision().await.expect("migrated");
    let told = db.text(collected).await;
    pull(&engine, &mut device).await;
    assert_eq!((count(&device, "b"), db.text(collected).await), (Some(4.into()), told));
}

#[tokio::test]
async fn inv01_values_that_a_change_rewrote_in_partitions_reach_devices() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(
        "create table events (id text, year integer, owner text not null, primary key (id, year)) partition by list (year); \
         create table events_1 partition of events for values in (1)",
    )
    .await;
    let engine = engine(&database, events()).await;
    db.execute("insert into events values ('a', 1, 'ann'), ('b', 1, 'ann')").await;
    let mut device = device();
    pull(&engine, &mut device).await;
    db.execute("alter table events alter column owner type text using case when id = 'a' then 'ben' else owner end")
        .await;
    engine.ready().await.expect("ready");
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("events").len(), 1);
}

#[tokio::test]
async fn inv18_a_mutation_may_truncate() {
    let database = Database::new(Kind::Postgres).await;
    let engine = engine(&database, things()).await;
    for sql in ["insert into things (id, owner, count) values ('a', 'ann', 1)", "truncate things"] {
        let told = push(&engine, sql).await;
        assert!(told.contains("Applied"), "{sql}: {told}");
    }
}
