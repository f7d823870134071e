//! The book's `clippy.toml` for crates of mutators: each path that it names is found and told of.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a mutator must not call, once each, in the order of the book's list.
const CALLS: &str = "
pub fn all() {
    let _ = std::time::SystemTime::now();
    let _ = std::time::Instant::now();
    chrono::Utc::now();
    chrono::Local::now();
    uuid::Uuid::new_v4();
    uuid::Uuid::now_v7();
    rand::rng();
    rand::random();
    let _ = std::env::var(\"x\");
    let _ = std::fs::read(\"x\");
    let _ = std::fs::read_to_string(\"x\");
}
pub fn allowed(now: u64) -> u64 {
    now
}
";

/// The crates that the list names, with what it names of them; where they are re-exported from is clippy's to see through.
const STUBS: [(&str, &str); 3] = [
    (
        "chrono",
        "mod offset { pub struct Utc; impl Utc { pub fn now() {} } pub struct Local; impl Local { pub fn now() {} } } pub use offset::*;",
    ),
    ("uuid", "pub struct Uuid; impl Uuid { pub fn new_v4() {} pub fn now_v7() {} }"),
    ("rand", "pub fn rng() {} pub fn random() {}"),
];

fn snippet() -> String {
    let book = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src/mutator.md"))
        .expect("the book");
    let (_, rest) = book.split_once("```toml\n").expect("the snippet");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn the_books_list_is_found_by_clippy() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("clippy");
    std::fs::create_dir_all(&dir).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("written");
    let snippet = snippet();
    write("clippy.toml", &snippet);
    write("mutators.rs", CALLS);
    for (name, source) in STUBS {
        write(&format!("{name}.rs"), source);
        let mut rustc = Command::new("rustc");
        rustc
            .args(["--edition=2024", "--crate-type=rlib", "--crate-name", name, &format!("{name}.rs")])
            .current_dir(&dir);
        assert!(rustc.status().expect("rustc runs").success(), "{name}");
    }
    let mut clippy = Command::new("clippy-driver");
    clippy.args([
        "--edition=2024",
        "--crate-type=lib",
        "--emit=metadata",
        "mutators.rs",
        "-Wclippy::disallowed_methods",
    ]);
    for (name, _) in STUBS {
        clippy.args(["--extern", &format!("{name}=lib{name}.rlib")]);
    }
    let output = clippy.env("CLIPPY_CONF_DIR", &dir).current_dir(&dir).output().expect("clippy runs");
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{text}");
    let listed: Vec<&str> =
        snippet.lines().filter_map(|line| line.split_once("path = \"")?.1.split('"').next()).collect();
    assert_eq!(listed.len(), 11);
    for path in &listed {
        assert!(text.contains(&format!("use of a disallowed method `{path}`")), "{path} is not found:\n{text}");
    }
    assert_eq!(text.matches("use of a disallowed method").count(), listed.len(), "{text}");
    assert!(text.contains("take the time from ctx.now()"), "{text}");
}
