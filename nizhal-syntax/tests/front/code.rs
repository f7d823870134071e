//! The catalogue is whole: every code stands at one place, and the book's page lists them all.

use nizhal_syntax::{Code, Errors};
use std::{collections::BTreeSet, fs, path::Path};

fn codes() -> Vec<Code> {
    Code::all().collect()
}

fn sources(dir: &Path, all: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("src/code.rs") {
            all.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_code_stands_at_one_place() {
    let mut all = String::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    sources(&root.join("src"), &mut all);
    sources(&root.join("../nizhal-macros/src"), &mut all);
    // The example in the documentation of `Errors` uses one for show.
    let all: String = all.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    for code in codes() {
        let name = format!("Code::{code:?}");
        let uses = all.match_indices(&name).filter(|(at, _)| {
            let after = all[at + name.len()..].chars().next();
            !after.is_some_and(char::is_alphanumeric)
        });
        assert_eq!(uses.count(), 1, "{code} {name}");
    }
}

#[test]
fn no_number_is_given_twice() {
    let numbers: BTreeSet<String> = codes().iter().map(ToString::to_string).collect();
    assert_eq!(numbers.len(), codes().len());
    assert!(numbers.iter().all(|number| number.len() == 5), "{numbers:?}");
}

/// What keeps a text of the catalogue from being shown: a quote that is not closed, a letter that a table of Markdown takes for
/// its own, an end that belongs to the other text.
fn garbled(text: &str, is_title: bool) -> Option<&'static str> {
    // Every other part is code.
    let prose: String = text.split('`').step_by(2).collect();
    match text {
        "" => Some("it is empty"),
        _ if !text.matches('`').count().is_multiple_of(2) => Some("a backtick is not closed"),
        _ if prose.contains(['|', '=', '&', '{', '}', '<', '>', '_', '*', '#', '\\']) => {
            Some("code stands outside backticks")
        }
        _ if text.contains("``") || text.contains("  ") || text.trim() != text => Some("it has an empty place"),
        _ if is_title && (text.ends_with(['.', ',', ':']) || is_sentence(text)) => {
            Some("a title is part of a sentence")
        }
        _ if !is_title && (!text.ends_with('.') || text.starts_with(char::is_lowercase)) => {
            Some("an explanation is sentences")
        }
        _ => None,
    }
}

/// Whether it begins with a capital that is no abbreviation's.
fn is_sentence(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(char::is_uppercase) && !chars.next().is_some_and(char::is_uppercase)
}

#[test]
fn no_text_of_the_catalogue_is_garbled() {
    for code in codes() {
        for (text, is_title) in [(code.title(), true), (code.explanation(), false)] {
            assert_eq!(garbled(text, is_title), None, "{code}: {text}");
        }
    }
    for (title, wanted) in [
        ("an operator that no condition has|`==`, `!=`, `&&` and `|", "a backtick is not closed"),
        ("an operator|`==`", "code stands outside backticks"),
        ("A title.", "a title is part of a sentence"),
    ] {
        assert_eq!(garbled(title, true), Some(wanted), "{title}");
    }
}

/// Written anew with `NIZHAL_BLESS=1`.
#[test]
fn the_book_lists_every_code() {
    let mut page = String::from(
        "# Messages\n\nWhat the macros and `nizhal check` say begins with a code. `nizhal explain NZ041` shows an example of \
         each, wrong and right. Types and names of columns are rustc's to judge, in its own words and with its own codes.\n",
    );
    for (part, codes) in Code::PARTS {
        page.push_str(&format!("\n## {part}\n\n| code | what | why |\n|---|---|---|\n"));
        for code in *codes {
            page.push_str(&format!(
                "| `{code}` | {} | {} |\n",
                code.title().replace('|', "\\|"),
                code.explanation().replace('|', "\\|")
            ));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src/messages.md");
    if std::env::var_os("NIZHAL_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "book/src/messages.md is not what the catalogue says: run this test with NIZHAL_BLESS=1");
}

fn one_mistake() -> Errors {
    let errors = Errors::new();
    errors.push(Code::NoKey, quote::quote!(Customer), "what is wrong", "what to write");
    errors
}

#[test]
#[should_panic(expected = "mistakes were collected but never reported")]
fn mistakes_that_nobody_reads_are_a_bug_that_shows() {
    drop(one_mistake());
}

#[test]
fn a_mistake_says_its_code_and_what_to_write() {
    let said = one_mistake().finish().expect_err("a mistake").to_string();
    assert_eq!(said, format!("[{}] what is wrong\n\nhelp: what to write", Code::NoKey));
}
