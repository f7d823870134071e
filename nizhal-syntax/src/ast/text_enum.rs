//! `#[nizhal::text_enum]` as written.

use super::attr::keyword;
use super::word::{Said, UnknownWords, parse_no_words, take_words};
use crate::{Code, Errors, symbol};
use darling::FromMeta;
use proc_macro2::{Ident, TokenStream};
use syn::{Item, ItemEnum, LitStr};

/// An enum of texts.
#[derive(Debug)]
pub struct TextEnum {
    /// The enum, without `#[nizhal(…)]` attributes.
    pub item: ItemEnum,
    /// The variants with their `rename = "…"`, in order.
    pub variants: Vec<(Ident, Option<LitStr>)>,
}

#[derive(FromMeta)]
struct VariantWords {
    #[darling(multiple)]
    rename: Said<LitStr>,
    #[darling(flatten)]
    unknown: UnknownWords,
}

/// Reads the attribute and its item; `None` when the item is not an enum.
pub fn parse_text_enum(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<TextEnum> {
    parse_no_words(attr, "`#[nizhal::text_enum]`", errors);
    let mut item = match syn::parse2::<Item>(item) {
        Ok(Item::Enum(item)) => item,
        Ok(other) => {
            errors.push_span(
                Code::TextEnumKind,
                keyword(&other),
                "an enum of texts is an enum",
                "write `enum Status { Open, Closed }`",
            );
            return None;
        }
        Err(error) => {
            errors.syntax(error);
            return None;
        }
    };
    let mut variants = Vec::new();
    for variant in &mut item.variants {
        let words: VariantWords = take_words(&mut variant.attrs, symbol::RENAME, errors)?;
        errors.unknown(words.unknown, "`#[nizhal(…)]` on a variant", symbol::VARIANT_WORDS);
        variants.push((variant.ident.clone(), errors.value(words.rename)));
    }
    Some(TextEnum { item, variants })
}
