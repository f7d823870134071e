//! `#[nizhal::main]`: a sync `main` that runs the async one.

use crate::report::report;
use nizhal_syntax::{Code, Errors};
use proc_macro2::TokenStream;
use quote::quote;
use syn::ItemFn;

pub(crate) fn expand_main(attr: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Errors::new();
    if !attr.is_empty() {
        errors.push(Code::MainTakesNothing, attr, "`#[nizhal::main]` takes nothing", "write `#[nizhal::main]` alone");
    }
    let main = match syn::parse2::<ItemFn>(item) {
        Ok(main) => main,
        Err(error) => {
            errors.syntax(error);
            return report(
                errors,
                quote!(
                    fn main() {}
                ),
            );
        }
    };
    let sig = &main.sig;
    const HELP: &str = "write `async fn main() -> nizhal::Result<()>`";
    if sig.asyncness.is_none() {
        errors.push(Code::MainNotAsync, sig.fn_token, "this `main` must be async", HELP);
    }
    if let Some(input) = sig.inputs.first() {
        errors.push(Code::MainArguments, input, "`main` takes no arguments", HELP);
    }
    if errors.count() > 0 {
        return report(
            errors,
            quote!(
                fn main() {}
            ),
        );
    }
    report(errors, expand(&main))
}

fn expand(main: &ItemFn) -> TokenStream {
    let ItemFn { attrs, vis, sig, block, .. } = main;
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
