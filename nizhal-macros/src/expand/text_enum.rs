//! An enum of texts: the enum with its derives, and one `__text_enum!` call.

use super::args::expand_derives;
use crate::stages::{expand_with, strip};
use nizhal_syntax::ast::parse_text_enum;
use nizhal_syntax::check::check_text_enum;
use nizhal_syntax::model::{TextEnum, lower_text_enum};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

pub(crate) fn expand_text_enum(attr: TokenStream, item: TokenStream) -> TokenStream {
    let parse = |errors: &_| parse_text_enum(attr, item.clone(), errors).ok_or_else(|| strip(item));
    let fallback = |text_enum: &TextEnum| text_enum.item.to_token_stream();
    expand_with(parse, |ast, _| lower_text_enum(ast), check_text_enum, expand, fallback)
}

fn expand(text_enum: &TextEnum) -> TokenStream {
    let (item, ident) = (&text_enum.item, &text_enum.item.ident);
    let derives = expand_derives(&text_enum.derives, false);
    let variants = text_enum.variants.iter().map(|(variant, text)| quote!(#variant #text));
    quote!(#derives #item ::nizhal::__text_enum!(#ident { #(#variants),* });)
}
