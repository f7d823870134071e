//! What the book's page "Your own database" says of two-phase commit, of `session_replication_role`, and of triggers that are off.

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
    other.execute("commit prepared 'p'").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a", "b"]);
}

#[tokio::test]
async fn inv10_what_was_written_without_triggers_comes_with_a_new_epoch() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    let operator = store(&database, &Arc::new(things()), 2).await;
    let engine = engine(&database, things()).await;
    db.execute("insert into things (id, owner, count) values ('a', 'ann', 1), ('b', 'ann', 1)").await;
    let mut device = device();
    pull(&engine, &mut device).await;
    db.execute("set session_replication_role = replica; update things set count = 2").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.row("things", "b").map(|row| row["count"].clone()), Some(2.into()), "our triggers always fire");
    db.execute("update things set count = 1; alter table things disable trigger user").await;
    pull(&engine, &mut device).await;
    db.execute("insert into things (id, owner, count) values ('c', 'ann', 1)").await;
    db.execute("delete from things where id = 'a'; update things set count = 7 where id = 'b'").await;
    pull(&engine, &mut device).await;
    assert_eq!(
        device.row("things", "a").map(|row| row["count"].clone()),
        Some(1.into()),
        "no trigger told of the delete"
    );
    assert_eq!(device.row("things", "b").map(|row| row["count"].clone()), Some(1.into()), "nor of the update");
    operator.new_epoch().await.expect("a new epoch");
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["b", "c"]);
    assert_eq!(device.row("things", "b").map(|row| row["count"].clone()), Some(7.into()));
}
