//! The load on Nizhal: devices over HTTP.

use super::{
    app::Running,
    http::Connection,
    report::{count, percentile},
};
use std::{
    cell::Cell,
    fmt::Write as _,
    time::{Duration, Instant},
};

async fn connect(server: &Running) -> Connection {
    connect_as(&server.url, &server.token).await
}

/// With a token of its own.
async fn connect_as(url: &str, token: &str) -> Connection {
    Connection::open(url, &format!("authorization: Bearer {token}\r\n")).await
}

/// A batch of new entries of one device, from this number on.
fn batch(device: &str, first: usize, size: usize) -> String {
    let mut body = String::with_capacity(size * 160);
    body.push_str("{\"mutations\":[");
    for number in first..first + size {
        let comma = if number == first { "" } else { "," };
        let _ = write!(
            body,
            "{comma}{{\"name\":\"addEntry\",\"args\":{{\"clientId\":\"{device}-{number}\",\"amount\":\"1.50\"}},\
             \"clientMutationId\":\"{device}-{number}\",\"clientID\":\"{device}\",\"mutationID\":{number}}}"
        );
    }
    body.push_str("]}");
    body
}

/// How a rate of pushes is measured.
#[derive(Clone, Copy)]
pub(crate) struct Pushes {
    pub(crate) connections: usize,
    /// Mutations a request.
    pub(crate) size: usize,
    pub(crate) period: Duration,
}

/// Pushes for a while, each connection a device with its own sequence; mutations per second.
pub(crate) async fn pushes(server: &Running, how: Pushes) -> f64 {
    thread_local!(static ROUND: Cell<usize> = const { Cell::new(0) });
    let round = ROUND.replace(ROUND.get() + 1);
    let start = Instant::now();
    let device = async |which: usize| {
        let name = format!("d{round}-{which}");
        let mut connection = connect(server).await;
        let mut done = 0;
        while start.elapsed() < how.period {
            let answer = connection.post("/sync/push", &batch(&name, done + 1, how.size)).await;
            debug_assert!(answer.starts_with(b"{\"applied\""));
            done += how.size;
        }
        done
    };
    let done: usize = futures_util::future::join_all((0..how.connections).map(device)).await.into_iter().sum();
    count(done) / start.elapsed().as_secs_f64()
}

/// One device pushes its mutation of this number.
pub(crate) async fn push_once(server: &Running, device: &str, number: usize) {
    connect(server).await.post("/sync/push", &batch(device, number, 1)).await;
}

/// One device that was away empties an outbox of this many mutations, 50 a request; seconds.
pub(crate) async fn drain(server: &Running, device: &str, mutations: usize) -> f64 {
    let mut connection = connect(server).await;
    let start = Instant::now();
    for first in (1..=mutations).step_by(50) {
        connection.post("/sync/push", &batch(device, first, 50)).await;
    }
    start.elapsed().as_secs_f64()
}

/// A device that has nothing pulls all, page by page; rows per second, and the cursor that it ends at.
pub(crate) async fn first_sync(server: &Running, at_least: u32) -> (f64, String) {
    let mut connection = connect(server).await;
    let (start, mut rows, mut cursor) = (Instant::now(), 0, String::new());
    loop {
        let body = format!("{{\"cursor\":\"{cursor}\",\"limit\":10000}}");
        let body = connection.post("/sync/pull", &body).await;
        // What a client must read at least: the rows stay text.
        let page: Page<'_> = serde_json::from_slice(&body).expect("a page");
        rows += page.changed.iter().map(|table| table.rows.len()).sum::<usize>();
        cursor = page.cursor.to_owned();
        if !page.has_more {
            break;
        }
    }
    assert!(rows >= at_least as usize, "{rows} rows came");
    (count(rows) / start.elapsed().as_secs_f64(), cursor)
}

/// The same as a stream of lines, which are counted and let go; rows per second.
pub(crate) async fn streamed_sync(server: &Running, rows: u32) -> f64 {
    let head =
        format!("authorization: Bearer {}\r\nx-nizhal-wire: 2\r\naccept: application/x-ndjson\r\n", server.token);
    let mut connection = Connection::open(&server.url, &head).await;
    let (start, mut bytes, mut lines) = (Instant::now(), 0, 0);
    connection
        .send("/sync/pull", "{\"cursor\":\"\"}", |part| {
            bytes += part.len();
            lines += part.iter().filter(|&&byte| byte == b'\n').count();
        })
        .await;
    assert!(lines > 1 && bytes > rows as usize * 100, "{lines} lines, {bytes} bytes came");
    f64::from(rows) / start.elapsed().as_secs_f64()
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

/// What the requests of one connection took.
pub(crate) struct Times(Vec<f64>);

impl Times {
    /// The time that this part of them did not exceed, in milliseconds.
    pub(crate) fn ms(&self, part: f64) -> f64 {
        percentile(&self.0, part)
    }

    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        count(self.0.len()) * 1e3 / self.0.iter().sum::<f64>()
    }
}

/// Requests one after the other for a while.
pub(crate) async fn repeat(url: &str, token: &str, path: &str, body: &str, period: Duration) -> Times {
    let mut connection = connect_as(url, token).await;
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < period {
        let begun = Instant::now();
        connection.post(path, body).await;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Times(times)
}

/// Pulls of a user who has everything.
pub(crate) async fn idle_pulls(server: &Running, user: &str, cursor: &str, period: Duration) -> Times {
    let token = server.token_of(user);
    let body = format!("{{\"cursor\":\"{cursor}\"}}");
    let first = connect_as(&server.url, &token).await.post("/sync/pull", &body).await;
    let page: Page<'_> = serde_json::from_slice(&first).expect("a page");
    assert!(page.changed.is_empty() && !page.has_more, "there was something new");
    repeat(&server.url, &token, "/sync/pull", &body, period).await
}

/// Pulls of one change, each of a change of its own made just before.
pub(crate) async fn one_change(server: &Running, user: &str, mut cursor: String, times: usize) -> Times {
    let mut connection = connect_as(&server.url, &server.token_of(user)).await;
    let mut took = Vec::new();
    for at in 0..times {
        server.touch(at).await;
        let begun = Instant::now();
        let body = connection.post("/sync/pull", &format!("{{\"cursor\":\"{cursor}\"}}")).await;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        let page: Page<'_> = serde_json::from_slice(&body).expect("a page");
        assert_eq!(page.changed.iter().map(|table| table.rows.len()).sum::<usize>(), 1);
        cursor = page.cursor.to_owned();
    }
    Times(took)
}

/// The cursor of a device that has everything, without reading everything: that of an empty copy of the actor's buckets cannot be
/// had, so it pulls the stream and lets the rows go.
pub(crate) async fn caught_up(server: &Running, user: &str) -> String {
    let head = format!(
        "authorization: Bearer {}\r\nx-nizhal-wire: 2\r\naccept: application/x-ndjson\r\n",
        server.token_of(user)
    );
    let mut connection = Connection::open(&server.url, &head).await;
    let mut tail = Vec::new();
    connection
        .send("/sync/pull", "{\"cursor\":\"\"}", |part| {
            match part[..part.len().saturating_sub(1)].iter().rposition(|&byte| byte == b'\n') {
                Some(end) => tail = part[end + 1..].to_vec(),
                None if tail.ends_with(b"\n") => tail = part.to_vec(),
                None => tail.extend_from_slice(part),
            }
        })
        .await;
    let last: serde_json::Value = serde_json::from_slice(&tail).expect("the last line");
    last["cursor"].as_str().expect("a cursor").to_owned()
}
