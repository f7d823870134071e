//! A mutator: the function as it is, and a type of the same name that describes and calls it.

use crate::report::{report, strip};
use nizhal_syntax::Errors;
use nizhal_syntax::ast::parse_mutator;
use nizhal_syntax::check::check_mutator;
use nizhal_syntax::model::{Mutator, lower_mutator};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{ReturnType, spanned::Spanned};

pub(crate) fn expand_mutator(attr: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let Some(ast) = parse_mutator(attr, item.clone(), &errors) else { return report(errors, strip(item)) };
    let parsed = errors.count();
    let mutator = lower_mutator(ast, &errors);
    check_mutator(&mutator, &errors);
    let expanded = match (&mutator.actor, &mutator.args) {
        (Some(actor), Some(args)) if errors.count() == parsed => expand(&mutator, actor, args),
        _ => expand_fallback(&mutator),
    };
    report(errors, expanded)
}

fn expand(mutator: &Mutator, actor: &impl ToTokens, args: &impl ToTokens) -> TokenStream {
    let (ident, cfgs) = (mutator.ident(), mutator.cfgs());
    let Mutator { item, name, doc, privileged, server, .. } = mutator;
    let tag = expand_tag(mutator);
    let span = match &item.sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => ident.span(),
    };
    // At the return type, where rustc then says what it should have been.
    let call = quote_spanned!(span=> ::nizhal::__private::Box::pin(#ident(ctx, args)));
    quote! {
        #item
        #tag
        #(#cfgs)*
        impl ::nizhal::Mutator for #ident {
            type Actor = #actor;
            type Args = #args;
            const DESC: ::nizhal::MutatorDesc = ::nizhal::MutatorDesc {
                name: #name,
                privileged: &[#(<#privileged as ::nizhal::Table>::DESC.name),*],
                server: #server,
                doc: #doc,
            };
            fn run(ctx: &mut ::nizhal::Ctx<#actor>, args: #args) -> ::nizhal::__private::Running<'_> {
                #call
            }
        }
    }
}

/// The type beside the function: braces keep it out of the namespace of values, where the function is.
fn expand_tag(mutator: &Mutator) -> TokenStream {
    let (ident, vis, cfgs) = (mutator.ident(), mutator.vis(), mutator.cfgs());
    quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(non_camel_case_types, dead_code)]
        #vis struct #ident {}
    }
}

/// The function as it is, and a mutator that cannot be called, so that `mutators![…]` finds one.
fn expand_fallback(mutator: &Mutator) -> TokenStream {
    let (item, ident, cfgs) = (&mutator.item, mutator.ident(), mutator.cfgs());
    // Inside an `impl` no type can be declared.
    if item.sig.receiver().is_some() {
        return quote!(#item);
    }
    let tag = expand_tag(mutator);
    quote! {
        #item
        #tag
        #(#cfgs)*
        ::nizhal::__broken_mutator!(#ident);
    }
}
