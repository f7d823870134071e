//! What is collected, and what is not.

use super::{bytes, pay, with_folder};
use crate::fixture::add;
use nizhal_tests::{
    App, Connection, Reply,
    blob::{files, hash_of},
    both, on, until,
};
use serde_json::json;
use std::{
    fs::File,
    path::Path,
    time::{Duration, SystemTime},
};

both![
    inv35_a_blob_goes_when_no_row_named_it_for_the_grace,
    inv35_a_lost_object_is_replaced_by_the_next_upload,
    what_nobody_completed_or_knows_is_removed,
    the_stats_count_blobs,
];
on!(waiting, Postgres: inv35_collection_waits_for_a_writer);

/// Lets the grace of all blobs that are marked be over, and the server collect.
async fn a_month_later(app: &mut App, db: &mut Connection) {
    db.execute("update _nizhal_blobs set unreferenced_ms = unreferenced_ms - 2678400001").await;
    app.restart();
}

async fn inv35_a_blob_goes_when_no_row_named_it_for_the_grace(mut app: App) {
    let (mut db, folder) = with_folder(&mut app).await;
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    let mut blobs = Vec::new();
    for (index, size) in [1_000, 2_000, 3_000].into_iter().enumerate() {
        let blob = app.upload(&ana.token, &bytes(size), "image/png").await;
        if index < 2 {
            pay(&mut ana, &format!("p{index}"), "c1", &blob).await.expect(200);
        }
        blobs.push(blob);
    }
    // A deleted row still names its blob: a device may have the row.
    db.execute("update ledger_entries set deleted_at = updated_at where id = 'p1'").await;
    app.restart();
    let marked = async |db: &mut Connection| db.count("_nizhal_blobs where unreferenced_ms is not null").await;
    until("the mark of the one that no row names", async || marked(&mut db).await == 1).await;
    assert_eq!(db.count("_nizhal_blobs").await, 3, "its grace has begun");
    a_month_later(&mut app, &mut db).await;
    until("the blob is gone", async || files(&folder.path().join("blobs")).len() == 2).await;
    assert_eq!(db.count("_nizhal_blobs").await, 2);
    assert_eq!(db.count("_nizhal_blob_holders").await, 2);
    // Whoever names it later uploads it again.
    let late = ana.mutation("recordPayment", &super::payment("p9", "c1", &blobs[2]));
    ana.push(std::slice::from_ref(&late)).await.refused(409, "blob_missing");
    app.upload(&ana.token, &bytes(3_000), "image/png").await;
    ana.push(&[late]).await.expect(200);
    // Marked, and named again before the grace is over: kept.
    db.execute("update ledger_entries set photo = null where id = 'p1'").await;
    app.restart();
    until("the mark", async || marked(&mut db).await == 1).await;
    pay(&mut ana, "p2", "c1", &blobs[1]).await.expect(200);
    a_month_later(&mut app, &mut db).await;
    until("the mark is taken off", async || marked(&mut db).await == 0).await;
    assert_eq!(db.count("_nizhal_blobs").await, 3);
    assert_eq!(app.download(&ana.token, &hash_of(&bytes(2_000))).await, bytes(2_000));
}

async fn inv35_a_lost_object_is_replaced_by_the_next_upload(mut app: App) {
    let (_db, folder) = with_folder(&mut app).await;
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    let photo = bytes(4_000);
    let blob = app.upload(&ana.token, &photo, "image/png").await;
    pay(&mut ana, "p1", "c1", &blob).await.expect(200);
    for file in files(&folder.path().join("blobs")) {
        std::fs::remove_file(file).expect("it is there");
    }
    app.blob_url(&ana.token, &hash_of(&photo)).await.refused(404, "not_found");
    app.upload(&ana.token, &photo, "image/png").await;
    assert_eq!(app.download(&ana.token, &hash_of(&photo)).await, photo);
}

/// A row that names the blob is written and not committed while the blob's grace is over: collection leaves the blob alone.
async fn inv35_collection_waits_for_a_writer(mut app: App) {
    let (mut db, folder) = with_folder(&mut app).await;
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    let named = app.upload(&ana.token, &bytes(1_000), "image/png").await;
    app.upload(&ana.token, &bytes(2_000), "image/png").await;
    db.execute("update _nizhal_blobs set unreferenced_ms = 1").await;
    let mut writer = app.sql().await;
    writer.execute("begin").await;
    let row = "insert into ledger_entries (id, shop_id, customer_id, amount, at, created_by, photo) values";
    writer.execute(&format!("{row} ('w1', 's1', 'c1', 1, now(), 'import', '{named}')")).await;
    // Its own mark would be taken off by the first step of a collection, which does not see the row.
    app.restart();
    until("the other one is gone", async || files(&folder.path().join("blobs")).len() == 1).await;
    writer.execute("commit").await;
    assert_eq!(app.download(&ana.token, &hash_of(&bytes(1_000))).await, bytes(1_000));
}

