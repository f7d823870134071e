//! `#[nizhal::job]` as written.

use super::attr::{parse_function, parse_words};
use crate::{Errors, symbol};
use proc_macro2::TokenStream;
use syn::{ItemFn, LitInt, LitStr};

/// A job.
#[derive(Debug)]
pub struct Job {
    /// The function.
    pub item: ItemFn,
    /// `name = "…"`
    pub name: Option<LitStr>,
    /// `attempts = …`
    pub attempts: Option<LitInt>,
}

/// Reads the attribute and its item; `None` when the item is not a function.
pub fn parse_job(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<Job> {
    let words = parse_words(attr, "`#[nizhal::job]`", symbol::JOB_WORDS, errors);
    let item = parse_function(
        item,
        "a job is a function",
        "write `async fn name(ctx: &mut JobCtx, args: Args) -> Result<()> { … }`",
        errors,
    )?;
    let mut job = Job { item, name: None, attempts: None };
    for word in words {
        if word.is(symbol::NAME) {
            job.name = word.text(errors);
        } else {
            job.attempts = word.number(errors);
        }
    }
    Some(job)
}
