//! Nizhal beside the limit of its database, in one run on one machine: `cargo run --release -p nizhal-benches`.
//!
//! Starts a private Postgres (fsync on), seeds it, and prints a table of medians and ratios; then the same on SQLite. What
//! counts are the ratios: both sides of one were measured within seconds of each other.

mod app;
mod limit;
mod load;

use app::Running;
use nizhal_tests::{Cluster, Durability, TempDir};
use std::time::Duration;

/// Rows for a first sync.
const ROWS: u32 = 100_000;
/// Connections that push.
const CONNECTIONS: usize = 16;
/// How long each rate is measured.
const PERIOD: Duration = Duration::from_secs(5);
/// How often; the median is printed.
const ROUNDS: usize = 3;

#[actix_web::main]
async fn main() {
    println!("| database | work | Nizhal | limit | ratio |\n|---|---|---|---|---|");
    let cluster = Cluster::start(Durability::Synced);
    let url = cluster.url("postgres");
    let server = Running::start(&url).await;
    let bare = limit::Postgres::new(&url).await;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        ours.push(load::pushes(&server, CONNECTIONS, PERIOD, round).await);
        theirs.push(bare.pushes(CONNECTIONS, PERIOD).await);
    }
    row("Postgres", "push, 16 connections, 1 mutation a request, per second", median(ours), Some(median(theirs)));

    bare.seed(ROWS).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(load::first_sync(&server, ROWS).await);
        theirs.push(bare.fetch(ROWS).await);
    }
    row("Postgres", "first sync of 100,000 rows, rows per second", median(ours), Some(median(theirs)));
    row("Postgres", "pull with nothing new among 100,000 rows, ms (p50)", load::idle_pull_ms(&server).await, None);
    server.stop().await;

    let dir = TempDir::new("bench");
    let server = Running::start(&format!("sqlite://{}", dir.path().join("bench.db").display())).await;
    let ours = load::pushes(&server, CONNECTIONS, PERIOD, 0).await;
    row("SQLite", "push, 16 connections, 1 mutation a request, per second", ours, None);
    server.fill(ROWS).await;
    row("SQLite", "first sync of 100,000 rows, rows per second", load::first_sync(&server, ROWS).await, None);
    row("SQLite", "pull with nothing new among 100,000 rows, ms (p50)", load::idle_pull_ms(&server).await, None);
    server.stop().await;
}

fn row(database: &str, work: &str, ours: f64, limit: Option<f64>) {
    let digits = if ours < 100.0 { 2 } else { 0 };
    let (theirs, ratio) = match limit {
        Some(limit) => (format!("{limit:.0}"), format!("{:.2}", ours / limit)),
        None => Default::default(),
    };
    println!("| {database} | {work} | {ours:.digits$} | {theirs} | {ratio} |");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
