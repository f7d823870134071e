//! The words inside an attribute: `name = "x", server_only, privileged(A, B)`.

use crate::{Code, Errors, name, symbol};
use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Item, Lit, LitInt, LitStr, Meta, Path, Token, parenthesized, token};

/// One word of an attribute, with what follows it.
#[derive(Debug)]
pub struct Word {
    /// The word.
    pub ident: Ident,
    /// What follows it.
    pub value: Value,
}

/// What follows a word.
#[derive(Debug)]
pub enum Value {
    /// Nothing: a flag.
    Flag,
    /// `= …`
    Eq(Box<Expr>),
    /// `(A, b::C)`
    List(Vec<Path>),
}

impl Word {
    /// Whether the word is this one.
    pub fn is(&self, word: &str) -> bool {
        self.ident == word
    }

    /// The word as a flag.
    pub fn flag(self, errors: &Errors) -> Option<Ident> {
        if !matches!(self.value, Value::Flag) {
            let word = &self.ident;
            errors.push(
                Code::WordTakesNoValue,
                word,
                format!("`{word}` takes no value"),
                format!("write `{word}` alone"),
            );
        }
        Some(self.ident)
    }

    /// The word's value, when it is a text.
    pub fn text(self, errors: &Errors) -> Option<LitStr> {
        let help = format!("write `{} = \"…\"`", self.ident);
        match self.value {
            Value::Eq(value) => match *value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => return Some(text),
                other => errors.push(Code::WordNotText, other, "this is not a text", help),
            },
            _ => errors.push(Code::WordNeedsText, &self.ident, format!("`{}` needs a text", self.ident), help),
        }
        None
    }

    /// The word's value, when it is a whole number.
    pub fn number(self, errors: &Errors) -> Option<LitInt> {
        let help = format!("write `{} = 8`", self.ident);
        match self.value {
            Value::Eq(value) => match *value {
                Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => return Some(number),
                other => errors.push(Code::WordNotNumber, other, "this is not a whole number", help),
            },
            _ => {
                errors.push(Code::WordNeedsNumber, &self.ident, format!("`{}` needs a whole number", self.ident), help)
            }
        }
        None
    }

    /// The word's list of paths.
    pub fn paths(self, errors: &Errors) -> Vec<Path> {
        match self.value {
            Value::List(paths) if !paths.is_empty() => paths,
            _ => {
                let word = &self.ident;
                errors.push(
                    Code::WordNeedsTables,
                    word,
                    format!("`{word}` needs a list of tables"),
                    format!("write `{word}(Table, Other)`"),
                );
                Vec::new()
            }
        }
    }
}

/// Reads the words of an attribute that is shown to people as `place`; those not in `known` are reported.
pub fn parse_words(tokens: TokenStream, place: &str, known: &[&str], errors: &Errors) -> Vec<Word> {
    let words = |input: ParseStream| {
        let mut words = Vec::new();
        while !input.is_empty() {
            match parse_word(input) {
                Ok(word) => words.push(word),
                Err(error) => {
                    errors.syntax(error);
                    skip_to_comma(input);
                }
            }
        }
        Ok(words)
    };
    let mut words = words.parse2(tokens).unwrap_or_else(|error| {
        errors.syntax(error);
        Vec::new()
    });
    let mut seen: Vec<String> = Vec::new();
    words.retain(|word| {
        let text = word.ident.to_string();
        if !known.contains(&text.as_str()) {
            let help = match name::similar(&text, known.iter().copied()) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None if known.is_empty() => "write it alone".to_owned(),
                None => format!("{place} takes {}", name::either(known.iter().copied())),
            };
            errors.push(Code::UnknownWord, &word.ident, format!("{place} has no word `{text}`"), help);
            return false;
        }
        if seen.contains(&text) {
            errors.push(Code::WordTwice, &word.ident, format!("`{text}` is written twice"), "take one of them away");
            return false;
        }
        seen.push(text);
        true
    });
    words
}

