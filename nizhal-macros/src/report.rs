//! Mistakes as `compile_error!`s, beside what can still be emitted, so that one mistake does not cause many.

use nizhal_syntax::{Errors, symbol};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The tokens, with the mistakes before them.
pub(crate) fn report(errors: Errors, tokens: TokenStream) -> TokenStream {
    match errors.finish() {
        Ok(()) => tokens,
        Err(error) => {
            let mut all = error.into_compile_error();
            all.extend(tokens);
            all
        }
    }
}

/// An item that could not be read, without the `#[nizhal(…)]` attributes that rustc does not know.
pub(crate) fn strip(tokens: TokenStream) -> TokenStream {
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) if is_ours(&group) => {
                kept.pop_if(|last| matches!(last, TokenTree::Punct(punct) if punct.as_char() == '#'));
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), strip(group.stream()));
                inner.set_span(group.span());
                kept.push(inner.into());
            }
            other => kept.push(other),
        }
    }
    kept.into_iter().collect()
}

fn is_ours(group: &Group) -> bool {
    let first = group.stream().into_iter().next();
    group.delimiter() == Delimiter::Bracket && matches!(first, Some(TokenTree::Ident(ident)) if ident == symbol::NIZHAL)
}
