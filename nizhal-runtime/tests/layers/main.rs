//! The layers of the server, held: imports run downwards and in no circle, and what `ARCHITECTURE.md` calls absent is absent.

mod imports;

use imports::Sources;

/// The rooms of the server, floor by floor: a room imports from its own floor and those below.
const FLOORS: [&str; 7] = [
    "schema observe counts environment settings contract share",
    "scope hub auth",
    "store",
    "engine",
    "job retention cluster blob image",
    "http console",
    "app",
];

/// Folder, words, the rooms that alone may name them, and the rule.
const ABSENCES: [(&str, &str, &str, &str); 8] = [
    ("nizhal-runtime/src", "actix", "http console", "only http/ and console/ name actix-web"),
    ("nizhal-runtime/src", "sqlx", "store", "only store/ names sqlx"),
    ("nizhal-runtime/src", "Database::connect SqlxPostgresConnector", "store", "only store/ opens sea-orm connections"),
    ("nizhal-runtime/src/engine", "Instant SystemTime Utc::now tokio::time", "", "the engine names no clock"),
    ("nizhal-runtime/src/engine", "rand:: new_v4 now_v7", "", "the engine names no randomness"),
    ("nizhal-runtime/src/engine", "std::fs std::io std::net tokio::net", "", "the engine names no I/O"),
    (
        "nizhal-syntax/src",
        "actix_web sea_orm nizhal_runtime",
        "",
        "nizhal-syntax names no actix-web, sea-orm or runtime",
    ),
    ("nizhal-core/src", "actix sqlx:: Database::connect", "", "nizhal-core names no actix-web and opens no connection"),
];

fn has(words: &str, wanted: &str) -> bool {
    words.split(' ').any(|word| word == wanted)
}

#[test]
fn imports_run_downwards_and_in_no_circle() {
    let floor = |room: &str| FLOORS.iter().position(|rooms| has(rooms, room)).expect("each room has a floor");
    let sources = Sources::read("nizhal-runtime/src");
    for import in sources.imports() {
        let (place, room, other) = (&import.place, &import.from[0], &import.to[0]);
        assert!(floor(room) >= floor(other), "{place}: imports run downwards only, and {room} stands below {other}");
    }
    let circle = sources.circle();
    assert!(circle.is_empty(), "no files import each other in a circle, and these do:\n{}", circle.join("\n"));
}

#[test]
fn absences_hold() {
    for (folder, words, rooms, rule) in ABSENCES {
        for (module, place, name) in Sources::read(folder).names() {
            let named = words.split(' ').find(|word| name.contains(word));
            let may = module.first().is_some_and(|room| has(rooms, room));
            assert!(may || named.is_none(), "{place}: {rule}, and here stands {}", named.unwrap_or_default());
        }
    }
}
