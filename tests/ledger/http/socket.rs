//! What one socket may do and how it ends: tokens, limits, slow readers, a stopping server.

use crate::fixture::{add, two_shops};
use crate::servers::restarted;
use nizhal_tests::{App, Frame, Socket, both, on, token, until};
use serde_json::json;
use std::io::{Read, Write};
use std::time::Instant;
use tokio::net::TcpSocket;

both![
    a_token_is_taken_among_the_subprotocols,
    a_silent_socket_closes_when_its_credential_expires,
    inv19_another_users_token_on_reconnect_opens_that_users_buckets_alone,
    inv02_presence_of_a_bucket_not_subscribed_is_not_heard,
    presence_without_a_heartbeat_ends,
    inv28_an_actor_has_so_many_sockets,
    inv28_too_many_frames_close_the_socket,
    inv33_a_stopping_server_tells_each_socket_when_to_come_back,
];
on![sqlite_alone, Sqlite: inv28_a_slow_reader_is_cut_off, inv32_presence_beyond_its_room_closes];

async fn a_token_is_taken_among_the_subprotocols(app: App) {
    two_shops(&app).await;
    let token = app.device("d", "ana", "s1").token;
    let url = app.address.at("/sync/stream");
    let mut socket = Socket::open_as(&url, "", &format!("nizhal, bearer.{token}")).await.expect("the token is good");
    assert_eq!(socket.protocol.as_deref(), Some("nizhal"), "never the token");
    socket.ready().await;
    assert_eq!(Socket::open_as(&url, "", "nizhal").await.err(), Some(401));
    assert_eq!(Socket::open_as(&url, "", &format!("nizhal, bearer.{token}x")).await.err(), Some(401));
}

async fn a_silent_socket_closes_when_its_credential_expires(app: App) {
    two_shops(&app).await;
    let mut claims = token::claims("ana", Some("s1"));
    claims["exp"] = json!(token::expiry(2));
    let mut socket = app.stream("", Some(&token::signed(&claims))).await.expect("still good");
    // Nobody writes, nobody asks.
    assert_eq!(socket.next().await, Frame::Closed(Some(1008)));
    assert_eq!(app.stream("", Some(&token::signed(&claims))).await.err(), Some(401));
}

