//! A mutator: the function as it is, and a type of the same name that describes and calls it.

use crate::stages::{expand_with, strip};
use nizhal_syntax::ast::parse_mutator;
use nizhal_syntax::check::check_mutator;
use nizhal_syntax::model::{Function, Mutator, lower_mutator};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{ReturnType, Stmt, parse_quote, spanned::Spanned};

pub(crate) fn expand_mutator(attr: TokenStream, item: TokenStream) -> TokenStream {
    let parse = |errors: &_| parse_mutator(attr, item.clone(), errors).ok_or_else(|| strip(item));
    expand_with(parse, lower_mutator, check_mutator, expand, expand_fallback)
}

fn expand(mutator: &Mutator) -> TokenStream {
    let Mutator { function, actor, privileged, replay, .. } = mutator;
    let (ident, vis, cfgs) = (function.ident(), function.vis(), function.cfgs());
    let Function { item, name, doc, args } = function;
    let privileged =
        (!privileged.is_empty()).then(|| quote!(privileged: &[#(<#privileged as ::nizhal::Table>::DESC.name),*],));
    let server = mutator.server.then(|| quote!(server: true,));
    let doc = (!doc.is_empty()).then(|| quote!(doc: #doc,));
    let replay_desc = replay.as_ref().map(|replay| {
        let rule = replay.rule.wire();
        quote!(replay: ::core::option::Option::Some(#rule),)
    });
    let bucket = replay.as_ref().map(|replay| {
        let (value, named_args) = (&replay.value, function.args_ident());
        // At the value, where rustc says what cannot name a bucket.
        let value = quote_spanned!(value.span()=> ::nizhal::__private::bucket_value(&(#value)));
        quote!(bucket: |#named_args| #value,)
    });
    let span = match &item.sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => ident.span(),
    };
    // At the return type, where rustc then says what it should have been.
    let call = quote_spanned!(span=> ::nizhal::__private::Box::pin(#ident(ctx, args)));
    quote! {
        #item
        #(#cfgs)*
        ::nizhal::__mutator! {
            mutator: #vis #ident,
            actor: #actor,
            args: #args,
            desc: { name: #name, #privileged #server #replay_desc #doc },
            #bucket
            call: |ctx, args| #call,
        }
    }
}

/// The function as it is, and a mutator that cannot be called, so that `mutators![…]` finds one.
fn expand_fallback(mutator: &Mutator) -> TokenStream {
    let function = &mutator.function;
    let (vis, ident, cfgs) = (function.vis(), function.ident(), function.cfgs());
    let mut item = function.item.clone();
    // What the body does is right in a mutator as it should be.
    item.sig.asyncness.get_or_insert_default();
    if matches!(item.sig.output, ReturnType::Default) {
        item.sig.output = parse_quote!(-> ::nizhal::Result<::nizhal::Applied>);
        if !matches!(item.block.stmts.last(), Some(Stmt::Expr(_, None))) {
            item.block
                .stmts
                .push(Stmt::Expr(parse_quote!(::core::result::Result::Ok(::nizhal::Applied::done())), None));
        }
    }
    // Inside an `impl` no type can be declared.
    if item.sig.receiver().is_some() {
        return quote!(#item);
    }
    quote! {
        #item
        #(#cfgs)*
        ::nizhal::__broken_mutator!(#vis #ident);
    }
}