/// Makes a file as old as this.
fn age(file: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60 + 60);
    File::options().append(true).open(file).expect("a file").set_modified(then).expect("the file is ours");
}

async fn what_nobody_completed_or_knows_is_removed(mut app: App) {
    let (mut db, folder) = with_folder(&mut app).await;
    let ana = app.device("a", "ana", "s1").token;
    let kept = app.upload(&ana, &bytes(1_000), "image/png").await;
    let object = files(&folder.path().join("blobs")).remove(0);
    let beside = |name: &str, days: u64| {
        let file = object.with_file_name(name);
        std::fs::write(&file, "stray").expect("the folder is ours");
        age(&file, days);
        file
    };
    // Written by a server that was killed before it wrote the row: lately, and long ago; and one that was killed while it wrote.
    let (young, old, unfinished) = (beside("young", 1), beside("old", 31), beside("half#1", 31));
    let elsewhere = folder.path().join("blobs/another-database");
    std::fs::create_dir(&elsewhere).expect("the folder is ours");
    let anothers = elsewhere.join("object");
    std::fs::write(&anothers, "another's").expect("the folder is ours");
    age(&anothers, 100);
    age(&object, 100);
    let (old_upload, young_upload) =
        (app.begin_upload(&ana, b"old", "image/png").await, app.begin_upload(&ana, b"new", "image/png").await);
    app.send_parts(&old_upload, b"old").await;
    app.send_parts(&young_upload, b"new").await;
    let key = old_upload["key"].as_str().expect("a key");
    age(&folder.path().join("uploads").join(key).join("1"), 1);
    db.execute(&format!("update _nizhal_blob_uploads set at_ms = at_ms - 86400001 where id = '{key}'")).await;
    app.restart();
    until("what is old is gone", async || !old.exists() && !unfinished.exists()).await;
    until("the old part is gone", async || files(&folder.path().join("uploads")).len() == 1).await;
    assert!(young.exists() && object.exists() && anothers.exists());
    assert_eq!(db.count("_nizhal_blobs").await, 1);
    for key in [&old_upload["key"]] {
        app.presign(&ana, &json!({"key": key})).await.refused(404, "not_found");
    }
    app.complete(&ana, &old_upload).await.refused(404, "not_found");
    app.complete(&ana, &young_upload).await.expect(200);
    assert_eq!(app.begin_upload(&ana, &bytes(1_000), "image/png").await["blob"], kept);
}

async fn the_stats_count_blobs(mut app: App) {
    let (mut db, _folder) = with_folder(&mut app).await;
    app.set_up = app.set_up.clone().env("NIZHAL_ADMIN_PASSWORD", "a-long-enough-password");
    app.restart();
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    let blob = app.upload(&ana.token, &bytes(1_000), "image/png").await;
    app.upload(&ana.token, &bytes(234), "image/png").await;
    app.begin_upload(&ana.token, b"x", "image/png").await;
    pay(&mut ana, "p1", "c1", &blob).await.expect(200);
    app.restart();
    until("the mark", async || db.count("_nizhal_blobs where unreferenced_ms is not null").await == 1).await;
    let admin = |path: &str| Reply::of(app.request(reqwest::Method::GET, path).bearer_auth("a-long-enough-password"));
    let stats = admin("/nizhal/stats").await.expect(200).json();
    let actor = token_key(&mut db).await;
    assert_eq!(
        stats["blobs"],
        json!({
            "stored": 2, "storedBytes": 1_234, "orphaned": 1, "orphanedBytes": 234, "uploads": 1,
            "bytesByActor": [{"actor": actor, "bytes": 1_234}],
        })
    );
    let metrics = admin("/metrics").await.expect(200).text;
    for line in [
        "nizhal_blobs{state=\"referenced\"} 1",
        "nizhal_blobs{state=\"orphaned\"} 1",
        "nizhal_blob_bytes{state=\"referenced\"} 1000",
        "nizhal_blob_bytes{state=\"orphaned\"} 234",
        "nizhal_blob_uploads 1",
    ] {
        assert!(metrics.lines().any(|known| known == line), "no `{line}`");
    }
}

/// The key of the one actor that uploaded.
async fn token_key(db: &mut Connection) -> String {
    db.text("select max(actor) from _nizhal_blob_holders").await
}
