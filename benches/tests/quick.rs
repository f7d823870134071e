//! So that benches that nobody ran for a while still do. What they measure here means nothing.

use std::process::Command;

#[test]
fn all_of_it_runs() {
    let run = Command::new(env!("CARGO_BIN_EXE_nizhal-benches")).arg("--quick").output().expect("it starts");
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
