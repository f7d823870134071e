//! Cursors good, bad and foreign.

use crate::fixture::{BINARY, add, customers, two_shops};
use crate::oracle::assert_converged;
use nizhal_tests::{App, Device, Reply, both};
use serde_json::{Value, json};

both![
    inv10_unreadable_cursors_reset,
    inv10_another_servers_cursor_resets,
    inv05_the_same_cursor_twice_gives_the_same,
    the_first_cursor_has_many_spellings,
    inv19_a_cursor_says_nothing_and_is_one_actors,
];

async fn inv10_unreadable_cursors_reset(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 4).await;
    let mut good = app.device("d", "ana", "s1");
    good.pull().await;
    let cut = &good.cursor[..good.cursor.len() - 3];
    for cursor in [
        json!("garbage"),
        json!("%%%"),
        json!("AAAA"),
        json!("éß字"),
        json!("' or 1=1 --"),
        json!(cut),
        json!(format!("{}x", good.cursor)),
        json!("x".repeat(9000)),
        json!(17),
        json!("17"),
        json!("-1"),
        json!(true),
        json!({}),
        json!([1]),
    ] {
        let body = json!({"cursor": cursor, "deviceId": "d"}).to_string();
        let reply = app.post("/sync/pull", &good.token, body).await.expect(200);
        assert_eq!(reply.json()["cursorReset"], true, "{cursor}");
        assert_eq!(reply.headers["cache-control"], "no-store");
        let mut device = app.device("d", "ana", "s1");
        device.rows.insert(("customers".to_owned(), "stale".to_owned()), json!({"id": "stale"}));
        device.apply(&reply.json());
        device.pull().await;
        assert_converged(&app, &device, "ana").await;
    }
}

async fn inv19_a_cursor_says_nothing_and_is_one_actors(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 4).await;
    let mut ana = app.device("d", "ana", "s1");
    ana.pull().await;
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &ana.cursor);
    let bytes = bytes.expect("a cursor is base64");
    let text = String::from_utf8_lossy(&bytes);
    let epoch = db.text("select epoch from _nizhal_control").await;
    for told in [epoch.as_str(), "customers", "{\"v\""] {
        assert!(!text.contains(told), "{told} is in {text}");
    }
    // In another's hands it is what any text is.
    let mut cem = app.device("d", "cem", "s2");
    cem.cursor.clone_from(&ana.cursor);
    let page = cem.page(None).await;
    assert_eq!((page.reset, &page.body["removedBuckets"]), (true, &json!([])), "{}", page.body);
    assert!(!page.body.to_string().contains("\"s1\""), "{}", page.body);
    assert_converged(&app, &cem, "cem").await;
    assert!(!ana.page(None).await.reset);
}

async fn inv10_another_servers_cursor_resets(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 4).await;
    let other = App::start(app.database.kind(), BINARY).await;
    let mut elsewhere = two_shops(&other).await;
    customers(&mut elsewhere, "s1", "other", 9).await;
    let mut device = other.device("d", "ana", "s1");
    device.pull().await;
    let mut moved = app.device("d", "ana", "s1");
    (moved.cursor, moved.rows) = (device.cursor, device.rows);
    let pages = moved.pull_by(3).await;
    assert!(pages[0].reset && pages[1..].iter().all(|page| !page.reset));
    assert_converged(&app, &moved, "ana").await;
}

async fn inv05_the_same_cursor_twice_gives_the_same(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 9).await;
    let mut device = app.device("d", "ana", "s1");
    for _ in 0..4 {
        let (one, two) = (device.clone(), device.clone());
        assert_eq!(effect(one, 3).await, effect(two, 3).await);
        device.page(Some(3)).await;
    }
    add(&mut device, "new").await;
    db.execute("delete from customers where id = 'c1'").await;
    assert_eq!(effect(device.clone(), 100).await, effect(device, 100).await);
}

async fn effect(mut device: Device, limit: i64) -> (Vec<Value>, Vec<(String, String)>, i64) {
    let page = device.page(Some(limit)).await;
    (device.rows.into_values().collect(), page.tombstoned, device.acknowledged)
}

async fn the_first_cursor_has_many_spellings(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 4).await;
    let token = app.device("d", "ana", "s1").token;
    for body in [
        "",
        "{}",
        r#"{"cursor": ""}"#,
        r#"{"cursor": 0}"#,
        r#"{"cursor": "0"}"#,
        r#"{"cursor": null}"#,
        // Those of the TypeScript system.
        r#"{"cursor": "Mw"}"#,
        r#"{"cursor": "Mw=="}"#,
        r#"{"cursor": "MTIzNDU2Nzg5"}"#,
        r#"{"cursor": "", "limit": null, "deviceId": null, "syncRule": "myShops", "unknown": [1]}"#,
    ] {
        let reply = app.post("/sync/pull", &token, body).await.expect(200);
        let mut device = app.device("d", "ana", "s1");
        let page = device.apply(&reply.json());
        assert_eq!((page.changed.len(), page.reset), (4, false), "{body}");
    }
    // A client of ours never had one.
    let request = app.request(reqwest::Method::POST, "/sync/pull").bearer_auth(token).header("x-nizhal-wire", "2");
    let reply = Reply::of(request.header("content-type", "application/json").body(r#"{"cursor": "Mw"}"#)).await;
    assert_eq!(reply.expect(200).json()["cursorReset"], true);
}
