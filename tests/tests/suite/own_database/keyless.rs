//! Rows without a key, which SQLite allows where a table does not forbid it.

use super::{device, pull, told};
use crate::fixture::engine;
use nizhal_tests::{Database, Kind};

const TABLE: &str = "create table things (id text primary key, owner text not null, count integer not null, due timestamptz_text, \
    code text unique)";

#[tokio::test]
async fn inv40_rows_without_a_key_are_named_at_the_start() {
    let made = format!("{TABLE}; insert into things (owner, count) values ('ann', 1), ('ann', 2)");
    let told = told(Kind::Sqlite, &made).await;
    assert!(
        told.contains("2 of its rows have no key") && told.contains("delete from \"things\" where \"id\" is null"),
        "{told}"
    );
}

#[tokio::test]
async fn inv40_a_row_without_a_key_is_refused_at_the_write() {
    let database = Database::new(Kind::Sqlite).await;
    let mut db = database.connect().await;
    db.execute(TABLE).await;
    let engine = engine(&database, super::things()).await;
    db.execute("insert into things (id, owner, count) values ('a', 'ann', 1)").await;
    for sql in [
        "insert into things (owner, count) values ('ann', 1)",
        "insert or replace into things (owner, count) values ('ann', 1)",
        "update things set id = null where id = 'a'",
    ] {
        let error = db.try_execute(sql).await.expect_err(sql).to_string();
        assert!(error.contains("a row of things has no key"), "{sql}: {error}");
    }
    let mut device = device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a"]);
}
