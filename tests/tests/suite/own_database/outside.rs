//! What the book's page "Your own database" says of two-phase commit and of `session_replication_role`.

use super::{device, pull, things};
use crate::fixture::{engine, store};
use nizhal_tests::{Cluster, Database, Durability, Kind};
use std::sync::Arc;

#[tokio::test]
async fn inv01_a_prepared_transaction_holds_back_what_came_after_it() {
    let cluster = Cluster::start_with(Durability::Fast, "-c max_prepared_transactions=2");
    let database = Database::within(&cluster, "postgres");
    let (mut db, mut other) = (database.connect().await, database.connect().await);
    let engine = engine(&database, things()).await;
    let insert = |id: &str| format!("insert into things (id, owner, count) values ('{id}', 'ann', 1)");
    // Triggers notify other sessions, which Postgres does not let a prepared transaction do …
    let refused = db.try_execute(&format!("begin; {}; prepare transaction 'p'", insert("a"))).await;
    let refused = refused.expect_err("refused").to_string();
    assert!(
        refused.contains("cannot PREPARE a transaction that has executed LISTEN, UNLISTEN, or NOTIFY"),
        "{refused}"
    );
    db.execute("rollback").await;
    // … unless it says that it is none of theirs to tell.
    db.execute(&format!("begin; set local nizhal.local = 'on'; {}; prepare transaction 'p'", insert("a"))).await;
    other.execute(&insert("b")).await;
    let mut device = device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), Vec::<String>::new(), "what came later waits");
    let lag = store(&database, &Arc::new(things()), 2).await.horizon().await.expect("a horizon").lag();
    assert!(lag > 0, "{lag}");
    let holder = store(&database, &Arc::new(things()), 2).await.holder().await.expect("an answer").expect("a holder");
    assert_eq!((holder.pid, holder.prepared.as_deref()), (None, Some("p")), "{holder:?}");
    assert!(holder.age_seconds.is_some(), "{holder:?}");
    other.execute("commit prepared 'p'").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a", "b"]);
}

#[tokio::test]
async fn inv01_triggers_fire_whatever_a_session_says() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    let engine = engine(&database, things()).await;
    db.execute("insert into things (id, owner, count) values ('a', 'ann', 1), ('b', 'ann', 1)").await;
    let mut device = device();
    pull(&engine, &mut device).await;
    db.execute("set session_replication_role = replica; update things set count = 2").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.row("things", "b").map(|row| row["count"].clone()), Some(2.into()), "our triggers always fire");
}

#[tokio::test]
async fn inv01_a_transaction_is_prepared_by_the_same_words_in_every_schema() {
    let cluster = Cluster::start_with(Durability::Fast, "-c max_prepared_transactions=2");
    let database = Database::within(&cluster, "postgres");
    database.connect().await.execute("create schema shop; alter database postgres set search_path = shop").await;
    let engine = engine(&database, things()).await;
    let mut db = database.connect().await;
    let insert = "insert into things (id, owner, count) values ('a', 'ann', 1)";
    db.execute(&format!("begin; set local nizhal.local = 'on'; {insert}; prepare transaction 'p'")).await;
    db.execute("commit prepared 'p'").await;
    let mut device = device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a"]);
}
