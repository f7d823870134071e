//! An id: the struct with its derives, and one `__id!` call.

use super::args::expand_derives;
use crate::stages::{expand_with, strip};
use nizhal_syntax::ast::parse_id;
use nizhal_syntax::check::check_id;
use nizhal_syntax::model::{Id, lower_id};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

pub(crate) fn expand_id(attr: TokenStream, item: TokenStream) -> TokenStream {
    let parse = |errors: &_| parse_id(attr, item.clone(), errors).ok_or_else(|| strip(item));
    expand_with(parse, lower_id, check_id, expand, |id| id.item.to_token_stream())
}

fn expand(id: &Id) -> TokenStream {
    let (item, ident, inner) = (&id.item, &id.item.ident, &id.inner);
    let derives = expand_derives(&id.derives, false);
    quote! {
        #derives
        #[serde(transparent)]
        #[schemars(transparent)]
        #item
        ::nizhal::__id!(#ident #inner);
    }
}
