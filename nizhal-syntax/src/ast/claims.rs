//! `#[nizhal::claims]` as written.

use super::attr::keyword;
use super::word::parse_no_words;
use crate::{Code, Errors};
use proc_macro2::TokenStream;
use syn::{Item, ItemStruct};

/// A claims type.
#[derive(Debug)]
pub struct Claims {
    /// The struct.
    pub item: ItemStruct,
}

/// Reads the attribute and its item; `None` when the item is not a struct.
pub fn parse_claims(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<Claims> {
    parse_no_words(attr, "`#[nizhal::claims]`", errors);
    match syn::parse2::<Item>(item) {
        Ok(Item::Struct(item)) => return Some(Claims { item }),
        Ok(other) => {
            errors.push_span(
                Code::ClaimsKind,
                keyword(&other),
                "claims are a struct",
                "write `struct Claims { user_id: String, owner_id: String, … }`",
            );
        }
        Err(error) => errors.syntax(error),
    }
    None
}
