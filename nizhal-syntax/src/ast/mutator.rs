//! `#[mutator]` as written.

use super::attr::{parse_function, parse_words};
use crate::{Errors, symbol};
use proc_macro2::TokenStream;
use syn::{Ident, ItemFn, LitStr, Path};

/// A mutator.
#[derive(Debug)]
pub struct Mutator {
    /// The function.
    pub item: ItemFn,
    /// `name = "…"`
    pub name: Option<LitStr>,
    /// `privileged(…)`
    pub privileged: Vec<Path>,
    /// `server`
    pub server: Option<Ident>,
}

/// Reads the attribute and its item; `None` when the item is not a function.
pub fn parse_mutator(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<Mutator> {
    let words = parse_words(attr, "`#[mutator]`", symbol::MUTATOR_WORDS, errors);
    let item = parse_function(
        item,
        "a mutator is a function",
        "write `async fn name(ctx: &mut Ctx<Claims>, args: Args) -> Result<Applied> { … }`",
        errors,
    )?;
    let mut mutator = Mutator { item, name: None, privileged: Vec::new(), server: None };
    for word in words {
        if word.is(symbol::NAME) {
            mutator.name = word.text(errors);
        } else if word.is(symbol::SERVER) {
            mutator.server = word.flag(errors);
        } else {
            mutator.privileged = word.paths(errors);
        }
    }
    Some(mutator)
}
