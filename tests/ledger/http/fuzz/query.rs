//! Query strings, as bytes on a socket of our own: no client would send most of them.

use super::try_all;
use crate::fixture::two_shops;
use nizhal_tests::{App, on};
use proptest::prelude::*;
use serde_json::Value;
use std::io::{Read, Write};

on!(sqlite, Sqlite: inv32_no_query_breaks_the_server);

fn query() -> impl Strategy<Value = Vec<u8>> {
    let name =
        prop_oneof![Just("bucket"), Just("token"), Just("authorization"), Just("wire"), Just("%62ucket"), Just("")];
    let value = prop_oneof![
        "[a-z0-9%:=+]{0,12}".prop_map(String::into_bytes),
        Just(b"s1".to_vec()),
        Just(b"myShops:s1".to_vec()),
        Just(b"%00".to_vec()),
        Just(b"%ff%fe".to_vec()),
        Just(b"Bearer%20x".to_vec()),
        Just(vec![b'x'; 4000]),
        prop::collection::vec(0x21..=0xff_u8, 0..20),
    ];
    let pair = (name, value).prop_map(|(name, value)| [name.as_bytes(), b"=", &value].concat());
    prop_oneof![
        4 => prop::collection::vec(pair, 0..5).prop_map(|pairs| pairs.join(&b'&')),
        1 => prop::collection::vec(0x21..=0xff_u8, 0..60),
    ]
}

async fn inv32_no_query_breaks_the_server(app: App) {
    two_shops(&app).await;
    let token = app.device("d", "ana", "s1").token;
    let address = app.address.host();
    let paths = prop_oneof![Just("/sync/realtime/authorize"), Just("/sync/stream")];
    try_all(300, &(paths, query(), any::<bool>()), async |(path, query, named)| {
        let mut request = format!("GET {path}?").into_bytes();
        request.extend_from_slice(&query);
        let who = if named { format!("Authorization: Bearer {token}\r\n") } else { String::new() };
        request.extend_from_slice(format!(" HTTP/1.1\r\nHost: {address}\r\n{who}Connection: close\r\n\r\n").as_bytes());
        let mut stream = std::net::TcpStream::connect(&address).expect("it listens");
        stream.write_all(&request).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        let status: u16 = answer.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        prop_assert!(status == 204 || (400..500).contains(&status), "{}", answer);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        // What is no HTTP at all is answered below us, without a body.
        if status != 204 && !body.is_empty() {
            let body: Value = serde_json::from_str(body).expect("errors are JSON");
            prop_assert!(body["code"].is_string() && body["error"].is_string(), "{}", body);
            prop_assert!(named || !query.starts_with(b"bucket") || status == 401 || status == 400, "{}", body);
        }
        Ok(())
    });
    app.get("/healthz", "").await.expect(200);
}
