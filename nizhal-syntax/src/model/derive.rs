//! What to derive beside what the user derives already.

use crate::ast::attr;
use syn::Attribute;

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

/// Whether the user left the naming of fields to us.
pub(super) fn rename_all(attrs: &[Attribute]) -> bool {
    !attr::serde_words(attrs).iter().any(|word| word == "rename_all")
}
