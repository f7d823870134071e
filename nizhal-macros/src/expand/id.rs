//! An id: the struct with its derives, and one `__id!` call.

use super::args::expand_derives;
use crate::report::{report, strip};
use nizhal_syntax::Errors;
use nizhal_syntax::ast::parse_id;
use nizhal_syntax::check::check_id;
use nizhal_syntax::model::lower_id;
use proc_macro2::TokenStream;
use quote::quote;

pub(crate) fn expand_id(attr: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let Some(ast) = parse_id(attr, item.clone(), &errors) else { return report(errors, strip(item)) };
    let id = lower_id(ast, &errors);
    check_id(&id, &errors);
    let (item, ident, inner) = (&id.item, &id.item.ident, &id.inner);
    if errors.count() > 0 {
        return report(errors, quote!(#item));
    }
    let derives = expand_derives(&id.derives, false);
    let expanded = quote! {
        #derives
        #[serde(transparent)]
        #[schemars(transparent)]
        #item
        ::nizhal::__id!(#ident #inner);
    };
    report(errors, expanded)
}
