//! A claims type: the struct with its derives, and the two accessors.

use super::args::expand_derives;
use crate::stages::{expand_with, strip};
use nizhal_syntax::ast::parse_claims;
use nizhal_syntax::check::check_claims;
use nizhal_syntax::model::{Claims, lower_claims};
use proc_macro2::TokenStream;
use quote::quote;

pub(crate) fn expand_claims(attr: TokenStream, item: TokenStream) -> TokenStream {
    let parse = |errors: &_| parse_claims(attr, item.clone(), errors).ok_or_else(|| strip(item));
    expand_with(parse, lower_claims, check_claims, expand, expand_fallback)
}

fn expand(claims: &Claims) -> TokenStream {
    let (item, actor) = (expand_type(claims), expand_actor(claims, &quote!(&self.user_id), &quote!(&self.owner_id)));
    quote!(#item #actor)
}

/// The type, and an actor without names, so that rules and mutators find one.
fn expand_fallback(claims: &Claims) -> TokenStream {
    let item = expand_type(claims);
    // The accessors of a generic type would need its parameters.
    let actor = claims.item.generics.params.is_empty().then(|| expand_actor(claims, &quote!(""), &quote!("")));
    quote!(#item #actor)
}

/// The struct with its derives.
fn expand_type(claims: &Claims) -> TokenStream {
    let (item, derives) = (&claims.item, expand_derives(&claims.derives, claims.rename_all));
    quote!(#derives #item)
}

fn expand_actor(claims: &Claims, user_id: &TokenStream, owner_id: &TokenStream) -> TokenStream {
    let ident = &claims.item.ident;
    let users = claims.users_per_owner.then(|| {
        quote!(
            const USERS_ARE_GLOBAL: ::core::primitive::bool = false;
        )
    });
    quote! {
        impl ::nizhal::Actor for #ident {
            #users
            fn user_id(&self) -> &::core::primitive::str { #user_id }
            fn owner_id(&self) -> &::core::primitive::str { #owner_id }
        }
    }
}
