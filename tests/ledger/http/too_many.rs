//! An actor in more buckets than one may hold.

use crate::fixture::{add, join, leave, loose, shop, two_shops};
use nizhal_tests::{App, Frame, both, token};
use serde_json::json;

both![inv28_an_actor_holds_so_many_buckets_and_no_more];

async fn inv28_an_actor_holds_so_many_buckets_and_no_more(mut app: App) {
    app.set_up = app.set_up.clone().env("NIZHAL_MAX_BUCKETS", "2");
    app.restart();
    let mut db = two_shops(&app).await;
    join(&mut db, "s2", "ana").await;
    let mut phone = app.device("phone", "ana", "s1");
    let mut other = app.device("other", "ben", "s1");
    add(&mut phone, "c1").await;
    phone.pull().await;
    assert_eq!(phone.ids("customers"), ["c1"]);
    let mut socket = app.stream("", Some(&phone.token)).await.expect("ana may listen");
    socket.ready().await;

    shop(&mut db, "s3", &["ana"]).await;
    let reply = app.post("/sync/pull", &phone.token, "{}").await.refused(403, "too_many_buckets");
    assert!(reply.text.contains("NIZHAL_MAX_BUCKETS"), "it says what to do: {}", reply.text);
    let lines = app.request(reqwest::Method::POST, "/sync/pull").bearer_auth(&phone.token).body("{}");
    let lines = lines.header("x-nizhal-wire", "2").header("accept", "application/x-ndjson");
    nizhal_tests::Reply::of(lines).await.refused(403, "too_many_buckets");
    app.get("/sync/realtime/authorize?bucket=s1", &phone.token).await.refused(403, "too_many_buckets");
    assert_eq!(app.stream("", Some(&phone.token)).await.err(), Some(403));
    let end = loop {
        if let Frame::Closed(code) = socket.next().await {
            break code;
        }
    };
    assert_eq!(end, Some(1008));
    // What it may write does not depend on it; nor does anybody else's scope.
    add(&mut phone, "c2").await;
    let foreign = token::signed(&token::claims("ana", Some("s9")));
    let args = json!({"clientId": "c3", "name": "x"});
    app.push(&foreign, &[loose("addCustomer", "m1", &args)]).await.refused(403, "forbidden");
    other.pull().await;
    assert_eq!(other.ids("customers"), ["c1", "c2"]);

    leave(&mut db, "s3", "ana").await;
    phone.pull().await;
    assert_eq!(phone.ids("customers"), ["c1", "c2"]);
}
