//! A mutator's arguments: the type with its derives.

use crate::report::{report, strip};
use nizhal_syntax::Errors;
use nizhal_syntax::ast::parse_args;
use nizhal_syntax::check::check_args;
use nizhal_syntax::model::{Derives, lower_args};
use proc_macro2::TokenStream;
use quote::quote;

pub(crate) fn expand_args(attr: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let Some(ast) = parse_args(attr, item.clone(), &errors) else { return report(errors, strip(item)) };
    let args = lower_args(ast);
    check_args(&args, &errors);
    let (item, derives) = (&args.item, expand_derives(&args.derives, args.rename_all));
    // serde renames the variants of an enum, and their fields only when told.
    let fields = matches!(args.item, syn::Item::Enum(_)).then(|| quote!(#[serde(rename_all_fields = "camelCase")]));
    let ident = &args.ident;
    let marked = (errors.count() == 0).then(|| quote!(impl ::nizhal::Args for #ident {}));
    report(errors, quote!(#derives #fields #item #marked))
}

/// The derives, with the paths through which their output finds its crates.
pub(super) fn expand_derives(derives: &Derives, rename_all: bool) -> TokenStream {
    let paths = derives.names().iter().map(|name| match *name {
        "Clone" => quote!(::core::clone::Clone),
        "Copy" => quote!(::core::marker::Copy),
        "Debug" => quote!(::core::fmt::Debug),
        "PartialEq" => quote!(::core::cmp::PartialEq),
        "Eq" => quote!(::core::cmp::Eq),
        "PartialOrd" => quote!(::core::cmp::PartialOrd),
        "Ord" => quote!(::core::cmp::Ord),
        "Hash" => quote!(::core::hash::Hash),
        "Serialize" => quote!(::nizhal::__private::serde::Serialize),
        "Deserialize" => quote!(::nizhal::__private::serde::Deserialize),
        _ => quote!(::nizhal::__private::schemars::JsonSchema),
    });
    let names = derives.names();
    let serde = names.iter().any(|name| name.ends_with("serialize") || *name == "Serialize");
    let serde = serde.then(|| quote!(#[serde(crate = "::nizhal::__private::serde")]));
    let schemars = names.contains(&"JsonSchema").then(|| quote!(#[schemars(crate = "::nizhal::__private::schemars")]));
    let rename = rename_all.then(|| quote!(#[serde(rename_all = "camelCase")]));
    quote!(#[derive(#(#paths),*)] #serde #schemars #rename)
}
