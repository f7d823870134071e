//! `#[nizhal::args]` as written.

use super::attr::keyword;
use super::word::parse_no_words;
use crate::{Code, Errors};
use proc_macro2::{Ident, TokenStream};
use syn::{Attribute, Item};

/// A mutator's arguments.
#[derive(Debug)]
pub struct Args {
    /// The struct or enum.
    pub item: Item,
    /// Its name.
    pub ident: Ident,
    /// Its attributes.
    pub attrs: Vec<Attribute>,
}

/// Reads the attribute and its item; `None` when the item is neither a struct nor an enum.
pub fn parse_args(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<Args> {
    parse_no_words(attr, "`#[nizhal::args]`", errors);
    match syn::parse2::<Item>(item) {
        Ok(Item::Struct(item)) => {
            return Some(Args { ident: item.ident.clone(), attrs: item.attrs.clone(), item: Item::Struct(item) });
        }
        Ok(Item::Enum(item)) => {
            return Some(Args { ident: item.ident.clone(), attrs: item.attrs.clone(), item: Item::Enum(item) });
        }
        Ok(other) => errors.push_span(
            Code::ArgsKind,
            keyword(&other),
            "arguments are a struct or an enum",
            "write `struct Name { field: Type, … }`",
        ),
        Err(error) => errors.syntax(error),
    }
    None
}
