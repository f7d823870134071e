//! Invariants 13 and 33: kill -9 at any instant loses nothing and doubles nothing; SIGTERM ends cleanly.

use crate::fixture::{add, two_shops, until_nobody_holds_the_horizon};
use crate::oracle::assert_converged;
use nizhal_tests::{App, Frame, Reply, both, until};
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;

both![
    inv13_killed_between_commit_and_answer,
    inv13_killed_again_and_again_under_an_outbox,
    inv13_an_acknowledged_write_outlives_a_kill,
    inv33_sigterm_closes_sockets_and_ends_well,
];

/// Sends a push as bare bytes, and does not read the answer.
fn send_unheard(app: &App, token: &str, body: &str) -> TcpStream {
    let host = app.address.host();
    let mut connection = TcpStream::connect(&host).expect("the server listens");
    write!(
        connection,
        "POST /sync/push HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the server reads");
    connection
}

async fn inv13_killed_between_commit_and_answer(mut app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    let mutation = phone.mutation("recordCredit", &json!({"clientId": "e1", "customerId": "c1", "amount": "9.90"}));
    let body = json!({"mutations": [mutation]}).to_string();
    let connection = send_unheard(&app, &phone.token, &body);
    until("the commit", async || db.count("ledger_entries").await == 1).await;
    app.server.kill();
    drop(connection);
    app.restart();
    let replayed = phone.push(&[mutation]).await.expect(200);
    assert_eq!(replayed.json(), json!({"applied": ["phone-2"], "lastMutationId": 2}));
    until_nobody_holds_the_horizon(&app).await;
    phone.pull().await;
    assert_eq!((phone.ids("ledger_entries"), phone.acknowledged), (vec!["e1"], 2));
    assert_eq!(db.count("ledger_entries").await, 1);
}

pub(crate) async fn inv13_killed_again_and_again_under_an_outbox(mut app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    let outbox: Vec<_> = (0..60)
        .map(|n| {
            phone.mutation("recordCredit", &json!({"clientId": format!("e{n:02}"), "customerId": "c1", "amount": 1}))
        })
        .collect();
    for round in 1..=5 {
        // The whole outbox each time, as a device does that heard no answer; killed when a part of it is in.
        let push = tokio::spawn(Reply::try_of(phone.push_request(&outbox)));
        until("a part of the outbox", async || db.count("ledger_entries").await >= round * 8).await;
        app.server.kill();
        let _ = push.await.expect("the push ends, one way or the other");
        app.restart();
        phone.pull_by(7).await;
        let entries = phone.ids("ledger_entries");
        let in_order: Vec<String> = (0..entries.len()).map(|n| format!("e{n:02}")).collect();
        assert_eq!(entries, in_order, "not a beginning of the outbox");
        assert_eq!(phone.acknowledged, 1 + i64::try_from(entries.len()).expect("small"));
    }
    let answer = phone.push(&outbox).await.expect(200).json();
    assert_eq!((answer["applied"].as_array().map(Vec::len), &answer["lastMutationId"]), (Some(60), &json!(61)));
    until_nobody_holds_the_horizon(&app).await;
    phone.pull().await;
    assert_converged(&app, &phone, "ana").await;
    assert_eq!(phone.ids("ledger_entries").len(), 60);
}

async fn inv13_an_acknowledged_write_outlives_a_kill(mut app: App) {
    two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    phone.pull().await;
    for number in 1..=4 {
        add(&mut phone, &format!("c{number}")).await;
        app.restart();
        phone.pull().await;
        assert_eq!(
            (phone.ids("customers").len(), phone.acknowledged),
            (usize::try_from(number).expect("small"), number)
        );
    }
    // Nor does a restart make a device begin again.
    let page = phone.page(None).await;
    assert!(!page.reset && page.changed.is_empty(), "{}", page.body);
}

async fn inv33_sigterm_closes_sockets_and_ends_well(mut app: App) {
    two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let mut socket = app.stream("", Some(&phone.token)).await.expect("ana may listen");
    socket.ready().await;
    add(&mut phone, "c1").await;
    assert_eq!(socket.next().await, Frame::text("repull:s1"));
    app.server.terminate();
    let closed = socket.next().await;
    assert!(matches!(closed, Frame::Closed(Some(1000 | 1001 | 1012))), "{closed:?}");
    let status = app.server.ended().await;
    assert!(status.success(), "{status}");
    app.restart();
    add(&mut phone, "c2").await;
}
