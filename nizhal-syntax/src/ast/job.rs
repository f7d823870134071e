//! `#[nizhal::job]` as written.

use super::attr::parse_function;
use super::word::{Said, UnknownWords, parse_words};
use crate::{Errors, symbol};
use darling::FromMeta;
use proc_macro2::TokenStream;
use syn::{ItemFn, LitInt, LitStr, Path};

/// A job.
#[derive(Debug)]
pub struct Job {
    /// The function.
    pub item: ItemFn,
    /// `name = "…"`
    pub name: Option<LitStr>,
    /// `attempts = …`
    pub attempts: Option<LitInt>,
    /// `privileged(…)`
    pub privileged: Vec<Path>,
}

#[derive(FromMeta)]
struct JobWords {
    #[darling(multiple)]
    name: Said<LitStr>,
    #[darling(multiple)]
    attempts: Said<LitInt>,
    #[darling(multiple)]
    privileged: Said<Vec<Path>>,
    #[darling(flatten)]
    unknown: UnknownWords,
}

/// Reads the attribute and its item; `None` when the item is not a function.
pub fn parse_job(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<Job> {
    let words: JobWords = parse_words(attr, errors)?;
    errors.unknown(words.unknown, "`#[nizhal::job]`", symbol::JOB_WORDS);
    let item = parse_function(
        item,
        "a job is a function",
        "write `async fn name(ctx: &mut JobCtx, args: Args) -> Result<()> { … }`",
        errors,
    )?;
    let privileged = errors.value(words.privileged).unwrap_or_default();
    Some(Job { item, name: errors.value(words.name), attempts: errors.value(words.attempts), privileged })
}
