//! A mutator's arguments: what to derive.

use crate::ast::{self, attr};
use proc_macro2::Ident;
use syn::{Attribute, Item};

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

/// Traits to derive, those left out that the user derives already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derives(Vec<&'static str>);

impl Derives {
    /// Of `wanted`, those that are not derived yet.
    pub fn of(attrs: &[Attribute], wanted: &[&'static str]) -> Self {
        let derived = attr::derived(attrs);
        Self(wanted.iter().copied().filter(|name| !derived.iter().any(|other| other == name)).collect())
    }

    /// The traits' names.
    pub fn names(&self) -> &[&'static str] {
        &self.0
    }
}

/// Sees what to derive.
pub fn lower_args(args: ast::Args) -> Args {
    Args {
        derives: Derives::of(&args.attrs, &["Clone", "Debug", "Deserialize", "JsonSchema"]),
        rename_all: rename_all(&args.attrs),
        ident: args.ident,
        item: args.item,
    }
}

/// Whether the user left the naming of fields to us.
pub(super) fn rename_all(attrs: &[Attribute]) -> bool {
    !attr::serde_words(attrs).iter().any(|word| word == "rename_all")
}
