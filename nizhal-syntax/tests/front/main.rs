//! The three stages on tables of sources: what is meant, and what is said of mistakes.

mod code;
mod job;
mod mutator;
mod rules;
mod table;
mod word;

use nizhal_syntax::Errors;
use proc_macro2::TokenStream;

/// The first lines of the mistakes, without their codes.
fn mistakes(errors: Errors) -> Vec<String> {
    let Err(error) = errors.finish() else { return Vec::new() };
    let line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let bare = |line: String| line.split_once("] ").map_or(line.clone(), |(_, bare)| bare.to_owned());
    error.into_iter().map(|error| bare(line(&error.to_string()))).collect()
}

fn tokens(source: &str) -> TokenStream {
    source.parse().unwrap_or_else(|error| panic!("{source}: {error}"))
}

#[test]
#[should_panic(expected = "mistakes were collected but never reported")]
fn mistakes_cannot_be_forgotten() {
    drop(Errors::new());
}
