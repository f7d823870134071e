//! Judges a column whose values are references to blobs, and one that would hide them.

use super::column::STRUCTURES;
use crate::model::{TableColumn, ty};
use crate::{Code, Errors};
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::Type;

/// A blob column that is more than a column, and a reference where the database does not find it.
pub(super) fn check_blob(column: &TableColumn, errors: &Errors) {
    let ty = ty::without_option(&column.ty);
    if is_inside(ty) {
        let help = format!(
            "give each blob a column of its own, `{}: Option<BlobRef>`; where there are several, a row each, in a table that has this row's id",
            column.field
        );
        errors.push(Code::BlobInside, ty, "a `BlobRef` inside of another type is hidden from the database", help);
    }
    if ty::name(ty).as_deref() != Some(ty::BLOB_TYPE) {
        return;
    }
    if let Some(key) = &column.primary_key {
        let help = "give the rows an `id` of their own";
        errors.push(Code::BlobKey, key, "a `BlobRef` cannot be part of the primary key", help);
    }
    if let Some(unique) = &column.unique {
        let help = "take `unique` away: the same bytes are one blob, and any row may name it";
        errors.push(Code::BlobUnique, unique, "a `BlobRef` cannot be unique", help);
    }
    if let Some(generated) = &column.generated {
        let help = "take `generated` away: a mutator writes the reference that the device sends";
        errors.push(Code::BlobGenerated, generated, "a `BlobRef` cannot be generated", help);
    }
}

/// Whether a type that holds several values, or JSON, holds references to blobs. Types of the app's own are judged when the server
/// starts, by their JSON Schema.
pub(super) fn is_inside(ty: &Type) -> bool {
    let holds = matches!(ty, Type::Tuple(_) | Type::Array(_) | Type::Slice(_))
        || ty::name(ty)
            .is_some_and(|name| matches!(name.as_str(), "Vec" | "Json") || STRUCTURES.contains(&name.as_str()));
    holds && names_blob(ty.to_token_stream())
}

fn names_blob(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == ty::BLOB_TYPE,
        TokenTree::Group(group) => names_blob(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}
