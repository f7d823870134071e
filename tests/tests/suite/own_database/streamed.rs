//! A pull in lines: what nobody can read in a full lane is told at its end.

use super::{ValueOf, ann, value_rules};
use crate::fixture::engine;
use nizhal::prelude::*;
use nizhal_core::wire::PullRequest;
use nizhal_runtime::Lines;
use nizhal_runtime::engine::Line;
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Database, Kind};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// How many rows there are.
const ROWS: u32 = 3_000;

async fn inv40_a_streamed_pull_tells_of_unreadable_values(kind: Kind, unreadable: &str) {
    let database = Database::new(kind).await;
    let schema = Schema::new(tables![ValueOf], value_rules().into_inner(), Vec::new()).expect("a sound schema");
    let engine = engine(&database, schema).await;
    let mut db = database.connect().await;
    // More than what is read with the cursor: the rest is a stream of its own.
    db.execute(&format!(
        "with recursive n(at) as (select 0 union all select at + 1 from n where at < {}) \
         insert into values_of (id, owner, due, number, day) select 'v' || at, 'ann', \
         case when at % 700 = 3 then {unreadable} else '2026-01-02T03:04:05+00:00' end{}, 1, null from n",
        ROWS - 1,
        if kind == Kind::Postgres { "::timestamptz" } else { "" }
    ))
    .await;
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
    let (bad, good): (BTreeSet<u32>, BTreeSet<u32>) = (0..ROWS).partition(|at| at % 700 == 3);
    assert_eq!((ids.len(), bad.len()), (good.len(), 5));
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), good.iter().map(|at| format!("v{at}")).collect());
    let told = trailer["unreadable"].as_array().cloned().unwrap_or_default();
    let wanted: Vec<Value> =
        bad.iter().map(|at| json!({"table": "values_of", "id": format!("v{at}"), "column": "due"})).collect();
    assert!(told.len() == wanted.len() && wanted.iter().all(|one| told.contains(one)), "{trailer}");
}

#[tokio::test]
async fn on_postgres() {
    inv40_a_streamed_pull_tells_of_unreadable_values(Kind::Postgres, "'infinity'").await;
}

#[tokio::test]
async fn on_sqlite() {
    inv40_a_streamed_pull_tells_of_unreadable_values(Kind::Sqlite, "'soon'").await;
}
