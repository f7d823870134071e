//! A claims type: the struct with its derives, and the two accessors.

use crate::expand::args::expand_derives;
use crate::report::{report, strip};
use nizhal_syntax::Errors;
use nizhal_syntax::ast::parse_claims;
use nizhal_syntax::check::check_claims;
use nizhal_syntax::model::lower_claims;
use proc_macro2::TokenStream;
use quote::quote;

pub(crate) fn expand_claims(attr: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let Some(ast) = parse_claims(attr, item.clone(), &errors) else { return report(errors, strip(item)) };
    let claims = lower_claims(ast, &errors);
    check_claims(&claims, &errors);
    let (item, ident) = (&claims.item, &claims.item.ident);
    let derives = expand_derives(&claims.derives, claims.rename_all);
    let field = |name: TokenStream| if errors.count() == 0 { quote!(&self.#name) } else { quote!("") };
    let (user_id, owner_id) = (field(quote!(user_id)), field(quote!(owner_id)));
    let generic = !item.generics.params.is_empty();
    let accessors = (!generic).then(|| {
        quote! {
            impl ::nizhal::Actor for #ident {
                fn user_id(&self) -> &::core::primitive::str { #user_id }
                fn owner_id(&self) -> &::core::primitive::str { #owner_id }
            }
        }
    });
    report(errors, quote!(#derives #item #accessors))
}
