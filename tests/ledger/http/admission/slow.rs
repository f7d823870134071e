//! Who reads slowly, or not at all, holds its own share and no more; and sooner or later nothing.

use super::{SLACK_BYTES, peak_bytes};
use crate::fixture::{join, two_shops};
use crate::servers::restarted;
use nizhal_tests::{App, Connection, both, token, until};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

both![
    inv28_slowly_read_pulls_hold_no_more_than_a_share,
    inv31_slow_readers_of_streams_do_not_keep_others_out,
    inv31_one_actor_leaves_streams_to_others,
    inv31_requests_in_flight_have_a_share,
    inv33_a_stopping_server_waits_for_no_drips,
];

/// Customers of `s1`, each of 100 kB.
async fn large_customers(db: &mut Connection, count: usize) {
    let long = "x".repeat(100_000);
    let numbers = format!("with recursive n(i) as (select 1 union all select i + 1 from n where i < {count})");
    let sql = format!("{numbers} insert into customers (id, shop_id, name) select 'big' || i, 's1', '{long}' from n");
    assert_eq!(db.execute(&sql).await, count as u64);
}

/// A connection whose reader has a small window.
async fn connect(app: &App) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small window");
    socket.connect(app.address.host().parse().expect("an address")).await.expect("it listens")
}

/// Sends a pull of all there is, and reads only the answer's status.
async fn pull(app: &App, token: &str, lines: bool) -> (TcpStream, u16) {
    let mut connection = connect(app).await;
    let accept = if lines { "x-nizhal-wire: 2\r\nAccept: application/x-ndjson\r\n" } else { "" };
    let body = r#"{"limit":10000}"#;
    let request = format!(
        "POST /sync/pull HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{accept}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut head = [0; 12];
    connection.read_exact(&mut head).await.expect("an answer");
    let status = std::str::from_utf8(&head[9..]).ok().and_then(|status| status.parse().ok()).expect("a status");
    (connection, status)
}

async fn inv28_slowly_read_pulls_hold_no_more_than_a_share(mut app: App) {
    restarted(&mut app, &[("NIZHAL_MAX_BYTES_PER_ACTOR", "20000000")]);
    let mut db = two_shops(&app).await;
    large_customers(&mut db, 50).await;
    let (ana, ben) = (app.device("a", "ana", "s1").token, app.device("b", "ben", "s1").token);
    app.post("/sync/pull", &ana, r#"{"limit":10000}"#).await.expect(200);
    let before = peak_bytes(&app);
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..118 {
        let (connection, status) = pull(&app, &ana, false).await;
        match status {
            200 => held.push(connection),
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(held.len() >= 4 && refused > 0, "{} served, {refused} refused", held.len());
    let grown = peak_bytes(&app) - before;
    assert!(grown < 2 * SLACK_BYTES, "{grown} bytes for {} slow readers", held.len());
    let reply = app.post("/sync/pull", &ana, "{}").await.refused(429, "too_many_requests");
    assert!(reply.headers.contains_key("retry-after"));
    app.post("/sync/pull", &ben, r#"{"limit":10000}"#).await.expect(200);
    let stats = app.get("/nizhal/stats", token::ADMIN).await.expect(200).json();
    assert!(stats["inFlight"]["bytes"].as_u64().expect("a number") > 10_000_000, "{stats}");
    held.clear();
    until("those who are gone hold nothing", async || app.post("/sync/pull", &ana, "{}").await.status == 200).await;
}

async fn inv31_slow_readers_of_streams_do_not_keep_others_out(app: App) {
    let mut db = two_shops(&app).await;
    large_customers(&mut db, 300).await;
    let mut held = Vec::new();
    for reader in 0..6 {
        let user = format!("slow{reader}");
        join(&mut db, "s1", &user).await;
        let token = app.device("d", &user, "s1").token;
        let (connection, status) = pull(&app, &token, true).await;
        assert!(status == 200, "{reader}: {status}");
        held.push(connection);
    }
    let ben = app.device("b", "ben", "s1").wire_two();
    let request = ben.pull_request(None).header("accept", "application/x-ndjson");
    let reply = nizhal_tests::Reply::of(request).await.expect(200);
    assert!(reply.text.ends_with("}\n") && reply.text.len() > 30_000_000, "the stream is whole");
}

async fn inv31_one_actor_leaves_streams_to_others(app: App) {
    let mut db = two_shops(&app).await;
    large_customers(&mut db, 300).await;
    let ana = app.device("a", "ana", "s1").token;
    let mut statuses = Vec::new();
    let mut held = Vec::new();
    for _ in 0..6 {
        let (connection, status) = pull(&app, &ana, true).await;
        held.push(connection);
        statuses.push(status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429]);
    let ben = app.device("b", "ben", "s1").token;
    assert_eq!(pull(&app, &ben, true).await.1, 200);
}

async fn inv31_requests_in_flight_have_a_share(mut app: App) {
    restarted(&mut app, &[("NIZHAL_MAX_REQUESTS_PER_ACTOR", "3")]);
    two_shops(&app).await;
    let (ana, ben) = (app.device("a", "ana", "s1").token, app.device("b", "ben", "s1").token);
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut connection = connect(&app).await;
        let head = format!(
            "POST /sync/push HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ana}\r\nContent-Length: 100\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.expect("sent");
        held.push(connection);
    }
    // Asked of the server, for a request of ours would count among them until its answer is off.
    until("three are in flight", async || {
        app.get("/nizhal/stats", token::ADMIN).await.expect(200).json()["inFlight"]["requests"] == 3
    })
    .await;
    app.post("/sync/pull", &ana, "{}").await.refused(429, "too_many_requests");
    app.push(&ana, &[]).await.refused(429, "too_many_requests");
    app.post("/sync/pull", &ben, "{}").await.expect(200);
    held.clear();
    until("those who are gone hold nothing", async || app.post("/sync/pull", &ana, "{}").await.status == 200).await;
}

/// Bodies that come a byte at a time, and answers that nobody reads.
async fn inv33_a_stopping_server_waits_for_no_drips(mut app: App) {
    let mut db = two_shops(&app).await;
    large_customers(&mut db, 50).await;
    let ana = app.device("a", "ana", "s1").token;
    let (mut unread, status) = pull(&app, &ana, false).await;
    assert_eq!(status, 200);
    let mut dripping = connect(&app).await;
    let head = json!(null).to_string();
    let request = format!(
        "POST /sync/push HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ana}\r\nContent-Length: 100000\r\n\r\n{head}"
    );
    dripping.write_all(request.as_bytes()).await.expect("sent");
    until("both are in flight", async || app.get("/healthz", "").await.status == 200).await;
    app.server.terminate();
    let drip = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            pace.tick().await;
            let _ = dripping.write_all(b" ").await;
        }
    };
    tokio::select! {
        status = app.server.ended() => assert!(status.success(), "{status}"),
        () = drip => {}
    }
    let mut rest = Vec::new();
    let _ = unread.read_to_end(&mut rest).await;
    assert!(rest.len() < 5_000_000, "what nobody read was not waited for");
}
