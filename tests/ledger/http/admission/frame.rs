//! What a socket has not yet taken for a frame is counted too, however it is cut up.

use super::{SLACK_BYTES, peak_bytes};
use crate::fixture::two_shops;
use crate::servers::restarted;
use nizhal_tests::{App, RawFrame, RawSocket, both, within};
use std::io;

both![
    inv28_a_frame_announced_as_endless_takes_no_memory,
    inv28_a_message_of_many_frames_counts_as_one,
    inv28_frames_without_bytes_end_the_socket,
    inv31_a_frame_that_drips_ends_the_socket,
    inv28_a_message_in_small_pieces_is_read,
];

pub(super) const TEXT: u8 = 1;
const CONTINUATION: u8 = 0;
pub(super) const FIN: u8 = 0x80;

/// A frame's head: masked with zeros, and announcing this many bytes.
pub(super) fn head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..126 => head.push(0x80 | u8::try_from(length).expect("it fits")),
        126..0x1_0000 => {
            head.push(0x80 | 126);
            head.extend(u16::try_from(length).expect("it fits").to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

async fn socket(app: &App) -> RawSocket {
    RawSocket::come(&app.address.host(), &app.device("a", "ana", "s1").token).await
}

/// The code that the server closes with, and that the connection ends then.
async fn closed(socket: &mut RawSocket) -> Option<u16> {
    let ending = async {
        let code = loop {
            match socket.next().await {
                Ok(RawFrame::Closed(code)) => break Some(code),
                Ok(_) => {}
                Err(_) => return None,
            }
        };
        while socket.next().await.is_ok() {}
        code
    };
    within("the end of a socket", ending, String::new).await
}

/// Sends until the server ends the connection or it was sent often enough.
async fn pour(socket: &mut RawSocket, bytes: &[u8], times: usize) -> io::Result<()> {
    for _ in 0..times {
        socket.raw(bytes).await?;
    }
    Ok(())
}

async fn inv28_a_frame_announced_as_endless_takes_no_memory(app: App) {
    two_shops(&app).await;
    let before = peak_bytes(&app);
    for first in [FIN | TEXT, TEXT, FIN | 2, FIN | 9] {
        for length in [1 << 40, 1 << 62, u64::from(u32::MAX), 65_537] {
            let mut socket = socket(&app).await;
            socket.raw(&head(first, length)).await.expect("sent");
            let megabyte = vec![b'x'; 1 << 20];
            // The server may end the connection before all of it is sent.
            let _ = pour(&mut socket, &megabyte, 48).await;
            assert!(matches!(closed(&mut socket).await, None | Some(1009)), "{first} {length}");
        }
    }
    let grown = peak_bytes(&app) - before;
    assert!(grown < SLACK_BYTES / 3, "{grown} bytes for frames that are too large");
}

async fn inv28_a_message_of_many_frames_counts_as_one(app: App) {
    two_shops(&app).await;
    let mut socket = socket(&app).await;
    let part = vec![b'x'; 30_000];
    let first = [head(TEXT, 30_000), part.clone()].concat();
    let more = [head(CONTINUATION, 30_000), part].concat();
    socket.raw(&first).await.expect("sent");
    let _ = pour(&mut socket, &more, 3).await;
    assert!(matches!(closed(&mut socket).await, None | Some(1009)));
}

async fn inv28_frames_without_bytes_end_the_socket(app: App) {
    two_shops(&app).await;
    let before = peak_bytes(&app);
    // Pieces of one message, and pings that nobody would count.
    for (first, more) in [(head(TEXT, 0), head(CONTINUATION, 0)), (Vec::new(), head(FIN | 9, 0))] {
        let mut socket = socket(&app).await;
        socket.raw(&first).await.expect("sent");
        let _ = pour(&mut socket, &more.repeat(50_000), 20).await;
        assert!(matches!(closed(&mut socket).await, None | Some(1008)));
    }
    let grown = peak_bytes(&app) - before;
    assert!(grown < SLACK_BYTES / 3, "{grown} bytes for frames without bytes");
}

async fn inv31_a_frame_that_drips_ends_the_socket(mut app: App) {
    restarted(&mut app, &[("NIZHAL_BODY_TIME", "300ms"), ("NIZHAL_SOCKET_IDLE", "3600s")]);
    two_shops(&app).await;
    let mut socket = socket(&app).await;
    socket.raw(&head(FIN | TEXT, 60_000)).await.expect("sent");
    let dripping = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(10));
        loop {
            pace.tick().await;
            if socket.raw(b"x").await.is_err() {
                return;
            }
        }
    };
    within("the end of a connection", dripping, String::new).await;
}

/// What clients do: a large message in pieces, a ping between them, and the next message behind it in the same packet.
async fn inv28_a_message_in_small_pieces_is_read(app: App) {
    two_shops(&app).await;
    let mut socket = socket(&app).await;
    let text = format!("presence:track:{{\"bucket\":\"s1\",\"payload\":{{\"long\":\"{}\"}}}}", "y".repeat(20_000));
    let mut bytes = Vec::new();
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(1_000).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let opcode = if at == 0 { TEXT } else { CONTINUATION };
        let fin = if at + 1 == pieces.len() { FIN } else { 0 };
        bytes.extend(head(fin | opcode, piece.len() as u64));
        bytes.extend_from_slice(piece);
        if at == 3 {
            bytes.extend([head(FIN | 9, 2), b"hi".to_vec()].concat());
        }
    }
    bytes.extend([head(FIN | TEXT, 4), b"ping".to_vec()].concat());
    for piece in bytes.chunks(777) {
        socket.raw(piece).await.expect("sent");
    }
    let heard = async {
        let (mut diff, mut pong) = (false, false);
        while !diff || !pong {
            let text = socket.text("p").await.expect("it is open");
            diff |= text.starts_with("presence:diff:") && text.contains(&"y".repeat(20_000));
            pong |= text == "pong";
        }
    };
    within("what was sent in pieces", heard, String::new).await;
}
