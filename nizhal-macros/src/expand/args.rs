//! A mutator's arguments: the type with its derives.

use crate::stages::{expand_with, strip};
use nizhal_syntax::ast::parse_args;
use nizhal_syntax::check::check_args;
use nizhal_syntax::model::{Args, Derives, lower_args};
use proc_macro2::TokenStream;
use quote::quote;
use syn::Item;

pub(crate) fn expand_args(attr: TokenStream, item: TokenStream) -> TokenStream {
    let parse = |errors: &_| parse_args(attr, item.clone(), errors).ok_or_else(|| strip(item));
    expand_with(parse, |ast, _| lower_args(ast), check_args, expand, expand_type)
}

fn expand(args: &Args) -> TokenStream {
    let (item, ident) = (expand_type(args), &args.ident);
    quote!(#item impl ::nizhal::Args for #ident {})
}

/// The type with its derives.
fn expand_type(args: &Args) -> TokenStream {
    let (item, derives) = (&args.item, expand_derives(&args.derives, args.rename_all));
    // serde renames the variants of an enum, and their fields only when told.
    let fields = matches!(item, Item::Enum(_)).then(|| quote!(#[serde(rename_all_fields = "camelCase")]));
    quote!(#derives #fields #item)
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
