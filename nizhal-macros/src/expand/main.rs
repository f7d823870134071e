//! `#[nizhal::main]`: a sync `main` that runs the async one.

use crate::stages::expand_with;
use nizhal_syntax::ast::{Main, parse_main};
use nizhal_syntax::check::check_main;
use proc_macro2::TokenStream;
use quote::quote;
use syn::ItemFn;

pub(crate) fn expand_main(attr: TokenStream, item: TokenStream) -> TokenStream {
    let parse = |errors: &_| parse_main(attr, item, errors).ok_or_else(empty);
    expand_with(parse, |main, _| main, check_main, expand, |_| empty())
}

fn expand(main: &Main) -> TokenStream {
    let ItemFn { attrs, vis, sig, block, .. } = &main.item;
    let (ident, output) = (&sig.ident, &sig.output);
    // Kept as a function, not as an async block: `?` then knows the error type.
    quote! {
        #(#attrs)*
        #vis fn #ident() #output {
            async fn body() #output #block
            ::nizhal::__private_server::block_on(body())
        }
    }
}

/// A `main`, so that rustc does not miss one.
#[rustfmt::skip]
fn empty() -> TokenStream {
    quote!(fn main() {})
}
