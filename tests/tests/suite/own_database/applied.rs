//! Rows that logical replication applies: its workers fire row triggers alone.

use super::{device, pull, push, things};
use crate::fixture::engine;
use nizhal_tests::{Cluster, Database, Durability, until};

#[tokio::test]
async fn inv01_inv07_what_a_subscription_applies_reaches_devices() {
    let cluster = Cluster::start_with(Durability::Fast, "-c wal_level=logical");
    let here = Database::within(&cluster, "postgres");
    let mut db = here.connect().await;
    db.execute("create database source").await;
    let mut source = Database::within(&cluster, "source").connect().await;
    source
        .execute(
            "create table things (id text primary key, owner text not null, count integer not null, due timestamptz, code text unique)",
        )
        .await;
    source.execute("insert into things values ('a', 'ann', 1), ('b', 'ann', 1), ('e', 'ben', 1)").await;
    source.execute("create publication everything for table things").await;
    source.execute("select pg_create_logical_replication_slot('theirs', 'pgoutput')").await;
    let engine = engine(&here, things()).await;
    db.execute(&format!(
        "create subscription theirs connection '{}' publication everything with (create_slot = false, slot_name = 'theirs')",
        cluster.url("source")
    ))
    .await;
    let mut device = device();
    until("the first rows are copied", async || {
        pull(&engine, &mut device).await;
        device.ids("things") == ["a", "b"]
    })
    .await;
    source.execute("insert into things values ('c', 'ann', 1); update things set count = 2 where id = 'e'").await;
    source
        .execute("update things set owner = 'ben' where id = 'b'; update things set owner = 'ann' where id = 'e'")
        .await;
    source.execute("delete from things where id = 'a'").await;
    until("the last write is applied", async || db.count("things where id = 'a'").await == 0).await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["c", "e"]);
    // Beside them a mutation writes as ever.
    let told = push(&engine, "insert into things (id, owner, count) values ('f', 'ann', 1)").await;
    assert!(told.contains("Applied"), "{told}");
    source.execute("truncate things").await;
    until("the table is emptied", async || db.count("things").await == 0).await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), Vec::<String>::new());
    db.execute(
        "alter subscription theirs disable; alter subscription theirs set (slot_name = none); drop subscription theirs",
    )
    .await;
}
