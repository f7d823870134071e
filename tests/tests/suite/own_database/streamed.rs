//! A pull in lines: what nobody can read in a full lane is told at its end.

use super::{ValueOf, ann, value_rules};
use crate::fixture::engine;
use nizhal::Lines;
use nizhal::engine::Line;
use nizhal::prelude::*;
use nizhal::schema::Schema;
use nizhal::wire::PullRequest;
use nizhal_tests::{Database, Kind};
use serde_json::{Value, json};
use std::time::Duration;

async fn inv40_a_streamed_pull_tells_of_unreadable_values(kind: Kind, unreadable: &str) {
    let database = Database::new(kind).await;
    let schema = Schema::new(tables![ValueOf], value_rules().into_inner(), Vec::new()).expect("a sound schema");
    let engine = engine(&database, schema).await;
    let mut db = database.connect().await;
    for at in 0..20 {
        let due = if at % 7 == 3 { unreadable } else { "'2026-01-02T03:04:05+00:00'" };
        let sql = "insert into values_of (id, owner, due, number, day) values";
        db.execute(&format!("{sql} ('v{at:02}', 'ann', {due}, 1, null)")).await;
    }
    let (to, mut from) = tokio::sync::mpsc::channel(1_000);
    let request: PullRequest = serde_json::from_value(json!({"cursor": ""})).expect("a pull");
    engine.pull_lines(&ann(), &request, &Lines::new(to, Duration::from_secs(60))).await;
    let (mut ids, mut trailer) = (Vec::new(), Value::Null);
    while let Some(line) = from.recv().await {
        match line.expect("no error") {
            Line::Rows(line) => {
                let line: Value = serde_json::from_slice(&line).expect("JSON");
                for row in line["rows"].as_array().expect("rows") {
                    ids.push(row["id"].as_str().expect("an id").to_owned());
                }
            }
            Line::Last { line, .. } => trailer = serde_json::from_slice(&line).expect("JSON"),
        }
    }
    ids.sort();
    let (bad, good): (Vec<u32>, Vec<u32>) = (0..20).partition(|at| at % 7 == 3);
    assert_eq!(ids, good.iter().map(|at| format!("v{at:02}")).collect::<Vec<_>>());
    let mut told = trailer["unreadable"].as_array().cloned().unwrap_or_default();
    told.sort_by_key(|told| told["id"].to_string());
    let wanted: Vec<Value> =
        bad.iter().map(|at| json!({"table": "values_of", "id": format!("v{at:02}"), "column": "due"})).collect();
    assert_eq!(told, wanted, "{trailer}");
}

#[tokio::test]
async fn on_postgres() {
    inv40_a_streamed_pull_tells_of_unreadable_values(Kind::Postgres, "'infinity'").await;
}

#[tokio::test]
async fn on_sqlite() {
    inv40_a_streamed_pull_tells_of_unreadable_values(Kind::Sqlite, "'soon'").await;
}
