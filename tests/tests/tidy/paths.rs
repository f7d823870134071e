//! Paths in backticks, in documents and in comments: each names a file or folder of the repository.
//!
//! A path may leave out its beginning (`engine/pull.rs`) and gather alternatives in braces; after `::` stands a name that the
//! file must hold.

use std::fs;

use crate::files;

/// The endings by which a word in backticks counts as a path.
const ENDINGS: [&str; 9] = [".rs", ".ts", ".md", ".sql", ".toml", ".stderr", ".sh", ".mjs", "/"];

/// The folders at the root, below which a path counts as one whatever its ending.
const ROOMS: [&str; 13] = [
    "benches",
    "book",
    "clients",
    "examples",
    "nizhal-cli",
    "nizhal-client",
    "nizhal-core",
    "nizhal-macros",
    "nizhal-runtime",
    "nizhal-sim",
    "nizhal-syntax",
    "tests",
    "ui-tests",
];

/// Names of files that an app of the user's own has, or that a command writes.
const ELSEWHERE: [&str; 4] = ["main.rs", "clippy.toml", "Cargo.toml", "contract.json"];

/// The words in backticks of a text that look like paths of this repository.
fn paths(text: &str) -> Vec<&str> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|word| {
            !word.starts_with(['/', '.', '<', '~']) && !word.contains([' ', '*', '=', ':', '('])
                || word.contains(".rs::")
        })
        .filter(|word| !word.contains("://") && !ELSEWHERE.contains(word))
        .filter(|word| {
            let path = word.split("::").next().unwrap_or(word);
            let in_room = path.split_once('/').is_some_and(|(room, _)| ROOMS.contains(&room));
            in_room || ENDINGS.iter().any(|ending| path.ends_with(ending)) && path.len() > 3
        })
        .collect()
}

/// The paths that one with alternatives in braces gathers.
fn spread(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let Some((inside, after)) = rest.split_once('}') else { return vec![path.to_owned()] };
    inside.split(',').flat_map(|part| spread(&format!("{before}{part}{after}"))).collect()
}

/// What is wrong with a path, if anything is.
fn fault(document: &str, word: &str, all: &[String]) -> Option<String> {
    let (path, name) = word.split_once("::").map_or((word, None), |(path, name)| (path, Some(name)));
    for path in spread(path) {
        let path = path.trim_end_matches('/');
        let ending = format!("/{path}");
        let found: Vec<_> = all.iter().filter(|file| **file == path || file.ends_with(&ending)).collect();
        if found.is_empty() {
            return Some(format!("{document}: `{word}` names nothing in the repository"));
        }
        let holds = |file: &&&String, name: &str| {
            fs::read_to_string(files::root().join(file)).is_ok_and(|text| text.contains(name))
        };
        if let Some(name) = name
            && !found.iter().any(|file| holds(&file, name))
        {
            return Some(format!("{document}: `{word}`: the file has no `{name}`"));
        }
    }
    None
}

/// The comments of a Rust or TypeScript file, one a line.
fn comments(text: &str) -> String {
    text.lines().map(str::trim_start).filter(|line| line.starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_path_in_documents_and_comments_exists() {
    let all = files::all();
    let documents = files::read(&[".md"]).into_iter().filter(|(path, _)| path != "CHANGELOG.md");
    let sources = files::read(&[".rs", ".ts"]).into_iter().map(|(path, text)| (path, comments(&text)));
    let mut faults = Vec::new();
    let mut named = 0;
    for (document, text) in documents.chain(sources) {
        for word in paths(&text) {
            named += 1;
            faults.extend(fault(&document, word, &all));
        }
    }
    assert!(named > 80, "only {named} paths were found: the search is broken");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The rows of the code map that name a room and modules in it which the room lacks.
fn missing_modules(map: &str, all: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    for row in map.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.split('|').skip(1);
        let (Some(rooms), Some(about)) = (cells.next(), cells.next()) else { continue };
        let rooms: Vec<_> = paths(rooms).into_iter().flat_map(spread).collect();
        let inside: Vec<_> =
            all.iter().filter(|file| rooms.iter().any(|room| file.starts_with(room.as_str()))).collect();
        let is_module =
            |word: &&str| word.chars().all(|sign| sign.is_ascii_lowercase() || sign == '_') && !word.is_empty();
        for word in about.split('`').skip(1).step_by(2).filter(is_module) {
            let names = |part: &str| part.split('.').next() == Some(word);
            if !inside.iter().any(|file| file.split('/').any(names)) {
                faults.push(format!("ARCHITECTURE.md: {rooms:?} holds no module `{word}`"));
            }
        }
    }
    faults
}

#[test]
fn the_code_map_names_modules_that_exist() {
    let text = fs::read_to_string(files::root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let (_, map) = text.split_once("## Code map").expect("a code map");
    let (map, _) = map.split_once("\n## ").expect("the code map's end");
    let all = files::all();
    let faults = missing_modules(map, &all);
    assert!(map.lines().filter(|line| line.starts_with("| `")).count() > 15, "the code map's rows were not found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let broken = missing_modules("| `nizhal-core/` | `hlc`, `nothing_like_it` |", &all);
    assert_eq!(broken.len(), 1, "{broken:?}");
}

#[test]
fn a_dead_path_is_found() {
    let all = files::all();
    let text = "`README.md` `tests/src/{lib,gone}.rs` `src/lib.rs::nothing_like_it` `main.rs` `/sync/pull` `a b.rs`";
    let faults: Vec<_> = paths(text).into_iter().filter_map(|word| fault("here", word, &all)).collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
}
