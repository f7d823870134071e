//! What sockets cost: `cargo run --release -p nizhal-benches --bin sockets`.
//!
//! A server process on a private Postgres, and thousands of real sockets from this one, each an actor of its own. Prints how long a push takes to the last of 1,000 sockets, pings per second, how fast 5,000 come back that were cut at
//! once, connects per second and memory per idle socket at 10,000.

mod app;

use nizhal_tests::{
    Address, Cluster, Database, Device, Durability, RawFrame, RawSocket, Server, SetUp, raise_file_limit, token, verb,
};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

const LISTENERS: usize = 1_000;
const PUSHES: usize = 300;
const HERD: usize = 5_000;
const IDLE: usize = 10_000;
/// How many connect at a time where it is the rate that is measured.
const AT_A_TIME: usize = 200;

/// What the listeners heard.
#[derive(Default)]
struct Heard {
    pings: AtomicU64,
    came: Notify,
}

fn main() {
    // The server is this same program with a verb.
    if std::env::args().len() > 1 {
        return app::run();
    }
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(measure());
}

async fn measure() {
    let cluster = Cluster::start(Durability::Fast);
    let database = Database::within(&cluster, "postgres");
    let set_up = SetUp::new(std::env::current_exe().expect("we run"), database.url());
    assert!(verb(&set_up, &["migrate"]).status.success(), "the database is provisioned");
    let mut db = database.connect().await;
    members(&mut db, "s1", "u", LISTENERS).await;
    members(&mut db, "s2", "i", IDLE).await;
    members(&mut db, "s1", "writer", 1).await;
    let address = Address::default();
    let mut server = Server::start(&set_up, &address);
    println!("| work | measured |\n|---|---|");

    let heard = Arc::<Heard>::default();
    let listeners = listen(come(&address, "u", "s1", 0..LISTENERS, LISTENERS).await.0, &heard);
    let sockets = listeners.len();
    let mut writer = Device::new(&address, "writer", &token::signed(&token::claims("writer0", Some("s1"))));
    let mut times = Vec::new();
    for push in 0..PUSHES {
        let (start, wanted) = (Instant::now(), heard.pings.load(Relaxed) + sockets as u64);
        let args = json!({"clientId": format!("c{push}"), "text": "rice and dal"});
        let pushed = writer.mutate("addNote", &args);
        let all = async {
            while heard.pings.load(Relaxed) < wanted {
                heard.came.notified().await;
            }
            start.elapsed()
        };
        let (_, took) = tokio::join!(pushed, all);
        times.push(took);
    }
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("| push to the last of {sockets} sockets, p50 | {:.1} ms |", ms(times[PUSHES / 2]));
    println!("| the same, p99 | {:.1} ms |", ms(times[PUSHES * 99 / 100]));

    let (start, before) = (Instant::now(), heard.pings.load(Relaxed));
    let mut number = 0;
    while start.elapsed() < Duration::from_secs(5) {
        number += 1;
        writer.mutate("addNote", &json!({"clientId": format!("p{number}"), "text": "rice and dal"})).await;
    }
    let rate = (heard.pings.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
    println!("| pings per second, one writer after the other's answer, {sockets} sockets | {rate:.0} |");
    listeners.iter().for_each(JoinHandle::abort);

    let (herd, _) = come(&address, "i", "s2", 0..HERD, HERD).await;
    drop(herd);
    let (herd, took) = come(&address, "i", "s2", 0..HERD, HERD).await;
    println!(
        "| {} sockets, cut and back at the same moment, the last after | {:.1} s |",
        herd.len(),
        took.as_secs_f64()
    );
    drop(herd);
    server.kill();
    server = Server::start(&set_up, &address);
    let (herd, took) = come(&address, "i", "s2", 0..HERD, HERD).await;
    println!("| the same after kill -9 of the server, once it listens again | {:.1} s |", took.as_secs_f64());
    drop(herd);
    server.kill();

    server = Server::start(&set_up, &address);
    // The first sockets make the process grow by what it needs anyway.
    drop(come(&address, "i", "s2", 0..100, 100).await);
    let before = resident(&server);
    let (idle, took) = come(&address, "i", "s2", 0..IDLE, AT_A_TIME).await;
    println!("| connects per second, {AT_A_TIME} at a time | {:.0} |", idle.len() as f64 / took.as_secs_f64());
    let grown = resident(&server) - before;
    println!("| server memory per idle socket at {} | {:.1} KiB |", idle.len(), grown as f64 / idle.len() as f64);
    println!("| errors answered to anybody | 0: it would have ended here |");
    server.kill();
}

async fn members(db: &mut nizhal_tests::Connection, shop: &str, prefix: &str, count: usize) {
    let sql = format!(
        "insert into members (shop_id, user_id) select '{shop}', '{prefix}' || n from generate_series(0, {count} - 1) n"
    );
    db.execute(&sql).await;
}

/// Opens sockets for these users, so many at a time, each until its first presence state; how long the last took.
async fn come(
    address: &Address,
    prefix: &str,
    shop: &str,
    users: std::ops::Range<usize>,
    at_a_time: usize,
) -> (Vec<RawSocket>, Duration) {
    let at = address.at("").replacen("http://", "", 1);
    let users: Vec<String> =
        users.map(|n| token::signed(&token::claims(&format!("{prefix}{n}"), Some(shop)))).collect();
    let places = Arc::new(Semaphore::new(at_a_time));
    let start = Instant::now();
    let mut coming = Vec::new();
    for token in users {
        let (at, places) = (at.clone(), places.clone());
        coming.push(tokio::spawn(async move {
            let _place = places.acquire().await;
            let opened = RawSocket::open(&at, &token).await.expect("an answer");
            let mut socket = opened.unwrap_or_else(|status| panic!("an error was answered: {status}"));
            socket.text("presence:state:").await.expect("a state");
            socket
        }));
    }
    let mut sockets = Vec::new();
    for socket in coming {
        sockets.push(socket.await.expect("nobody is sent away"));
    }
    (sockets, start.elapsed())
}

/// Counts the pings of each socket.
fn listen(sockets: Vec<RawSocket>, heard: &Arc<Heard>) -> Vec<JoinHandle<()>> {
    let count = |mut socket: RawSocket| {
        let heard = heard.clone();
        tokio::spawn(async move {
            while let Ok(frame) = socket.next().await {
                if matches!(&frame, RawFrame::Text(text) if text.starts_with("repull:")) {
                    heard.pings.fetch_add(1, Relaxed);
                    heard.came.notify_one();
                }
            }
        })
    };
    sockets.into_iter().map(count).collect()
}

/// Kibibytes of the server that are in memory.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
