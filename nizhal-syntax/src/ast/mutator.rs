//! `#[mutator]` as written.

use super::attr::parse_function;
use super::word::{Said, UnknownWords, parse_words};
use crate::{Errors, symbol};
use darling::FromMeta;
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

#[derive(FromMeta)]
struct MutatorWords {
    #[darling(multiple)]
    name: Said<LitStr>,
    #[darling(multiple)]
    privileged: Said<Vec<Path>>,
    #[darling(multiple)]
    server: Said<()>,
    #[darling(flatten)]
    unknown: UnknownWords,
}

/// Reads the attribute and its item; `None` when the item is not a function.
pub fn parse_mutator(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<Mutator> {
    let words: MutatorWords = parse_words(attr, errors)?;
    errors.unknown(words.unknown, "`#[mutator]`", symbol::MUTATOR_WORDS);
    let item = parse_function(
        item,
        "a mutator is a function",
        "write `async fn name(ctx: &mut Ctx<Claims>, args: Args) -> Result<Applied> { … }`",
        errors,
    )?;
    let privileged = errors.value(words.privileged).unwrap_or_default();
    Some(Mutator { item, name: errors.value(words.name), privileged, server: errors.flag(words.server) })
}
