//! The stream: who may listen, and what is heard.

use crate::fixture::{add, customers, join, leave, shop, two_shops};
use nizhal_tests::{App, Frame, both, token, until};
use serde_json::json;

both![
    a_token_is_taken_in_the_header_and_in_the_query,
    inv02_a_foreign_bucket_is_refused,
    a_push_pings_the_touched_buckets,
    inv07_a_changed_membership_pings_whom_it_concerns,
    a_write_from_outside_pings,
    only_the_named_buckets_are_heard,
    inv32_garbage_closes_the_socket,
    an_expired_credential_closes_the_socket,
    a_single_bucket_can_be_asked_for,
];

async fn a_token_is_taken_in_the_header_and_in_the_query(app: App) {
    two_shops(&app).await;
    let token = app.device("d", "ana", "s1").token;
    for query in [
        format!("token={token}"),
        format!("authorization=Bearer%20{token}"),
        format!("Authorization=Bearer+{token}"),
        format!("AUTHORIZATION=Bearer%20{token}&bucket=s1"),
    ] {
        app.stream(&query, None).await.expect("the query's token is good").ready().await;
    }
    app.stream("", Some(&token)).await.expect("the header's token is good").ready().await;
}

async fn inv02_a_foreign_bucket_is_refused(app: App) {
    two_shops(&app).await;
    let token = app.device("d", "ana", "s1").token;
    for query in ["bucket=s2", "bucket=s1&bucket=s2", "bucket=nowhere", "bucket=", "bucket=*", "bucket=myShops:s1"] {
        assert_eq!(app.stream(query, Some(&token)).await.err(), Some(403), "{query}");
    }
    app.stream("bucket=s1", Some(&token)).await.expect("ana's own").ready().await;
}

async fn a_push_pings_the_touched_buckets(app: App) {
    two_shops(&app).await;
    let (mut phone, mut tablet) = (app.device("phone", "ana", "s1"), app.device("tablet", "ben", "s1"));
    let mut socket = app.stream("", Some(&tablet.token)).await.expect("ben may listen");
    socket.ready().await;
    tablet.pull().await;
    let outbox = [
        ("addCustomer", json!({"clientId": "c1", "name": "Sunil"})),
        ("recordCredit", json!({"clientId": "e1", "customerId": "c1", "amount": 5})),
        ("deleteCustomer", json!({"customerId": "c1"})),
    ];
    for (name, args) in outbox {
        phone.mutate(name, &args).await.expect(200);
        assert_eq!(socket.next().await, Frame::text("repull:s1"), "{name}");
        // A ping comes after the commit: what it tells of is there.
        let page = tablet.page(None).await;
        assert_eq!(page.changed.len() + page.tombstoned.len(), 1, "{name}: {}", page.body);
    }
    // What changes nothing pings nobody: the next frame is the answer to our own ping.
    phone.mutate("deleteCustomer", &json!({"customerId": "nobody"})).await.refused(422, "rejected");
    socket.ready().await;
}

pub(crate) async fn inv07_a_changed_membership_pings_whom_it_concerns(app: App) {
    let mut db = two_shops(&app).await;
    let (ana, ben) = (app.device("phone", "ana", "s1"), app.device("tablet", "ben", "s1"));
    let mut socket = app.stream("", Some(&ana.token)).await.expect("ana may listen");
    let mut other = app.stream("", Some(&ben.token)).await.expect("ben may listen");
    socket.ready().await;
    other.ready().await;
    join(&mut db, "s2", "ana").await;
    assert_eq!(socket.next().await, Frame::text("repull:s2"), "a gained bucket");
    leave(&mut db, "s1", "ana").await;
    // The lost bucket's name is said no more; what she still has asks for the pull that tells her.
    assert_eq!(socket.next().await, Frame::text("repull:s2"), "a lost bucket");
    other.ready().await;
}

pub(crate) async fn a_write_from_outside_pings(app: App) {
    let mut db = two_shops(&app).await;
    let mut device = app.device("d", "ana", "s1");
    let mut socket = app.stream("", Some(&device.token)).await.expect("ana may listen");
    socket.ready().await;
    for round in 1..=3 {
        customers(&mut db, "s2", &format!("theirs{round}-"), 2).await;
        customers(&mut db, "s1", &format!("ours{round}-"), 2).await;
        assert_eq!(socket.next().await, Frame::text("repull:s1"));
        device.pull().await;
        assert_eq!(device.ids("customers").len(), 2 * round);
    }
}

async fn only_the_named_buckets_are_heard(app: App) {
    let mut db = two_shops(&app).await;
    shop(&mut db, "s3", &["ana"]).await;
    let (mut one, mut three) = (app.device("one", "ana", "s1"), app.device("three", "ana", "s3"));
    let mut socket = app.stream("bucket=s3", Some(&one.token)).await.expect("ana may listen");
    let mut all = app.stream("", Some(&one.token)).await.expect("ana may listen");
    socket.ready().await;
    all.ready().await;
    add(&mut one, "c1").await;
    assert_eq!(all.next().await, Frame::text("repull:s1"));
    add(&mut three, "c3").await;
    assert_eq!(all.next().await, Frame::text("repull:s3"));
    assert_eq!(socket.next().await, Frame::text("repull:s3"));
}

async fn inv32_garbage_closes_the_socket(app: App) {
    two_shops(&app).await;
    let token = app.device("d", "ana", "s1").token;
    for garbage in ["garbage", "", "repull:s1", "ping ", "presence:track:{", "presence:dance:{}"] {
        let mut socket = app.stream("", Some(&token)).await.expect("ana may listen");
        socket.ready().await;
        socket.send(garbage).await;
        assert_eq!(socket.next().await, Frame::Closed(Some(1003)), "{garbage}");
    }
    let mut socket = app.stream("", Some(&token)).await.expect("ana may listen");
    socket.send_bytes(b"ping").await;
    assert_eq!(socket.next().await, Frame::Closed(Some(1003)));
    let mut socket = app.stream("", Some(&token)).await.expect("ana may listen");
    socket.send(&"x".repeat(512 * 1024)).await;
    assert_eq!(socket.next().await, Frame::Closed(Some(1009)));
    app.get("/healthz", "").await.expect(200);
}

async fn an_expired_credential_closes_the_socket(app: App) {
    two_shops(&app).await;
    let mut claims = token::claims("ana", Some("s1"));
    claims["exp"] = json!(token::expiry(2));
    let mut socket = app.stream("", Some(&token::signed(&claims))).await.expect("still good");
    let mut writer = app.device("w", "ben", "s1");
    let mut number = 0;
    until("the socket closes", async || {
        number += 1;
        add(&mut writer, &format!("c{number}")).await;
        match socket.next().await {
            Frame::Text(text) => {
                assert_eq!(text, "repull:s1");
                false
            }
            closed => {
                assert_eq!(closed, Frame::Closed(Some(1008)));
                true
            }
        }
    })
    .await;
}

async fn a_single_bucket_can_be_asked_for(app: App) {
    two_shops(&app).await;
    let token = app.device("d", "ana", "s1").token;
    let reply = app.get("/sync/realtime/authorize?bucket=s1", &token).await.expect(204);
    assert!(reply.text.is_empty());
    for bucket in ["s2", "nowhere", "*", ""] {
        app.get(&format!("/sync/realtime/authorize?bucket={bucket}"), &token).await.refused(403, "forbidden");
    }
    app.get("/sync/realtime/authorize?bucket=s1", "").await.refused(401, "unauthorized");
}
