//! `#[nizhal::main]` as written.

use crate::{Code, Errors};
use proc_macro2::TokenStream;
use syn::ItemFn;

/// An app's `main`.
#[derive(Debug)]
pub struct Main {
    /// The function.
    pub item: ItemFn,
}

/// Reads the attribute and its item; `None` when the item is not a function.
pub fn parse_main(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<Main> {
    if !attr.is_empty() {
        errors.push(Code::MainTakesNothing, attr, "`#[nizhal::main]` takes nothing", "write `#[nizhal::main]` alone");
    }
    syn::parse2(item).map(|item| Main { item }).map_err(|error| errors.syntax(error)).ok()
}
