//! Partitions that are newer than the last `migrate`: none is emptied, goes or comes with rows unseen.

use super::{device, events, pull};
use crate::fixture::{engine, store};
use nizhal_tests::{Database, Kind};
use std::sync::Arc;

/// A look of the server's: at its start, and whenever somebody asks whether it is ready.
async fn look(engine: &nizhal_runtime::engine::Engine) {
    engine.ready().await.expect("ready");
}

#[tokio::test]
async fn inv01_inv40_a_partition_newer_than_the_last_migrate_loses_no_row_unseen() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(
        "create table events (id text, year integer, owner text not null, primary key (id, year)) partition by list (year); \
         create table events_1 partition of events for values in (1)",
    )
    .await;
    let engine = engine(&database, events()).await;
    look(&engine).await;
    db.execute("insert into events values ('a', 1, 'ann')").await;
    let mut device = device();

    // Made, written and emptied between two looks.
    db.execute("create table events_2 partition of events for values in (2)").await;
    db.execute("insert into events values ('b', 2, 'ann')").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("events").len(), 2);
    db.execute("truncate events_2").await;
    look(&engine).await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("events").len(), 1, "emptied by `truncate`");

    // Made, written and detached between two looks.
    db.execute("create table events_3 partition of events for values in (3)").await;
    db.execute("insert into events_3 values ('c', 3, 'ann')").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("events").len(), 2);
    db.execute("alter table events detach partition events_3").await;
    look(&engine).await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("events").len(), 1, "detached");

    // Attached with rows that no trigger saw.
    db.execute(
        "create table other (like events including all); insert into other (id, year, owner) values ('d', 4, 'ann')",
    )
    .await;
    db.execute("alter table events attach partition other for values in (4)").await;
    look(&engine).await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("events").len(), 2, "attached");

    // One look is enough, and a device that starts again for nothing would be asked to at each.
    let again = db.text("select collected::text from _nizhal_control").await;
    look(&engine).await;
    assert_eq!(db.text("select collected::text from _nizhal_control").await, again);
}

#[tokio::test]
async fn inv10_a_database_with_partitions_can_be_begun_anew_and_dropped() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(
        "create table events (id text, year integer, owner text not null, primary key (id, year)) partition by list (year); \
         create table events_1 partition of events for values in (1); \
         create table events_2 partition of events for values in (2) partition by list (id); \
         create table events_2_rest partition of events_2 default",
    )
    .await;
    let engine = engine(&database, events()).await;
    db.execute("insert into events values ('a', 1, 'ann'), ('b', 2, 'ann')").await;
    let mut device = device();
    pull(&engine, &mut device).await;
    let operator = store(&database, &Arc::new(events()), 2).await;
    operator.reset().await.expect("begun anew");
    db.execute("delete from events_1").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("events").len(), 1);
    operator.drop_tables().await.expect("dropped");
    assert_eq!(db.count("pg_class where relname like '%events%' or relname like '%nizhal%'").await, 0);
}

#[tokio::test]
async fn inv40_a_server_starts_whatever_partitions_were_made_since_the_last_migrate() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(
        "create table events (id text, year integer, owner text not null, primary key (id, year)) partition by list (year); \
         create table events_1 partition of events for values in (1); insert into events values ('a', 1, 'ann')",
    )
    .await;
    let engine = engine(&database, events()).await;
    let starting = store(&database, &Arc::new(events()), 2).await;
    for change in [
        "create table events_2 partition of events for values in (2)",
        "truncate events_2",
        "alter table events detach partition events_1",
        "alter table events attach partition events_1 for values in (1)",
        "alter table events detach partition events_2; drop table events_2",
    ] {
        db.execute(change).await;
        assert_eq!(starting.missing().await.expect("a plan"), Vec::<String>::new(), "{change}");
        // What `/readyz` asks, and the start.
        starting.record_incarnation().await.expect("a start");
        engine.ready().await.expect("ready");
    }
    let mut device = device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("events").len(), 1);
    starting.provision().await.expect("migrated");
    assert_eq!(starting.plan().await.expect("a plan"), Vec::<String>::new());
}

#[tokio::test]
async fn inv40_what_a_crash_empties_is_named_at_the_start() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(
        "create table events (id text, year integer, owner text not null, primary key (id, year)) partition by list (year); \
         create unlogged table events_1 partition of events for values in (1)",
    )
    .await;
    let operator = store(&database, &Arc::new(events()), 2).await;
    let told = operator.plan().await.expect_err("refused").to_string();
    assert!(
        told.contains("its partition events_1 is unlogged") && told.contains("alter table events_1 set logged"),
        "{told}"
    );
    db.execute("alter table events_1 set logged").await;
    operator.provision().await.expect("provisioned");
    for table in ["_nizhal_mutations", "_nizhal_clients", "_nizhal_tombstones", "_nizhal_control"] {
        db.execute(&format!("alter table {table} set unlogged")).await;
        let told = operator.provision().await.expect_err("refused").to_string();
        assert!(told.contains(&format!("alter table {table} set logged")), "{told}");
        db.execute(&format!("alter table {table} set logged")).await;
    }
    // Older ones have no unlogged sequences.
    if db.text("select (current_setting('server_version_num')::int >= 150000)::text").await == "true" {
        db.execute("alter sequence _nizhal_clock set unlogged").await;
        let told = operator.plan().await.expect_err("refused").to_string();
        assert!(told.contains("alter sequence _nizhal_clock set logged"), "{told}");
        db.execute("alter sequence _nizhal_clock set logged").await;
    }
    assert_eq!(operator.plan().await.expect("a plan"), Vec::<String>::new());
}
