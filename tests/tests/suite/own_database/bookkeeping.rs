//! The engine's own parts, when somebody took them away, or the right to them.

use super::{ann, as_writer, device, pull, push, things};
use crate::fixture::{both, engine, push_of, store};
use nizhal::prelude::*;
use nizhal_core::wire::Wire;
use nizhal_tests::{Database, Kind};
use serde_json::json;
use std::sync::Arc;

both![
    inv31_without_a_control_row_a_push_ends_and_says_what_to_run,
    inv09_inv10_a_table_of_tombstones_that_is_made_anew_begins_an_epoch,
];

async fn inv31_without_a_control_row_a_push_ends_and_says_what_to_run(kind: Kind) {
    let database = Database::new(kind).await;
    let mut db = database.connect().await;
    let operator = store(&database, &Arc::new(things()), 2).await;
    let engine = engine(&database, things()).await;
    db.execute("delete from _nizhal_control").await;
    let sql = "insert into things (id, owner, count) values ('a', 'ann', 1)";
    for client in ["one", "two", "one"] {
        let push = push_of(&[
            json!({"name": "run", "args": {"sql": sql}, "clientMutationId": Uuid::now_v7(), "clientID": client,
            "mutationID": 1}),
        ]);
        let told = format!("{:?}", engine.push(&ann(), Wire::Two, push).await);
        assert!(
            told.contains("answers: []") && told.contains("no control row") && told.contains("run `migrate`"),
            "{told}"
        );
    }
    let told = push(&engine, sql).await;
    assert!(told.contains("answers: []"), "{told}");
    for told in [
        engine.ready().await.expect_err("not ready").to_string(),
        operator.missing().await.expect_err("named").to_string(),
    ] {
        assert!(told.contains("no control row") && told.contains("run `migrate`"), "{told}");
    }
    operator.provision().await.expect("provisioned");
    assert_eq!(operator.missing().await.expect("whole"), Vec::<String>::new());
    assert!(push(&engine, sql).await.contains("Applied"));
}

async fn inv09_inv10_a_table_of_tombstones_that_is_made_anew_begins_an_epoch(kind: Kind) {
    let database = Database::new(kind).await;
    let mut db = database.connect().await;
    let operator = store(&database, &Arc::new(things()), 2).await;
    let engine = engine(&database, things()).await;
    for (at, lost) in
        ["_nizhal_tombstones", "_nizhal_clients", "_nizhal_mutations", "_nizhal_bucket_sets"].into_iter().enumerate()
    {
        db.execute(&format!("insert into things (id, owner, count) values ('a{at}', 'ann', 1), ('b{at}', 'ann', 1)"))
            .await;
        let mut device = device();
        pull(&engine, &mut device).await;
        let before = db.text("select epoch from _nizhal_control").await;
        db.execute(&format!("delete from things where id = 'a{at}'")).await;
        db.execute(&format!("drop table {lost}")).await;
        operator.provision().await.expect("provisioned");
        assert_ne!(db.text("select epoch from _nizhal_control").await, before, "{lost}");
        pull(&engine, &mut device).await;
        assert!(!device.ids("things").contains(&format!("a{at}").as_str()), "{lost}");
        assert!(device.ids("things").contains(&format!("b{at}").as_str()), "{lost}");
        let now = db.text("select epoch from _nizhal_control").await;
        operator.provision().await.expect("provisioned");
        assert_eq!(db.text("select epoch from _nizhal_control").await, now, "once");
    }
}

#[tokio::test]
async fn inv01_roles_write_where_functions_are_nobodys_by_default() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    let hardened = "alter default privileges revoke execute on functions from public";
    db.execute(hardened).await;
    let operator = store(&database, &Arc::new(things()), 2).await;
    let engine = engine(&database, things()).await;
    let mut writer = as_writer(&database, &mut db, "things").await;
    writer.execute("insert into things (id, owner, count) values ('a', 'ann', 1), ('b', 'ann', 1)").await;
    // One that was provisioned before, and hardened since.
    db.execute("revoke execute on function _nizhal_version() from public").await;
    assert!(writer.try_execute("delete from things where id = 'a'; update things set count = 2").await.is_err());
    operator.provision().await.expect("provisioned");
    assert_eq!(operator.plan().await.expect("a plan"), Vec::<String>::new());
    writer.execute("delete from things where id = 'a'; update things set count = 2").await;
    let mut device = device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["b"]);
    writer.execute("truncate things").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), Vec::<String>::new());
}
