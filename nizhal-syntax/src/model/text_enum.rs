//! An enum of texts: the text of each variant.

use super::Derives;
use crate::{ast, name};
use proc_macro2::Ident;
use syn::{ItemEnum, LitStr};

/// An enum whose variants are texts.
#[derive(Debug)]
pub struct TextEnum {
    /// The enum, without `#[nizhal(…)]` attributes.
    pub item: ItemEnum,
    /// The variants with their texts.
    pub variants: Vec<(Ident, LitStr)>,
    /// What is not derived yet.
    pub derives: Derives,
}

/// Gives each variant its text: its name in snake case, or what `rename` says.
pub fn lower_text_enum(text_enum: ast::TextEnum) -> TextEnum {
    let text = |(ident, rename): (Ident, Option<LitStr>)| {
        let text = rename.unwrap_or_else(|| LitStr::new(&name::snake(&name::plain(&ident)), ident.span()));
        (ident, text)
    };
    TextEnum {
        variants: text_enum.variants.into_iter().map(text).collect(),
        derives: Derives::of(&text_enum.item.attrs, &["Clone", "Copy", "Debug", "PartialEq", "Eq", "Hash"]),
        item: text_enum.item,
    }
}
