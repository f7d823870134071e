//! What stands around an item: its documentation, its derives, its keyword.

use crate::{Code, Errors};
use proc_macro2::{Span, TokenStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Item, Lit, Meta, Path, Token};

/// The text of the doc comments, lines joined, without the space after `///`.
pub fn doc(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter_map(|attr| match &attr.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    lines.join("\n").trim().to_owned()
}

/// The traits that `#[derive(…)]` already names, by their last segment.
pub fn derived(attrs: &[Attribute]) -> Vec<String> {
    let mut traits = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
        let paths = attr.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated).unwrap_or_default();
        traits.extend(paths.iter().filter_map(|path| Some(path.segments.last()?.ident.to_string())));
    }
    traits
}

/// The words that the container's `#[serde(…)]` already says.
pub fn serde_words(attrs: &[Attribute]) -> Vec<String> {
    let mut words = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        let metas = attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap_or_default();
        words.extend(metas.iter().filter_map(|meta| Some(meta.path().get_ident()?.to_string())));
    }
    words
}

/// Where an item says what it is: its keyword.
pub fn keyword(item: &Item) -> Span {
    match item {
        Item::Const(item) => item.const_token.span,
        Item::Enum(item) => item.enum_token.span,
        Item::Fn(item) => item.sig.fn_token.span,
        Item::Impl(item) => item.impl_token.span,
        Item::Mod(item) => item.mod_token.span,
        Item::Struct(item) => item.struct_token.span,
        Item::Trait(item) => item.trait_token.span,
        Item::Type(item) => item.type_token.span,
        Item::Union(item) => item.union_token.span,
        other => other.span(),
    }
}

/// The item as a function; `None`, with the mistake told, when it is anything else.
pub(super) fn parse_function(item: TokenStream, what: &str, help: &str, errors: &Errors) -> Option<syn::ItemFn> {
    match syn::parse2(item.clone()) {
        Ok(function) => Some(function),
        Err(error) => {
            match syn::parse2::<Item>(item) {
                Ok(other) => errors.push_span(Code::FunctionKind, keyword(&other), what, help),
                Err(_) => errors.syntax(error),
            }
            None
        }
    }
}
