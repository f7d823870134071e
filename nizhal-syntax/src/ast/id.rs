//! `#[nizhal::id]` as written.

use super::attr::keyword;
use super::word::parse_no_words;
use crate::{Code, Errors};
use proc_macro2::TokenStream;
use syn::{Item, ItemStruct};

pub(super) const SHAPE: &str = "write `struct CustomerId(String);`";

/// An id.
#[derive(Debug)]
pub struct Id {
    /// The struct.
    pub item: ItemStruct,
}

/// Reads the attribute and its item; `None` when the item is not a struct.
pub fn parse_id(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<Id> {
    parse_no_words(attr, "`#[nizhal::id]`", errors);
    match syn::parse2::<Item>(item) {
        Ok(Item::Struct(item)) => return Some(Id { item }),
        Ok(other) => errors.push_span(Code::IdKind, keyword(&other), "an id is a struct around one value", SHAPE),
        Err(error) => errors.syntax(error),
    }
    None
}
