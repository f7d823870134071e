//! Invariants 28 and 31: who sends half a body, or a little at a time, or opens too many connections, holds nothing for long.

use crate::fixture::two_shops;
use nizhal_tests::{App, both, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

both![
    inv28_a_body_that_stops_ends_its_connection,
    inv28_a_body_that_trickles_ends_its_connection,
    inv28_a_peer_has_so_many_connections_and_no_more,
];

fn short(app: &mut App) {
    app.set_up = app.set_up.clone().env("NIZHAL_BODY_TIME", "300ms");
    app.restart();
}

async fn connect(app: &App) -> TcpStream {
    TcpStream::connect(app.address.host()).await.expect("the server takes connections")
}

/// All that the server says until it ends the connection.
async fn rest(connection: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A reset ends it as well.
    let _ = within("the end of a connection", connection.read_to_end(&mut said), String::new).await;
    String::from_utf8_lossy(&said).into_owned()
}

fn head(path: &str, token: &str, length: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{length}\r\n\r\n")
}

async fn inv28_a_body_that_stops_ends_its_connection(mut app: App) {
    two_shops(&app).await;
    short(&mut app);
    let token = app.device("d", "ana", "s1").token;
    for path in ["/sync/push", "/sync/pull"] {
        for (length, part) in [
            ("Content-Length: 1000", "{\"mutations\":"),
            ("Transfer-Encoding: chunked", "5\r\n{\"mut\r\n"),
            ("Content-Length: 9", ""),
        ] {
            let mut connection = connect(&app).await;
            connection.write_all((head(path, &token, length) + part).as_bytes()).await.expect("sent");
            let said = rest(&mut connection).await;
            assert!(said.starts_with("HTTP/1.1 408") && said.contains("body_too_slow"), "{path} {length}: {said}");
        }
    }
    // Where the body is not even read, its rest is not waited for.
    for (path, token) in [("/sync/push", "nonsense"), ("/nowhere", ""), ("/healthz", "")] {
        for length in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
            let mut connection = connect(&app).await;
            connection.write_all(head(path, token, length).as_bytes()).await.expect("sent");
            let said = rest(&mut connection).await;
            assert!(said.starts_with("HTTP/1.1 4"), "{path} {length}: {said}");
        }
    }
    // A body that is whole keeps its connection.
    let mut connection = connect(&app).await;
    for _ in 0..2 {
        let whole = head("/sync/pull", &token, "Transfer-Encoding: chunked") + "2\r\n{}\r\n0\r\n\r\n";
        connection.write_all(whole.as_bytes()).await.expect("sent");
        let mut status = [0; 12];
        connection.read_exact(&mut status).await.expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
        // The rest of the answer, which is small.
        let mut bytes = [0; 4096];
        assert!(connection.read(&mut bytes).await.expect("an answer") > 0);
    }
}

async fn inv28_a_body_that_trickles_ends_its_connection(mut app: App) {
    two_shops(&app).await;
    short(&mut app);
    let token = app.device("d", "ana", "s1").token;
    let connection = connect(&app).await;
    let (mut read, mut write) = connection.into_split();
    write.write_all(head("/sync/push", &token, "Content-Length: 100000").as_bytes()).await.expect("sent");
    let trickle = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            pace.tick().await;
            if write.write_all(b" ").await.is_err() {
                return;
            }
        }
    };
    let mut said = String::new();
    let answer = async { read.read_to_string(&mut said).await };
    let either = async {
        tokio::select! {
            () = trickle => {}
            _ = answer => {}
        }
    };
    within("the end of a connection", either, String::new).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
}

async fn inv28_a_peer_has_so_many_connections_and_no_more(mut app: App) {
    app.set_up = app.set_up.clone().env("NIZHAL_MAX_CONNECTIONS_PER_PEER", "3");
    app.restart();
    let ask = async |connection: &mut TcpStream| {
        let sent = connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut bytes = [0; 12];
        sent.is_ok() && connection.read_exact(&mut bytes).await.is_ok() && bytes == *b"HTTP/1.1 200"
    };
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut connection = connect(&app).await;
        assert!(ask(&mut connection).await, "the first three are served");
        held.push(connection);
    }
    for _ in 0..5 {
        assert!(!ask(&mut connect(&app).await).await, "one too many is closed");
    }
    held.pop();
    until("a place that is free again", async || ask(&mut connect(&app).await).await).await;
}
