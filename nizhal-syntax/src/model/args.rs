//! The arguments of a mutator or a job: what to derive.

use super::derive::{Derives, rename_all};
use crate::ast;
use proc_macro2::Ident;
use syn::Item;

/// A mutator's arguments.
#[derive(Debug)]
pub struct Args {
    /// The struct or enum.
    pub item: Item,
    /// Its name.
    pub ident: Ident,
    /// What is not derived yet.
    pub derives: Derives,
    /// Whether fields are renamed to camelCase.
    pub rename_all: bool,
}

/// Sees what to derive.
pub fn lower_args(args: ast::Args) -> Args {
    Args {
        derives: Derives::of(&args.attrs, &["Clone", "Debug", "Serialize", "Deserialize", "JsonSchema"]),
        rename_all: rename_all(&args.attrs),
        ident: args.ident,
        item: args.item,
    }
}
