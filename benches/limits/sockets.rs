//! What sockets cost: a server process on a private Postgres, and thousands of real sockets from this one, each an actor of its own.

use super::{
    Size, app,
    report::{Report, count, percentile, rss_mb_of},
};
use nizhal_tests::{
    Address, Cluster, Connection, Database, Device, Durability, RawFrame, RawSocket, Server, SetUp, raise_file_limit,
    token, verb,
};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

/// How many connect at a time where it is the rate that is measured.
const AT_A_TIME: usize = 200;
/// Says that this process is the server.
const SERVER: &str = "NIZHAL_BENCH_SERVER";

/// How many sockets there are.
#[derive(Clone, Copy)]
pub(crate) struct Sockets {
    /// That hear a push.
    pub(crate) listeners: usize,
    /// That come at once.
    pub(crate) herd: usize,
    /// That do nothing.
    pub(crate) idle: usize,
    /// Pushes that are timed one by one.
    pub(crate) pushes: usize,
}

/// What the listeners heard.
#[derive(Default)]
struct Heard {
    pings: AtomicU64,
    came: Notify,
}

/// Runs the server where this process was started as one; false where it was not.
pub(crate) fn served() -> bool {
    let is_server = std::env::var_os(SERVER).is_some();
    if is_server {
        actix_web::rt::System::new().block_on(app::declared("sockets").run()).expect("it runs");
    }
    is_server
}

/// Fan-out, reconnects, and the memory of an idle socket.
pub(crate) fn postgres(report: &mut Report, size: Size) {
    raise_file_limit();
    let work = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(measure(report, size));
    };
    // The caller is inside a runtime of its own, which must not wait for another.
    std::thread::scope(|scope| scope.spawn(work).join().expect("the sockets were measured"));
}

async fn measure(report: &mut Report, size: Size) {
    let Sockets { listeners, herd, idle, .. } = size.sockets;
    let cluster = Cluster::start(Durability::Fast);
    let database = Database::within(&cluster, "postgres");
    let set_up = SetUp::new(std::env::current_exe().expect("we run"), database.url()).env(SERVER, "on");
    assert!(verb(&set_up, &["migrate"]).status.success(), "the database is provisioned");
    let mut db = database.connect().await;
    members(&mut db, "s1", "u", listeners).await;
    members(&mut db, "s2", "i", idle.max(herd)).await;
    members(&mut db, "s1", "writer", 1).await;
    let address = Address::default();
    let mut server = Server::start(&set_up, &address);
    report.section("Sockets, Postgres with fsync off");
    fan_out(report, &address, size).await;

    drop(come(&address, "i", "s2", herd, herd).await);
    let (sockets, took) = come(&address, "i", "s2", herd, herd).await;
    drop(sockets);
    report.row(&format!("{herd} sockets cut at once, the last one back after, seconds"), took, None, "");
    server.kill();
    server = Server::start(&set_up, &address);
    let (sockets, took) = come(&address, "i", "s2", herd, herd).await;
    drop(sockets);
    report.row("the same after kill -9 of the server, once it listens again, seconds", took, None, "");
    server.kill();

    server = Server::start(&set_up, &address);
    // The first sockets make the process grow by what it needs anyway.
    drop(come(&address, "i", "s2", idle.min(100), 100).await);
    let before = rss_mb_of(&server.id().to_string());
    let (sockets, took) = come(&address, "i", "s2", idle, AT_A_TIME).await;
    report.row(&format!("connects a second, {AT_A_TIME} at a time"), count(idle) / took, None, "");
    let grown = rss_mb_of(&server.id().to_string()) - before;
    let each = grown * 1024.0 / count(sockets.len());
    report.row(&format!("memory of an idle socket, of {idle}, KiB"), each, None, "≤ 10");
    server.kill();
}

/// One writes, and all hear of it.
async fn fan_out(report: &mut Report, address: &Address, size: Size) {
    let Sockets { listeners: sockets, pushes, .. } = size.sockets;
    let heard = Arc::<Heard>::default();
    let listeners = listen(come(address, "u", "s1", sockets, sockets).await.0, &heard);
    let mut writer = Device::new(address, "writer", &token::signed(&token::claims("writer0", Some("s1"))));
    let mut times = Vec::new();
    for push in 0..pushes {
        let (start, wanted) = (Instant::now(), heard.pings.load(Relaxed) + sockets as u64);
        let args = json!({"clientId": format!("c{push}"), "amount": "1.50"});
        let pushed = writer.mutate("addEntry", &args);
        let all = async {
            while heard.pings.load(Relaxed) < wanted {
                heard.came.notified().await;
            }
            start.elapsed()
        };
        let (_, took) = tokio::join!(pushed, all);
        times.push(took.as_secs_f64() * 1e3);
    }
    report.row(&format!("push to the last of {sockets} sockets, ms (p50)"), percentile(&times, 0.5), None, "≤ 25");
    report.row("the same, ms (p99)", percentile(&times, 0.99), None, "");

    let (start, before) = (Instant::now(), heard.pings.load(Relaxed));
    let mut number = 0;
    while start.elapsed() < size.period {
        number += 1;
        writer.mutate("addEntry", &json!({"clientId": format!("p{number}"), "amount": "1.50"})).await;
    }
    let pings = usize::try_from(heard.pings.load(Relaxed) - before).unwrap_or(usize::MAX);
    let rate = count(pings) / start.elapsed().as_secs_f64();
    report.row(&format!("pings a second, one writer after the other's answer, {sockets} sockets"), rate, None, "");
    listeners.iter().for_each(JoinHandle::abort);
}

async fn members(db: &mut Connection, shop: &str, prefix: &str, count: usize) {
    let sql = format!(
        "insert into members (shop_id, user_id) select '{shop}', '{prefix}' || n from generate_series(0, {count} - 1) n"
    );
    db.execute(&sql).await;
}

/// Opens sockets for so many users, some at a time, each until its first presence state; the seconds until the last had it.
async fn come(address: &Address, prefix: &str, shop: &str, users: usize, at_a_time: usize) -> (Vec<RawSocket>, f64) {
    let at = address.host();
    let users: Vec<String> =
        (0..users).map(|n| token::signed(&token::claims(&format!("{prefix}{n}"), Some(shop)))).collect();
    let places = Arc::new(Semaphore::new(at_a_time));
    let start = Instant::now();
    let mut coming = Vec::new();
    for token in users {
        let (at, places) = (at.clone(), places.clone());
        coming.push(tokio::spawn(async move {
            let _place = places.acquire().await;
            RawSocket::come(&at, &token).await
        }));
    }
    let mut sockets = Vec::new();
    for socket in coming {
        sockets.push(socket.await.expect("nobody is sent away"));
    }
    (sockets, start.elapsed().as_secs_f64())
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
