//! Invariant 13: where the file is not the one any more that its name leads to, nothing is acknowledged.

use super::{ann, pull, push, things};
use crate::fixture::engine;
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_tests::{Database, TempDir};
use serde_json::json;
use std::path::{Path, PathBuf};

const OWN: &str = "insert into things (id, owner, count) values";

fn beside(path: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", path.display()))
}

async fn put(engine: &nizhal_runtime::engine::Engine, id: &str) -> String {
    push(engine, &format!("{OWN} ('{id}', 'ann', 1)")).await
}

async fn is_refused(engine: &nizhal_runtime::engine::Engine, id: &str, what: &str) {
    let refused = put(engine, id).await;
    assert!(refused.contains("Displaced") && !refused.contains("Applied"), "{what}: {refused}");
    let ready = engine.ready().await.expect_err("not ready").to_string();
    assert!(ready.contains("put it back"), "{what}: {ready}");
    let request: PullRequest = serde_json::from_value(json!({"cursor": ""})).expect("a pull");
    assert!(engine.pull(&ann(), Wire::Two, request).await.is_err(), "{what}: a pull");
}

#[tokio::test]
async fn inv13_a_file_that_was_removed_or_replaced_takes_no_write() {
    let dir = TempDir::new("displaced");
    let path = dir.path().join("shop.db");
    let database = Database::file(&path);
    let engine = engine(&database, things()).await;
    assert!(put(&engine, "a").await.contains("Applied"));
    engine.ready().await.expect("ready");
    database.connect().await.execute(&format!("vacuum into '{}'", beside(&path, ".copy").display())).await;

    std::fs::rename(&path, beside(&path, ".aside")).expect("moved");
    is_refused(&engine, "b", "removed").await;
    assert!(!path.exists(), "no empty file takes its place");
    std::fs::rename(beside(&path, ".copy"), &path).expect("replaced");
    is_refused(&engine, "c", "replaced").await;
    // Put back, it is as it was.
    std::fs::rename(beside(&path, ".aside"), &path).expect("put back");
    engine.ready().await.expect("ready again");
    assert!(put(&engine, "d").await.contains("Applied"));
    let mut device = super::device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a", "d"]);
    assert_eq!(database.connect().await.count("things").await, 2);
}

#[tokio::test]
async fn inv13_a_log_that_was_removed_takes_no_write() {
    let dir = TempDir::new("log");
    let path = dir.path().join("shop.db");
    let database = Database::file(&path);
    let engine = engine(&database, things()).await;
    assert!(put(&engine, "a").await.contains("Applied"));
    for end in ["-wal", "-shm"] {
        std::fs::remove_file(beside(&path, end)).expect("removed");
    }
    is_refused(&engine, "b", "without a log").await;
    is_refused(&engine, "c", "still without it").await;
}
