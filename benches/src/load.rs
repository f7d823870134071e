//! The load on Nizhal: devices over HTTP.

use crate::app::Running;
use reqwest::Client;
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

async fn post(client: &Client, server: &Running, path: &str, body: &Value) -> Value {
    let request = client.post(format!("{}{path}", server.url)).bearer_auth(&server.token).json(body);
    let response = request.send().await.expect("an answer");
    assert!(response.status().is_success(), "{path}: {}", response.status());
    response.json().await.expect("JSON")
}

/// Pushes for a while on so many connections, each a device with its own sequence; mutations per second.
pub(crate) async fn pushes(server: &Running, connections: usize, period: Duration, round: usize) -> f64 {
    let done = AtomicU64::new(0);
    let start = Instant::now();
    let device = async |which: usize| {
        let client = nizhal_tests::http();
        let mut number = 0;
        while start.elapsed() < period {
            number += 1;
            let id = format!("{round}-{which}-{number}");
            let mutation = json!({"name": "addEntry", "args": {"clientId": id, "amount": "1.50"},
                "clientMutationId": id, "clientID": format!("d{round}-{which}"), "mutationID": number});
            post(&client, server, "/sync/push", &json!({"mutations": [mutation]})).await;
            done.fetch_add(1, Relaxed);
        }
    };
    futures_util::future::join_all((0..connections).map(device)).await;
    count(done.into_inner()) / start.elapsed().as_secs_f64()
}

/// A device that has nothing pulls all; rows per second.
pub(crate) async fn first_sync(server: &Running, at_least: u32) -> f64 {
    let client = nizhal_tests::http();
    let (start, mut rows, mut cursor) = (Instant::now(), 0, String::new());
    loop {
        let request = client.post(format!("{}/sync/pull", server.url)).bearer_auth(&server.token);
        let response = request.json(&json!({"cursor": cursor, "limit": 10_000})).send().await.expect("an answer");
        let body = response.bytes().await.expect("a body");
        // What a client must read at least: the rows stay text.
        let page: Page<'_> = serde_json::from_slice(&body).expect("a page");
        rows += page.changed.iter().map(|table| table.rows.len() as u64).sum::<u64>();
        cursor = page.cursor.to_owned();
        if !page.has_more {
            break;
        }
    }
    assert!(rows >= u64::from(at_least), "{rows} rows came");
    count(rows) / start.elapsed().as_secs_f64()
}

#[derive(nizhal::__private::serde::Deserialize)]
#[serde(crate = "nizhal::__private::serde", rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    changed: Vec<Changed<'a>>,
    cursor: &'a str,
    #[serde(default)]
    has_more: bool,
}

#[derive(nizhal::__private::serde::Deserialize)]
#[serde(crate = "nizhal::__private::serde")]
struct Changed<'a> {
    #[serde(borrow)]
    rows: Vec<&'a serde_json::value::RawValue>,
}

/// Pulls that bring nothing, one after the other; the median in milliseconds.
pub(crate) async fn idle_pull_ms(server: &Running) -> f64 {
    let client = nizhal_tests::http();
    let mut cursor = json!("");
    loop {
        let page = post(&client, server, "/sync/pull", &json!({"cursor": cursor, "limit": 10_000})).await;
        cursor = page["cursor"].clone();
        if page["hasMore"] != true {
            break;
        }
    }
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let start = Instant::now();
        post(&client, server, "/sync/pull", &json!({"cursor": cursor})).await;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    crate::median(times)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}
