//! One item through the stages: parsed, lowered, checked, printed; its mistakes become `compile_error!`s beside what can stand.

use nizhal_syntax::{Errors, symbol};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Prints an item, or what can stand in its place, after its mistakes, so that one mistake does not cause many.
///
/// `parse` reads the item, or gives what stands for one that cannot be read. A mistake in a word of an attribute is told while
/// parsing, and the item is printed as if the word were not there. An item that cannot be lowered or that the check refuses is
/// not printed: `fallback` gives what keeps rustc from stumbling over its absence.
pub(crate) fn expand_with<Ast, Model>(
    parse: impl FnOnce(&Errors) -> Result<Ast, TokenStream>,
    lower: impl FnOnce(Ast, &Errors) -> Model,
    check: impl FnOnce(&Model, &Errors),
    print: impl FnOnce(&Model) -> TokenStream,
    fallback: impl FnOnce(&Model) -> TokenStream,
) -> TokenStream {
    let errors = Errors::new();
    let tokens = parse(&errors).map_or_else(
        |instead| instead,
        |ast| {
            let parsed = errors.count();
            let model = lower(ast, &errors);
            check(&model, &errors);
            if errors.count() == parsed { print(&model) } else { fallback(&model) }
        },
    );
    let mut all = errors.finish().map_or_else(syn::Error::into_compile_error, |()| TokenStream::new());
    all.extend(tokens);
    all
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
