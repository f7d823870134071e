//! Frames: garbage closes the socket it came on, and no other.

use super::try_all;
use crate::fixture::{customers, two_shops};
use nizhal_tests::{App, Frame, on, token};
use proptest::prelude::*;
use std::io::{Read, Write};

on!(sqlite, Sqlite: inv32_no_frame_breaks_the_stream, inv32_no_bytes_break_the_stream);

#[derive(Clone, Debug)]
enum Sent {
    Text(String),
    Binary(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let kind = prop_oneof![Just("track"), Just("untrack"), Just("heartbeat"), Just("state"), Just("")];
    let json = prop_oneof![
        Just(r#"{"bucket":"s1"}"#.to_owned()),
        Just(r#"{"bucket":"s1","payload":{"presence_ref":"mine","a":[1]}}"#.to_owned()),
        Just(r#"{"bucket":"s2","payload":{}}"#.to_owned()),
        Just(r#"{"bucket":"s1","bucket":"s2"}"#.to_owned()),
        Just(format!(r#"{{"bucket":"s1","payload":{{"a":"{}"}}}}"#, "x".repeat(70_000))),
        Just(format!(r#"{{"bucket":"s1","payload":{{"a":{}}}}}"#, "[".repeat(20_000))),
        r#"\{"bucket":"\PC{0,9}"\}"#,
        r#"[\[\]{}",:a0-9]{0,30}"#,
    ];
    prop_oneof![
        3 => (kind, json).prop_map(|(kind, json)| Sent::Text(format!("presence:{kind}:{json}"))),
        1 => Just(Sent::Text("ping".to_owned())),
        1 => "\\PC{0,40}".prop_map(Sent::Text),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Sent::Binary),
        1 => (60_000..150_000_usize).prop_map(|length| Sent::Binary(vec![b'p'; length])),
    ]
}

async fn inv32_no_frame_breaks_the_stream(app: App) {
    let mut db = two_shops(&app).await;
    let (ana, ben) = (app.device("a", "ana", "s1").token, app.device("b", "ben", "s1").token);
    let mut bystander = app.stream("", Some(&ben)).await.expect("ben may listen");
    bystander.ready().await;
    try_all(150, &prop::collection::vec(sent(), 1..5), async |frames| {
        let mut socket = app.stream("", Some(&ana)).await.expect("ana may listen");
        for frame in frames {
            let is_open = match frame {
                Sent::Text(text) => socket.try_send(&text).await,
                Sent::Binary(bytes) => socket.try_send_bytes(&bytes).await,
            };
            if !is_open {
                break;
            }
        }
        // The end of what it says to us: its close frame, or the answer to a last ping.
        let _ = socket.try_send("ping").await;
        loop {
            match socket.next().await {
                Frame::Text(text) if text == "pong" => {
                    let _ = socket.try_close().await;
                }
                Frame::Text(text) => return Err(TestCaseError::fail(format!("nobody asked for {text}"))),
                // Without a code: our own close, or a server that reset what was still under way.
                Frame::Closed(code) => {
                    prop_assert!(matches!(code, None | Some(1000 | 1003 | 1009)), "{:?}", code);
                    return Ok(());
                }
            }
        }
    });
    customers(&mut db, "s1", "after-", 1).await;
    assert_eq!(bystander.next().await, Frame::text("repull:s1"));
    app.get("/healthz", "").await.expect(200);
}

/// What is no WebSocket frame at all, after a good upgrade.
async fn inv32_no_bytes_break_the_stream(app: App) {
    let mut db = two_shops(&app).await;
    let (ana, ben) = (app.device("a", "ana", "s1").token, token::signed(&token::claims("ben", Some("s1"))));
    let mut bystander = app.stream("", Some(&ben)).await.expect("ben may listen");
    bystander.ready().await;
    let address = app.address.host();
    try_all(80, &prop::collection::vec(any::<u8>(), 0..300), async |bytes| {
        let mut stream = std::net::TcpStream::connect(&address).expect("it listens");
        let upgrade = format!(
            "GET /sync/stream HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {ana}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).expect("sent");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("an answer");
        prop_assert_eq!(&head, b"HTTP/1.1 101");
        // The server may close before it has read all.
        let _ = stream.write_all(&bytes);
        Ok(())
    });
    customers(&mut db, "s1", "after-", 1).await;
    assert_eq!(bystander.next().await, Frame::text("repull:s1"));
    app.get("/healthz", "").await.expect(200);
}
