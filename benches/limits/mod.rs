//! Nizhal beside the limit of its database: what the benchmark `limits` runs, and the test `quick` in small.
//!
//! Starts a private Postgres (fsync on), seeds it, and prints tables of medians and ratios; then the same on SQLite. What counts
//! are the ratios: both sides of one were measured in turn, within seconds of each other. Writes `benches/RESULTS.md`, and adds the
//! ratios to `benches/history.csv`. With `-- --quick` everything is small and short, nothing is written, and the numbers mean nothing: it
//! shows that all of it runs. Words after that name the sections to run (`push`, `steps`, `sync`, `growth`, `sqlite`, `replay`, `sockets`); then
//! nothing is written either.

mod app;
mod first_sync;
mod growth;
mod http;
mod limit;
mod load;
mod push;
mod rates;
mod replay;
mod report;
mod seed;
mod sockets;
mod sqlite;
mod steps;
mod sync;

use nizhal_tests::{Cluster, Durability};
use report::{Ratio, Report};
use sockets::Sockets;
use std::{fs::File, io::Write as _, path::Path, process::Command, time::Duration};

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Rows of the first syncs.
    pub(crate) rows: [u32; 2],
    /// How long each rate is measured.
    pub(crate) period: Duration,
    /// How often; the median counts.
    pub(crate) rounds: usize,
    /// Mutations in the outbox that is drained.
    pub(crate) outbox: usize,
    /// Pulls of one change.
    pub(crate) changes: usize,
    pub(crate) sockets: Sockets,
}

const FULL: Size = Size {
    rows: [100_000, 1_000_000],
    period: Duration::from_secs(4),
    rounds: 3,
    outbox: 10_000,
    changes: 400,
    sockets: Sockets { listeners: 1_000, herd: 5_000, idle: 10_000, pushes: 300 },
};
const QUICK: Size = Size {
    rows: [2_000, 10_000],
    period: Duration::from_millis(200),
    rounds: 1,
    outbox: 500,
    changes: 10,
    sockets: Sockets { listeners: 20, herd: 50, idle: 100, pushes: 5 },
};

/// Measures, or is the server of the sockets, where this process was started for it; false where it was not.
pub(crate) fn ran() -> bool {
    if sockets::served() {
        return true;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says so. `cargo test --all-targets` does not, and is to measure nothing.
    let is_bench = args.iter().any(|arg| arg == "--bench");
    if is_bench {
        actix_web::rt::System::new().block_on(compare(&args));
    }
    is_bench
}

async fn compare(args: &[String]) {
    let quick = args.iter().any(|arg| arg == "--quick");
    let sections: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with("--")).collect();
    let wanted = |section: &str| sections.is_empty() || sections.contains(&section);
    let size = if quick { QUICK } else { FULL };
    let report = measured(size, wanted).await;
    if !quick && sections.is_empty() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md");
        std::fs::write(&path, format!("{}{}", head(), report.text())).expect("the results are written");
        remember(report.ratios());
    }
}

/// The wanted sections.
async fn measured(size: Size, wanted: impl Fn(&str) -> bool) -> Report {
    let mut report = Report::default();
    if wanted("push") {
        let cluster = Cluster::start_with(Durability::Synced, "-c shared_buffers=512MB -c max_wal_size=4GB");
        push::postgres(&mut report, &cluster.url("postgres"), size).await;
    }
    if wanted("steps") {
        let options = format!("-c shared_buffers=512MB -c max_wal_size=4GB {}", steps::RECORDING);
        let cluster = Cluster::start_with(Durability::Synced, &options);
        steps::postgres(&mut report, &cluster.url("postgres"), size).await;
    }
    if wanted("sync") {
        let cluster = Cluster::start_with(Durability::Synced, "-c shared_buffers=512MB -c max_wal_size=4GB");
        sync::postgres(&mut report, &cluster.url("postgres"), size).await;
    }
    if wanted("growth") {
        let cluster = Cluster::start_with(Durability::Synced, "-c shared_buffers=512MB -c max_wal_size=4GB");
        growth::postgres(&mut report, &cluster.url("postgres"), size).await;
    }
    if wanted("sqlite") {
        sqlite::all(&mut report, size).await;
    }
    if wanted("replay") {
        replay::all(&mut report, size).await;
    }
    if wanted("sockets") {
        sockets::postgres(&mut report, size);
    }
    report
}

/// Adds a line for each ratio to `history.csv`: the date, the commit, the machine, and what was measured.
fn remember(ratios: &[Ratio]) {
    let told = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        String::from_utf8_lossy(&output.expect("it runs").stdout).trim().to_owned()
    };
    let (date, commit) = (told("date", &["+%F"]), told("git", &["describe", "--always", "--dirty"]));
    let (cores, model) = machine();
    let lines: String = ratios
        .iter()
        .map(|Ratio { section, work, ours, limit }| {
            format!(
                "{date},{commit},{cores} cores {model},\"{section}: {work}\",{ours:.2},{limit:.2},{:.3}\n",
                ours / limit
            )
        })
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("history.csv");
    let mut file = File::options().append(true).open(path).expect("history.csv is there");
    file.write_all(lines.as_bytes()).expect("the history is written");
}

/// How many cores there are, and of what make.
fn machine() -> (usize, String) {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cores, model.trim_start_matches([' ', '\t', ':']).to_owned())
}

fn head() -> String {
    let (cores, model) = machine();
    format!(
        "# Results\n\nWritten by `cargo bench -p nizhal-benches --bench limits`, which measures ours and the limit in turn and \
         prints medians. {cores} cores ({model}), the database, the server and the load on the same machine. Rates are per second.\n"
    )
}
