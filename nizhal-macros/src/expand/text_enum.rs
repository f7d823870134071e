//! An enum of texts: the enum with its derives, and one `__text_enum!` call.

use super::args::expand_derives;
use crate::report::{report, strip};
use nizhal_syntax::Errors;
use nizhal_syntax::ast::parse_text_enum;
use nizhal_syntax::check::check_text_enum;
use nizhal_syntax::model::lower_text_enum;
use proc_macro2::TokenStream;
use quote::quote;

pub(crate) fn expand_text_enum(attr: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let Some(ast) = parse_text_enum(attr, item.clone(), &errors) else { return report(errors, strip(item)) };
    let text_enum = lower_text_enum(ast);
    check_text_enum(&text_enum, &errors);
    let (item, ident) = (&text_enum.item, &text_enum.item.ident);
    if errors.count() > 0 {
        return report(errors, quote!(#item));
    }
    let derives = expand_derives(&text_enum.derives, false);
    let variants = text_enum.variants.iter().map(|(variant, text)| quote!(#variant #text));
    report(errors, quote!(#derives #item ::nizhal::__text_enum!(#ident { #(#variants),* });))
}
