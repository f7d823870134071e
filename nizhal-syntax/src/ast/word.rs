//! The words inside an attribute, `name = "x", server_only, privileged(A, B)`: darling finds them, and we say what is wrong.
//!
//! A struct of words derives darling's `FromMeta`, with a field a word:
//!
//! ```ignore
//! #[derive(FromMeta)]
//! struct JobWords {
//!     #[darling(multiple)]
//!     name: Said<LitStr>,
//!     #[darling(flatten)]
//!     unknown: UnknownWords,
//! }
//! ```
//!
//! `multiple` keeps every time that a word was written, so that we tell of the second; `flatten` keeps the words that no field
//! takes. Reading thus never fails in darling, whose own sentences cannot say what to write.

use crate::{Code, Errors, name, symbol};
use darling::{FromMeta, ast::NestedMeta};
use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, LitInt, LitStr, MacroDelimiter, Meta, Path, Token};

/// A word that was written, with its value, or with what is wrong with the value.
#[derive(Debug)]
pub(super) struct Word<T> {
    ident: Ident,
    /// Not an error of darling's: that would take the other words along.
    value: syn::Result<T>,
}

/// A word, each time that it was written.
pub(super) type Said<T> = Vec<Word<T>>;

/// What may follow a word.
pub(super) trait Value: Sized {
    /// Reads what follows `word`; `meta` is both.
    fn read(word: &Ident, meta: &Meta) -> syn::Result<Self>;
}

impl<T: Value> FromMeta for Word<T> {
    fn from_meta(meta: &Meta) -> darling::Result<Self> {
        let ident = meta.path().require_ident()?.clone();
        Ok(Self { value: T::read(&ident, meta), ident })
    }
}

/// The words that no field takes.
#[derive(Debug)]
pub(super) struct UnknownWords(Vec<Path>);

impl FromMeta for UnknownWords {
    fn from_list(items: &[NestedMeta]) -> darling::Result<Self> {
        let path = |item: &NestedMeta| match item {
            NestedMeta::Meta(meta) => Some(meta.path().clone()),
            _ => None,
        };
        Ok(Self(items.iter().filter_map(path).collect()))
    }
}

/// A flag: nothing follows.
impl Value for () {
    fn read(word: &Ident, meta: &Meta) -> syn::Result<Self> {
        match meta {
            Meta::Path(_) => Ok(()),
            _ => {
                let help = format!("write `{word}` alone");
                Err(Code::WordTakesNoValue.error_at(word, format!("`{word}` takes no value"), help))
            }
        }
    }
}

/// `= "…"`
impl Value for LitStr {
    fn read(word: &Ident, meta: &Meta) -> syn::Result<Self> {
        let help = format!("write `{word} = \"…\"`");
        match meta {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
                other => Err(Code::WordNotText.error_at(other, "this is not a text", help)),
            },
            _ => Err(Code::WordNeedsText.error_at(word, format!("`{word}` needs a text"), help)),
        }
    }
}

/// `= 8`
impl Value for LitInt {
    fn read(word: &Ident, meta: &Meta) -> syn::Result<Self> {
        let help = format!("write `{word} = 8`");
        match meta {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Ok(number.clone()),
                other => Err(Code::WordNotNumber.error_at(other, "this is not a whole number", help)),
            },
            _ => Err(Code::WordNeedsNumber.error_at(word, format!("`{word}` needs a whole number"), help)),
        }
    }
}

/// `(A, b::C)`
impl Value for Vec<Path> {
    fn read(word: &Ident, meta: &Meta) -> syn::Result<Self> {
        let help = format!("write `{word}(Table, Other)`");
        let paths = match meta {
            Meta::List(list) => Punctuated::<Path, Token![,]>::parse_terminated
                .parse2(list.tokens.clone())
                .map_err(|error| Code::TablesNotTypes.error(error.span(), "tables are named by their types", &help))?,
            _ => Punctuated::new(),
        };
        if paths.is_empty() {
            return Err(Code::WordNeedsTables.error_at(word, format!("`{word}` needs a list of tables"), help));
        }
        Ok(paths.into_iter().collect())
    }
}

impl Errors {
    /// What a word says; tells of what is wrong with it.
    pub(super) fn value<T>(&self, said: Said<T>) -> Option<T> {
        self.once(said).and_then(|word| word.value.map_err(|error| self.syntax(error)).ok())
    }

