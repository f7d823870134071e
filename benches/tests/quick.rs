//! So that benches that nobody ran for a while still do. What they measure here means nothing.
//!
//! The benchmarks are compiled into this test, and it starts its own binary as they would be started: no other build can be meant.

#[path = "../limits/mod.rs"]
mod limits;

use std::{env, process::Command};

/// The test's name, as the usual harness would say it.
const NAME: &str = "all_of_it_runs";

fn main() {
    // Started as the benchmarks, or by these as a server.
    if limits::ran() {
        return;
    }
    if is_asked_for() {
        all_of_it_runs();
        println!("test {NAME} ... ok");
    }
}

/// Whether the words behind `--` leave this test in, as in `cargo test --workspace -- push::`.
fn is_asked_for() -> bool {
    match env::args().nth(1).as_deref() {
        Some("--list" | "--ignored") => false,
        Some(word) => word.starts_with('-') || NAME.contains(word),
        None => true,
    }
}

fn all_of_it_runs() {
    let binary = env::current_exe().expect("we run");
    let run = Command::new(binary).args(["--bench", "--quick"]).output().expect("it starts");
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}\n{}", String::from_utf8_lossy(&run.stderr));
    for section in [
        "Push, Postgres",
        "First sync, Postgres",
        "Pull of one change, Postgres",
        "Growth, Postgres",
        "SQLite",
        "Sockets",
    ] {
        assert!(text.contains(&format!("\n## {section}")), "{section} is not in\n{text}");
    }
}
