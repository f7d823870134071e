//! Judges a mutator's arguments.

use crate::model::Args;
use crate::{Code, Errors};
use syn::{Fields, Generics, Item};

/// Reports what is wrong with a mutator's arguments.
pub fn check_args(args: &Args, errors: &Errors) {
    let generics: Option<&Generics> = match &args.item {
        Item::Struct(item) => Some(&item.generics),
        Item::Enum(item) => Some(&item.generics),
        _ => None,
    };
    if let Some(generics) = generics.filter(|generics| !generics.params.is_empty()) {
        errors.push(
            Code::ArgsGeneric,
            generics,
            "arguments cannot be generic: they are read from JSON",
            "write the types out",
        );
    }
    if let Item::Struct(item) = &args.item
        && let Fields::Unnamed(fields) = &item.fields
        && fields.unnamed.len() != 1
    {
        errors.push(
            Code::UnnamedArgs,
            &item.ident,
            "arguments have names on the wire",
            "write `struct Name { field: Type, … }`",
        );
    }
}
