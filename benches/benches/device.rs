//! A device in Rust beside its server: `cargo bench -p nizhal-benches --bench device`.
//!
//! The server runs on SQLite in this process, the device on a file of its own, both on the same cores: what is measured is the
//! whole way from the server's table to the device's.

#[expect(dead_code, reason = "the other benchmarks use the rest")]
#[path = "../limits/app.rs"]
mod app;

use app::{AddEntry, Claims, Entry, Member, Running, add_entry, rules};
use futures_util::StreamExt as _;
use nizhal::client::Failure;
use nizhal::client::transport::{Frames, Request, Response, Transport};
use nizhal::client::{Client, Phase};
use nizhal::prelude::*;
use nizhal_tests::TempDir;
use serde_json::{Value, json};
use std::future::{pending, ready};
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// Mutations written offline.
const MUTATIONS: u32 = 10_000;
/// Writes whose way to a watched query is timed.
const WATCHED: u32 = 300;

#[actix_web::main]
async fn main() {
    // `cargo test --all-targets` starts benchmarks too, without the word that `cargo bench` adds.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let dir = TempDir::new("bench");
    let server = Running::start(&format!("sqlite://{}", dir.path().join("server.db").display())).await;
    // Rows for a first sync.
    let count: u32 = app::set("NIZHAL_BENCH_ROWS", 100_000);
    server.fill(count).await;
    println!("| work | figure |\n|---|---|");

    let begun = Instant::now();
    let device = open(&server, &dir.path().join("a.db")).await;
    live(&device).await;
    let seconds = begun.elapsed().as_secs_f64();
    let rows = Entry::find().count(device.db()).await.expect("rows");
    assert_eq!(rows, u64::from(count));
    row(&format!("first sync of {count} rows into a file, rows per second"), f64::from(count) / seconds);
    imaged(&server).await;
    let begun = Instant::now();
    let other = open(&server, &dir.path().join("b.db")).await;
    live(&other).await;
    let seconds = begun.elapsed().as_secs_f64();
    let rows = Entry::find().count(other.db()).await.expect("rows");
    assert_eq!(rows, u64::from(count));
    row("… by image, rows per second", f64::from(count) / seconds);
    row("… by image, seconds", seconds);
    device.set_online(false);
    let begun = Instant::now();
    for number in 0..MUTATIONS / 2 {
        write(&device, &format!("offline-{number}")).await;
    }
    let half = f64::from(MUTATIONS / 2);
    row("mutations written offline one by one, each durable, per second", half / begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let all = (MUTATIONS / 2..MUTATIONS).map(|number| {
        let device = device.clone();
        async move { write(&device, &format!("offline-{number}")).await }
    });
    futures_util::stream::iter(all).for_each_concurrent(Some(32), |writing| writing).await;
    row("mutations written offline by 32 at once, each durable, per second", half / begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    device.set_online(true);
    live(&device).await;
    row("10,000 offline mutations drained, per second", f64::from(MUTATIONS) / begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    live(&other).await;
    while Entry::find().count(other.db()).await.expect("rows") < u64::from(count + MUTATIONS) {
        tokio::task::yield_now().await;
    }
    row("… and until the other device has them, further ms", begun.elapsed().as_secs_f64() * 1000.0);

    let (mut here, mut there) = (Vec::new(), Vec::new());
    for number in 0..WATCHED {
        let id = format!("watched-{number}");
        let mut mine = device.watch(Entry::find_by_id(&*id));
        let mut theirs = other.watch(Entry::find_by_id(&*id));
        assert!(mine.next().await.expect("a look").expect("rows").is_empty());
        assert!(theirs.next().await.expect("a look").expect("rows").is_empty());
        let begun = Instant::now();
        write(&device, &id).await;
        while mine.next().await.expect("a look").expect("rows").is_empty() {}
        here.push(begun.elapsed().as_secs_f64() * 1000.0);
        while theirs.next().await.expect("a look").expect("rows").is_empty() {}
        there.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    for (what, mut times) in [("on this device", here), ("on the other, by the server", there)] {
        times.sort_by(f64::total_cmp);
        row(&format!("from `mutate` to the watched query {what}, ms (p50)"), times[times.len() / 2]);
        row(&format!("from `mutate` to the watched query {what}, ms (p99)"), times[times.len() * 99 / 100]);
    }
    device.close().await;
    other.close().await;
    alone(&dir.path().join("c.db")).await;
    server.stop().await;
}

async fn open(server: &Running, file: &Path) -> Client {
    let setup = Client::setup(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() })
        .tables(tables![Entry, Member])
        .mutators(mutators![add_entry])
        .rules(rules())
        .file(file)
        .server(server.url.clone(), server.token.clone());
    Box::pin(setup.open()).await.expect("the device opens")
}

/// Waits until an image of the shop is made.
async fn imaged(server: &Running) {
    let url = format!("{}/sync/image?bucket=myShops:s1", server.url);
    let http = nizhal_tests::http();
    loop {
        let request = http.get(&url).bearer_auth(&server.token);
        match request.send().await.expect("an answer").status().as_u16() {
            202 => tokio::time::sleep(Duration::from_millis(100)).await,
            status => return assert_eq!(status, 200),
        }
    }
}

async fn write(device: &Client, id: &str) {
    let amount = serde_json::from_value("1.50".into()).expect("an amount");
    let args = AddEntry { client_id: id.to_owned(), amount };
    device.mutate::<add_entry>(args).await.expect("it is written");
}

async fn live(device: &Client) {
    let live = device.until(|status| status.pending == 0 && status.phase == Phase::Live).await;
    assert!(live.is_some(), "sync ended");
}

/// A server that says yes at once, so that the device's own part in a drain shows.
struct Yes;

type Waited<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

impl Transport for Yes {
    fn send(&self, request: Request) -> Waited<'_, Response> {
        let asked: Value = serde_json::from_slice(&request.body).expect("a request is JSON");
        let answer = if let Some(mutations) = asked["mutations"].as_array() {
            let applied =
                |mutation: &Value| json!({"clientMutationId": mutation["clientMutationId"], "status": "applied"});
            json!({"results": mutations.iter().map(applied).collect::<Vec<_>>()})
        } else {
            json!({"tombstoned": [], "removed": [], "removedBuckets": [], "cursor": "c", "epoch": "e", "complete": true,
                "lastMutationId": MUTATIONS})
        };
        let body = Box::new(Some(answer.to_string().into_bytes()));
        Box::pin(ready(Ok(Response { status: 200, retry_after_ms: None, lines: false, body })))
    }
    fn fetch<'a>(&'a self, _: &'a str, _: u64) -> Waited<'a, Response> {
        Box::pin(pending())
    }
    fn open<'a>(&'a self, _: &'a str) -> Waited<'a, Box<dyn Frames>> {
        Box::pin(pending())
    }
}

async fn alone(file: &Path) {
    let setup = Client::setup(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() })
        .tables(tables![Entry, Member])
        .mutators(mutators![add_entry])
        .rules(rules())
        .file(file)
        .transport(Yes, "token".to_owned())
        .offline();
    let device = Box::pin(setup.open()).await.expect("the device opens");
    let all = (0..MUTATIONS).map(|number| {
        let device = device.clone();
        async move { write(&device, &format!("alone-{number}")).await }
    });
    futures_util::stream::iter(all).for_each_concurrent(Some(64), |writing| writing).await;
    let begun = Instant::now();
    device.set_online(true);
    live(&device).await;
    row("the device's own part in draining 10,000, per second", f64::from(MUTATIONS) / begun.elapsed().as_secs_f64());
    device.close().await;
}

fn row(work: &str, figure: f64) {
    let digits = if figure < 100.0 { 2 } else { 0 };
    println!("| {work} | {figure:.digits$} |");
}