    /// A flag; one with a value counts all the same, so that nothing else is missed for want of it.
    pub(super) fn flag(&self, said: Said<()>) -> Option<Ident> {
        let word = self.once(said)?;
        if let Err(error) = word.value {
            self.syntax(error);
        }
        Some(word.ident)
    }

    fn once<T>(&self, said: Said<T>) -> Option<Word<T>> {
        let mut said = said.into_iter();
        let first = said.next();
        for Word { ident, .. } in said {
            self.push(Code::WordTwice, &ident, format!("`{ident}` is written twice"), "take one of them away");
        }
        first
    }

    /// Tells of the words that an attribute, shown as `place`, does not have.
    pub(super) fn unknown(&self, words: UnknownWords, place: &str, known: &[&str]) {
        for path in words.0 {
            let text = path.to_token_stream().to_string().replace(' ', "");
            let help = match name::similar(&text, known.iter().copied()) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None if known.is_empty() => "write it alone".to_owned(),
                None => format!("{place} takes {}", name::either(known.iter().copied())),
            };
            self.push(Code::UnknownWord, &path, format!("{place} has no word `{text}`"), help);
        }
    }
}

/// Reads the words of an attribute; `None` never, unless a value's reader fails in darling.
pub(super) fn parse_words<W: FromMeta>(tokens: TokenStream, errors: &Errors) -> Option<W> {
    W::from_list(&items(tokens, errors)).map_err(|error| errors.syntax(error.into())).ok()
}

/// Reads an attribute that has no words.
pub(super) fn parse_no_words(tokens: TokenStream, place: &str, errors: &Errors) {
    if let Some(rest) = parse_words(tokens, errors) {
        errors.unknown(rest, place, &[]);
    }
}

/// Takes the `#[nizhal(…)]` attributes out, and reads the words of all of them together; one of the words stands in `example`.
pub(super) fn take_words<W: FromMeta>(attrs: &mut Vec<Attribute>, example: &str, errors: &Errors) -> Option<W> {
    let ours = attrs.extract_if(.., |attr| attr.path().is_ident(symbol::NIZHAL));
    let mut found = Vec::new();
    for attr in ours {
        match attr.meta {
            Meta::List(list) => found.extend(items(list.tokens, errors)),
            other => {
                let help = format!("write `#[nizhal({example})]`");
                errors.push(Code::EmptyAttribute, other, "this attribute says nothing", help);
            }
        }
    }
    W::from_list(&found).map_err(|error| errors.syntax(error.into())).ok()
}

/// What stands between the commas; a mistake in one hides none in another.
fn items(tokens: TokenStream, errors: &Errors) -> Vec<NestedMeta> {
    let items = |input: ParseStream| {
        let mut items = Vec::new();
        while !input.is_empty() {
            match item(input) {
                Ok(item) => items.push(item),
                Err(error) => {
                    errors.syntax(error);
                    skip_to_comma(input);
                }
            }
        }
        Ok(items)
    };
    items.parse2(tokens).unwrap_or_else(|error| {
        errors.syntax(error);
        Vec::new()
    })
}

/// One word with what follows it. darling reads more than we take: literals, other brackets, `::word`.
fn item(input: ParseStream) -> syn::Result<NestedMeta> {
    let item = match NestedMeta::parse(input)? {
        NestedMeta::Meta(Meta::List(list)) if !matches!(list.delimiter, MacroDelimiter::Paren(_)) => {
            return Err(syn::Error::new(list.delimiter.span().open(), "expected `,`"));
        }
        NestedMeta::Meta(meta) if meta.path().leading_colon.is_some() => {
            return Err(syn::Error::new_spanned(meta.path().leading_colon, "expected identifier"));
        }
        NestedMeta::Lit(literal) => return Err(syn::Error::new_spanned(literal, "expected identifier")),
        NestedMeta::NameValueInvalidExpr(pair) => return Err(pair.error.into()),
        item => item,
    };
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(item)
}

fn skip_to_comma(input: ParseStream) {
    while !input.is_empty() {
        if matches!(input.parse::<TokenTree>(), Ok(TokenTree::Punct(punct)) if punct.as_char() == ',') {
            return;
        }
    }
}
