//! `#[nizhal::claims]` as written.

use super::attr::keyword;
use super::word::{Said, UnknownWords, Value, parse_words};
use crate::{Code, Errors, symbol};
use darling::FromMeta;
use proc_macro2::{Ident, TokenStream};
use syn::{Item, ItemStruct, LitStr, Meta};

/// A claims type.
#[derive(Debug)]
pub struct Claims {
    /// The struct.
    pub item: ItemStruct,
    /// `users = "…"`
    pub users: Option<Users>,
}

/// Among whom a user's id names one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// Among all tenants.
    Global,
    /// In one tenant.
    PerOwner,
}

#[derive(FromMeta)]
struct ClaimsWords {
    #[darling(multiple)]
    users: Said<Users>,
    #[darling(flatten)]
    unknown: UnknownWords,
}

impl Value for Users {
    fn read(word: &Ident, meta: &Meta) -> syn::Result<Self> {
        let text = LitStr::read(word, meta)?;
        match text.value().as_str() {
            "global" => Ok(Self::Global),
            "per_owner" => Ok(Self::PerOwner),
            other => {
                let help = "write \"global\" (an id names one person among all tenants) or \"per_owner\" (in its tenant alone)";
                Err(Code::UnknownUsers.error_at(text, format!("users are not \"{other}\""), help))
            }
        }
    }
}

/// Reads the attribute and its item; `None` when the item is not a struct.
pub fn parse_claims(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<Claims> {
    let words: ClaimsWords = parse_words(attr, errors)?;
    errors.unknown(words.unknown, "`#[nizhal::claims]`", symbol::CLAIMS_WORDS);
    let users = errors.value(words.users);
    match syn::parse2::<Item>(item) {
        Ok(Item::Struct(item)) => return Some(Claims { item, users }),
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
