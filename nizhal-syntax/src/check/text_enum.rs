//! Judges an enum of texts.

use crate::model::TextEnum;
use crate::{Code, Errors};
use std::collections::HashMap;
use syn::Fields;

/// Reports what is wrong with an enum of texts.
pub fn check_text_enum(text_enum: &TextEnum, errors: &Errors) {
    let item = &text_enum.item;
    if !item.generics.params.is_empty() {
        errors.push(Code::TextEnumGeneric, &item.generics, "an enum of texts cannot be generic", "write the types out");
    }
    if item.variants.is_empty() {
        errors.push(
            Code::TextEnumEmpty,
            &item.ident,
            "an enum of texts has at least one variant",
            "write `enum Status { Open, Closed }`",
        );
    }
    for variant in &item.variants {
        if !matches!(variant.fields, Fields::Unit) {
            let help = "write the variant's name alone; a column that holds more is a `Json<T>`";
            errors.push(Code::VariantHolds, &variant.fields, "a text holds nothing beside itself", help);
        }
        if let Some((_, number)) = &variant.discriminant {
            errors.push(Code::VariantNumber, number, "a variant is a text, not a number", "take the number away");
        }
        if let Some(cfg) = variant.attrs.iter().find(|attr| attr.path().is_ident("cfg")) {
            let what = "a variant cannot be conditional: every build must see the same texts";
            errors.push(Code::VariantConditional, cfg, what, "take `#[cfg(…)]` away");
        }
    }
    let mut seen = HashMap::new();
    for (ident, text) in &text_enum.variants {
        if text.value().trim().is_empty() {
            errors.push(
                Code::VariantEmpty,
                text,
                "a variant's text cannot be empty",
                "write a text, or take `rename` away",
            );
        }
        if let Some(first) = seen.insert(text.value(), ident) {
            let what = format!("\"{}\" is the text of `{first}` already", text.value());
            errors.push(
                Code::VariantTwice,
                text,
                what,
                "give one of them another text with `#[nizhal(rename = \"…\")]`",
            );
        }
    }
}
