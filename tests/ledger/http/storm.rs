//! Thousands of devices whose sockets are cut at once and who all come back: all are let in, none is told an error.

use crate::fixture::shop;
use crate::servers::{realtime, restarted};
use nizhal_tests::{App, DEADLINE, RawSocket, on, token};
use std::sync::Arc;
use tokio::sync::Barrier;

on![postgres, Postgres: inv31_a_herd_that_comes_at_once_is_let_in];
on![sqlite, Sqlite: inv31_a_herd_that_comes_at_once_is_let_in];

/// The benchmark lets 5,000 and 10,000 come; a debug build on a busy machine is slow at tokens.
const HERD: usize = if cfg!(debug_assertions) { 1_500 } else { 5_000 };

async fn inv31_a_herd_that_comes_at_once_is_let_in(mut app: App) {
    restarted(&mut app, &[]);
    let mut db = app.sql().await;
    shop(&mut db, "s1", &["ben"]).await;
    let members: Vec<String> = (0..HERD).map(|n| format!("('s1', 'u{n}', 'staff')")).collect();
    db.execute(&format!("insert into shop_members (shop_id, user_id, role) values {}", members.join(", "))).await;
    let tokens: Vec<String> = (0..HERD).map(|n| token::signed(&token::claims(&format!("u{n}"), Some("s1")))).collect();
    let mut herd = come(&app, &tokens).await;
    // Cut, as a network does it: nobody says goodbye.
    drop(herd);
    herd = come(&app, &tokens).await;
    // And by a server that dies, and knows nobody when it is back.
    app.restart();
    drop(herd);
    let mut herd = come(&app, &tokens).await;
    assert!(
        realtime(&app).await["scopeReads"].as_u64().is_some_and(|reads| reads >= HERD as u64),
        "each was asked about"
    );
    crate::fixture::add(&mut app.device("w", "ben", "s1"), "c1").await;
    for socket in &mut herd {
        let ping = tokio::time::timeout(DEADLINE, socket.text("repull:")).await.expect("each hears of it");
        assert_eq!(ping.expect("the socket is open"), "repull:s1");
    }
}

/// All at the same moment; each until it has its first presence state.
async fn come(app: &App, tokens: &[String]) -> Vec<RawSocket> {
    let address = app.address.host();
    let start = Arc::new(Barrier::new(tokens.len()));
    let mut coming = Vec::new();
    for token in tokens {
        let (address, token, start) = (address.clone(), token.clone(), start.clone());
        coming.push(tokio::spawn(async move {
            start.wait().await;
            RawSocket::come(&address, &token).await
        }));
    }
    let mut herd = Vec::new();
    for socket in coming {
        let came = tokio::time::timeout(DEADLINE, socket).await.expect("it is let in in time");
        herd.push(came.expect("it is let in"));
    }
    herd
}
