//! Invariant 40: texts that are none, which a file or a `json` column takes from anybody, are the trouble of their rows alone.

use super::{device, next, pull, push, things};
use crate::fixture::engine;
use nizhal::prelude::*;
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Database, Kind};
use serde_json::json;

#[nizhal::table(name = "papers")]
struct Paper {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    text: Json,
}

sync_rules! {
    paper_rules for super::Claims;
    rule mine(owner) { owner = actor.user_id; Paper where Paper.owner == owner; }
}

async fn inv40_documents_that_cannot_be_told(kind: Kind, before: &str, column: &str) {
    let database = Database::new(kind).await;
    let mut db = database.connect().await;
    db.execute(before).await;
    db.execute(&format!("create table papers (id text not null primary key, owner text not null, {column} not null)"))
        .await;
    let schema = Schema::new(tables![Paper], paper_rules().into_inner(), Vec::new()).expect("a sound schema");
    let engine = engine(&database, schema).await;
    let mut device = device();
    pull(&engine, &mut device).await;
    for (at, text) in [r#""\ud800""#, r#"{"a": ["\udc00 b"]}"#].into_iter().enumerate() {
        let insert =
            |id: &str, text: &str| format!("insert into papers (id, owner, text) values ('{id}{at}', 'ann', '{text}')");
        db.execute(&insert("bad", text)).await;
        db.execute(&insert("good", r#"{"b": 1, "a": "\u0000\ud83d\ude00"}"#)).await;
        let body = next(&engine, &mut device).await;
        assert_eq!(
            body["unreadable"],
            json!([{"table": "papers", "id": format!("bad{at}"), "column": "text"}]),
            "{text}"
        );
        let row = &device.rows[&("papers".to_owned(), format!("good{at}"))];
        assert_eq!(row["text"], json!({"a": "\u{0}😀", "b": 1}));
    }
    assert_eq!(device.ids("papers"), ["good0", "good1"]);
}

#[tokio::test]
async fn documents_on_postgres() {
    inv40_documents_that_cannot_be_told(Kind::Postgres, "select 1", "text json").await;
    inv40_documents_that_cannot_be_told(Kind::Postgres, "create domain paper as json", "text paper").await;
}

#[tokio::test]
async fn documents_on_sqlite() {
    inv40_documents_that_cannot_be_told(Kind::Sqlite, "select 1", "text json_text").await;
}

/// Text of another program's that is not UTF-8: in a cell, in a key, where it names a bucket, and in a tombstone.
#[tokio::test]
async fn inv40_text_that_is_not_utf8_is_its_rows_own_trouble() {
    let database = Database::new(Kind::Sqlite).await;
    let engine = engine(&database, things()).await;
    let mut db = database.connect().await;
    let mut device = device();
    pull(&engine, &mut device).await;
    let insert = |id: &str, owner: &str, code: &str| {
        format!("insert into things (id, owner, count, code) values ({id}, {owner}, 1, {code})")
    };
    let text = |hex: &str| format!("cast(x'{hex}' as text)");
    db.execute(&insert("'cell'", "'ann'", &text("61ff"))).await;
    db.execute(&insert("'a'", "'ann'", "null")).await;
    let body = next(&engine, &mut device).await;
    assert_eq!(body["unreadable"], json!([{"table": "things", "id": "cell", "column": "code"}]));
    for (at, hex) in ["6180", "c3", "f1ff", "ff62", "80"].into_iter().enumerate() {
        db.execute(&insert(&text(hex), "'ann'", "null")).await;
        db.execute(&insert(&format!("'b{at}'"), "'ann'", "null")).await;
        let body = next(&engine, &mut device).await;
        assert_eq!(body["unreadable"][0]["column"], "id", "{hex}: {body}");
        assert!(device.rows.contains_key(&("things".to_owned(), format!("b{at}"))), "{hex}");
    }
    db.execute("delete from things where id < 'a' or id > 'cf' or id = cast(x'6180' as text)").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a", "b0", "b1", "b2", "b3", "b4"]);
    // A bucket's name: nobody's, and it stops neither pushes nor pulls.
    db.execute(&insert("'nobody'", &text("ff63"), "null")).await;
    let applied = push(&engine, "insert into things (id, owner, count) values ('c', 'ann', 1)").await;
    assert!(applied.contains("Applied"), "{applied}");
    db.execute("delete from things where id = 'nobody'").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a", "b0", "b1", "b2", "b3", "b4", "c"]);
    let foreign =
        push(&engine, "insert into things (id, owner, count) values ('d', cast(x'616e6eff' as text), 1)").await;
    assert!(foreign.contains("Forbidden"), "{foreign}");
}