async fn inv19_another_users_token_on_reconnect_opens_that_users_buckets_alone(app: App) {
    two_shops(&app).await;
    let (ana, cem) = (app.device("a", "ana", "s1").token, app.device("c", "cem", "s2").token);
    let mut first = app.stream("bucket=s1", Some(&ana)).await.expect("ana may listen");
    first.ready().await;
    assert_eq!(app.stream("bucket=s1", Some(&cem)).await.err(), Some(403));
    // The header counts, whatever else came along.
    assert_eq!(app.stream(&format!("bucket=s1&token={ana}"), Some(&cem)).await.err(), Some(403));
    let mut second = app.stream("", Some(&cem)).await.expect("cem may listen");
    assert_eq!(second.presence().await.1["bucket"], "s2");
    second.ready().await;
    add(&mut app.device("w", "ben", "s1"), "c1").await;
    assert_eq!(first.next().await, Frame::text("repull:s1"));
    second.send(r#"presence:track:{"bucket":"s1"}"#).await;
    second.ready().await;
    first.send("ping").await;
    assert_eq!(first.any().await, Frame::text("pong"), "nobody appeared");
}

async fn inv02_presence_of_a_bucket_not_subscribed_is_not_heard(app: App) {
    let mut db = two_shops(&app).await;
    crate::fixture::shop(&mut db, "s3", &["ana", "ben"]).await;
    let (ana, ben) = (app.device("a", "ana", "s1").token, app.device("b", "ben", "s1").token);
    let mut one = app.stream("bucket=s1", Some(&ana)).await.expect("ana may listen");
    let mut both = app.stream("", Some(&ben)).await.expect("ben may listen");
    assert_eq!(one.presence().await.1["bucket"], "s1");
    for bucket in ["s1", "s3"] {
        assert_eq!(both.presence().await.1, json!({"bucket": bucket, "state": {}}));
    }
    both.send(r#"presence:track:{"bucket":"s3","payload":{"secret":1}}"#).await;
    assert_eq!(both.presence().await.1["joins"]["ben"][0]["secret"], 1);
    // She holds s3 and did not ask for it here: she neither hears of it nor appears in it; s2 is not hers at all.
    for bucket in ["s2", "s3", "nowhere"] {
        one.send(&format!("presence:track:{}", json!({ "bucket": bucket }))).await;
    }
    one.send("ping").await;
    assert_eq!(one.any().await, Frame::text("pong"));
    one.send(r#"presence:track:{"bucket":"s1"}"#).await;
    for socket in [&mut one, &mut both] {
        assert_eq!(socket.presence().await.1["bucket"], "s1");
    }
    both.send("ping").await;
    assert_eq!(both.any().await, Frame::text("pong"));
}

async fn presence_without_a_heartbeat_ends(mut app: App) {
    restarted(&mut app, &[("NIZHAL_PRESENCE_SILENCE", "300ms")]);
    two_shops(&app).await;
    let mut socket = app.stream("", Some(&app.device("a", "ana", "s1").token)).await.expect("ana may listen");
    socket.presence().await;
    socket.send(r#"presence:track:{"bucket":"s1"}"#).await;
    let (_, came) = socket.presence().await;
    let (_, went) = socket.presence().await;
    assert_eq!(went, json!({"bucket": "s1", "joins": {}, "leaves": came["joins"]}));
}

async fn inv28_an_actor_has_so_many_sockets(mut app: App) {
    restarted(&mut app, &[("NIZHAL_MAX_SOCKETS_PER_ACTOR", "2")]);
    two_shops(&app).await;
    let (ana, ben) = (app.device("a", "ana", "s1").token, app.device("b", "ben", "s1").token);
    let mut open = vec![app.stream("", Some(&ana)).await.expect("one"), app.stream("", Some(&ana)).await.expect("two")];
    assert_eq!(app.stream("", Some(&ana)).await.err(), Some(429));
    app.stream("", Some(&ben)).await.expect("another actor has its own").ready().await;
    open.clear();
    until("closed sockets make room", async || app.stream("", Some(&ana)).await.is_ok()).await;
}

async fn inv28_too_many_frames_close_the_socket(mut app: App) {
    restarted(&mut app, &[("NIZHAL_SOCKET_FRAMES_PER_SECOND", "1")]);
    two_shops(&app).await;
    let mut socket = app.stream("", Some(&app.device("a", "ana", "s1").token)).await.expect("ana may listen");
    // A burst of two seconds' worth passes.
    let begun = Instant::now();
    socket.ready().await;
    let mut answered = 1;
    until("too many", async || {
        let _ = socket.try_send("ping").await;
        let frame = socket.next().await;
        answered += u64::from(frame == Frame::text("pong"));
        frame == Frame::Closed(Some(1008))
    })
    .await;
    // However long it took: no more than the setting allows for that.
    assert!(answered <= 2 + begun.elapsed().as_secs() + 1, "{answered} frames in {:?}", begun.elapsed());
}

async fn inv33_a_stopping_server_tells_each_socket_when_to_come_back(mut app: App) {
    two_shops(&app).await;
    let token = app.device("a", "ana", "s1").token;
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(app.stream("", Some(&token)).await.expect("ana may listen"));
    }
    for socket in &mut sockets {
        socket.ready().await;
    }
    app.server.terminate();
    let mut times = Vec::new();
    for socket in &mut sockets {
        assert_eq!(socket.next().await, Frame::Closed(Some(1012)));
        let said = socket.reason().expect("a reason").to_owned();
        let time = said.split("reconnect in ").nth(1).and_then(|rest| rest.strip_suffix(" ms")).map(str::parse::<u64>);
        times.push(time.unwrap_or_else(|| panic!("{said}")).expect("a number"));
    }
    assert!(app.server.ended().await.success());
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 1 && times.iter().all(|time| *time < 1_000), "{times:?}");
}

/// A reader that takes nothing: its window is full, the system's buffers are full, then the server lets go.
async fn inv28_a_slow_reader_is_cut_off(mut app: App) {
    restarted(&mut app, &[("NIZHAL_SOCKET_SEND_TIME", "200ms"), ("NIZHAL_SOCKET_FRAMES_PER_SECOND", "10000")]);
    two_shops(&app).await;
    let (ana, ben) = (app.device("a", "ana", "s1").token, app.device("b", "ben", "s1").token);
    let slow = TcpSocket::new_v4().expect("a socket");
    slow.set_recv_buffer_size(4096).expect("a small window");
    let address = app.address.host();
    let slow = slow.connect(address.parse().expect("an address")).await.expect("it listens");
    let mut slow = slow.into_std().expect("a socket");
    slow.set_nonblocking(false).expect("a socket");
    let upgrade = format!(
        "GET /sync/stream HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {ana}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    slow.write_all(upgrade.as_bytes()).expect("sent");
    let mut head = [0; 12];
    slow.read_exact(&mut head).expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 101");
    let mut quick = app.stream("", Some(&ben)).await.expect("ben may listen");
    quick.ready().await;
    let long = "x".repeat(60_000);
    let mut round = 0;
    until("the slow reader is closed", async || {
        round += 1;
        let frame = json!({"bucket": "s1", "payload": {"round": round, "long": long}});
        quick.send(&format!("presence:track:{frame}")).await;
        quick.ready().await;
        let stats = app.get("/nizhal/stats", token::ADMIN).await.expect(200).json();
        stats["socketsClosed"]["1013"] == 1 && stats["sockets"] == 1
    })
    .await;
    quick.ready().await;
}

async fn inv32_presence_beyond_its_room_closes(app: App) {
    two_shops(&app).await;
    let mut db = app.sql().await;
    for shop in 3..9 {
        crate::fixture::shop(&mut db, &format!("s{shop}"), &["ana"]).await;
    }
    let mut socket = app.stream("", Some(&app.device("a", "ana", "s1").token)).await.expect("ana may listen");
    socket.ready().await;
    let long = "x".repeat(60_000);
    for shop in [1, 3, 4, 5, 6] {
        let frame = json!({"bucket": format!("s{shop}"), "payload": {"long": long}});
        socket.send(&format!("presence:track:{frame}")).await;
    }
    assert_eq!(socket.next().await, Frame::Closed(Some(1009)));
}
