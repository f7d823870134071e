//! Presence and sockets that read nothing: what waits for them is counted, and what may be shown is bounded.

use super::frame::{FIN, TEXT, head};
use super::{SLACK_BYTES, peak_bytes};
use crate::fixture::{join, two_shops};
use crate::servers::restarted;
use nizhal_tests::{App, Frame, RawSocket, both, until};
use serde_json::json;

both![inv28_silent_sockets_and_presence_take_a_bounded_memory, inv28_members_who_all_show_much_do_not_fill_the_server,];

/// A frame of presence with a payload of 60 kB.
fn track() -> Vec<u8> {
    let text = format!("presence:track:{}", json!({"bucket": "s1", "payload": {"long": "x".repeat(60_000)}}));
    [head(FIN | TEXT, text.len() as u64), text.into_bytes()].concat()
}

async fn inv28_silent_sockets_and_presence_take_a_bounded_memory(app: App) {
    two_shops(&app).await;
    let token = app.device("a", "ana", "s1").token;
    let before = peak_bytes(&app);
    let mut silent = Vec::new();
    for _ in 0..84 {
        if let Ok(Ok(mut socket)) = RawSocket::open(&app.address.host(), &token).await {
            // Closed already, perhaps: there is no more to be shown.
            let _ = socket.raw(&track()).await;
            silent.push(socket);
        }
    }
    let mut ben = app.stream("", Some(&app.device("b", "ben", "s1").token)).await.expect("ben may listen");
    ben.send(r#"presence:track:{"bucket":"s1","payload":{"here":true}}"#).await;
    until("ben is heard", async || ben.try_send("ping").await && ben.next().await == Frame::text("pong")).await;
    let grown = peak_bytes(&app) - before;
    assert!(grown < SLACK_BYTES, "{grown} bytes for {} silent sockets", silent.len());
}

async fn inv28_members_who_all_show_much_do_not_fill_the_server(mut app: App) {
    restarted(&mut app, &[("NIZHAL_SOCKET_FRAMES_PER_SECOND", "1000")]);
    let mut db = two_shops(&app).await;
    let before = peak_bytes(&app);
    let mut silent = Vec::new();
    for member in 0..60 {
        let user = format!("member{member}");
        join(&mut db, "s1", &user).await;
        let token = app.device("d", &user, "s1").token;
        for _ in 0..2 {
            if let Ok(Ok(mut socket)) = RawSocket::open(&app.address.host(), &token).await {
                let _ = socket.raw(&track()).await;
                silent.push(socket);
            }
        }
    }
    let mut ben = app.stream("", Some(&app.device("b", "ben", "s1").token)).await.expect("ben may listen");
    until("ben is heard", async || ben.try_send("ping").await && ben.next().await == Frame::text("pong")).await;
    let grown = peak_bytes(&app) - before;
    assert!(grown < 3 * SLACK_BYTES, "{grown} bytes for {} silent sockets", silent.len());
}