fn parse_word(input: ParseStream) -> syn::Result<Word> {
    let ident = Ident::parse_any(input)?;
    let value = if input.peek(Token![=]) {
        input.parse::<Token![=]>()?;
        Value::Eq(Box::new(input.parse()?))
    } else if input.peek(token::Paren) {
        let list;
        parenthesized!(list in input);
        // Read apart: what a failed parser leaves of a group, syn would report a second time.
        let list: TokenStream = list.parse()?;
        let paths = Punctuated::<Path, Token![,]>::parse_terminated.parse2(list).map_err(|error| {
            let help = format!("write `{ident}(Table, Other)`");
            Code::TablesNotTypes.error(error.span(), "tables are named by their types", help)
        })?;
        Value::List(paths.into_iter().collect())
    } else {
        Value::Flag
    };
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(Word { ident, value })
}

fn skip_to_comma(input: ParseStream) {
    while !input.is_empty() {
        if matches!(input.parse::<TokenTree>(), Ok(TokenTree::Punct(punct)) if punct.as_char() == ',') {
            return;
        }
    }
}

/// Takes the `#[nizhal(…)]` attributes out, and gives their words; `on` says what they stand on.
pub fn take_words(attrs: &mut Vec<Attribute>, on: &str, known: &[&str], errors: &Errors) -> Vec<Word> {
    let mut words = Vec::new();
    attrs.retain(|attr| {
        if !attr.path().is_ident(symbol::NIZHAL) {
            return true;
        }
        match &attr.meta {
            Meta::List(list) => {
                words.extend(parse_words(list.tokens.clone(), &format!("`#[nizhal(…)]` on {on}"), known, errors))
            }
            other => errors.push(
                Code::EmptyAttribute,
                other,
                "this attribute says nothing",
                format!("write `#[nizhal({})]`", known[0]),
            ),
        }
        false
    });
    words
}

/// The text of the doc comments, lines joined, without the space after `///`.
pub fn doc(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter_map(|attr| match &attr.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    lines.join("\n").trim().to_owned()
}

/// The traits that `#[derive(…)]` already names, by their last segment.
pub fn derived(attrs: &[Attribute]) -> Vec<String> {
    let mut traits = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
        let paths = attr.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated).unwrap_or_default();
        traits.extend(paths.iter().filter_map(|path| Some(path.segments.last()?.ident.to_string())));
    }
    traits
}

/// The words that the container's `#[serde(…)]` already says.
pub fn serde_words(attrs: &[Attribute]) -> Vec<String> {
    let mut words = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        let metas = attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap_or_default();
        words.extend(metas.iter().filter_map(|meta| Some(meta.path().get_ident()?.to_string())));
    }
    words
}

/// Where an item says what it is: its keyword.
pub fn keyword(item: &Item) -> Span {
    match item {
        Item::Const(item) => item.const_token.span,
        Item::Enum(item) => item.enum_token.span,
        Item::Fn(item) => item.sig.fn_token.span,
        Item::Impl(item) => item.impl_token.span,
        Item::Mod(item) => item.mod_token.span,
        Item::Struct(item) => item.struct_token.span,
        Item::Trait(item) => item.trait_token.span,
        Item::Type(item) => item.type_token.span,
        Item::Union(item) => item.union_token.span,
        other => other.span(),
    }
}

/// The item as a function; `None`, with the mistake told, when it is anything else.
pub(super) fn parse_function(item: TokenStream, what: &str, help: &str, errors: &Errors) -> Option<syn::ItemFn> {
    match syn::parse2(item.clone()) {
        Ok(function) => Some(function),
        Err(error) => {
            match syn::parse2::<Item>(item) {
                Ok(other) => errors.push_span(Code::FunctionKind, keyword(&other), what, help),
                Err(_) => errors.syntax(error),
            }
            None
        }
    }
}
