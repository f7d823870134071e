//! `#[mutator]` as written.

use super::attr::parse_function;
use super::word::{Said, UnknownWords, Value, parse_words};
use crate::{Code, Errors, name, symbol};
use darling::FromMeta;
use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Expr, Ident, ItemFn, LitStr, Meta, Path, Token};

/// A mutator.
#[derive(Debug)]
pub struct Mutator {
    /// The function.
    pub item: ItemFn,
    /// `name = "…"`
    pub name: Option<LitStr>,
    /// `privileged(…)`
    pub privileged: Vec<Path>,
    /// `server`
    pub server: Option<Ident>,
    /// `replay(my_shops = args.shop_id)`
    pub replay: Option<Replay>,
}

/// The bucket whose mutations a mutator is in one order with.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The word itself.
    pub word: Ident,
    /// The rule.
    pub rule: RuleName,
    /// The value of the rule's parameter.
    pub value: Expr,
}

/// How a rule is named outside of its rule set.
#[derive(Clone, Debug)]
pub enum RuleName {
    /// `my_shops`, as it is declared.
    Declared(Ident),
    /// `"shops"`, by its name on the wire, where `#[name = "shops"]` gives it one.
    Wire(LitStr),
}

impl RuleName {
    /// The name on the wire, spanned at what the user wrote.
    pub fn wire(&self) -> LitStr {
        match self {
            Self::Declared(ident) => LitStr::new(&name::camel(&name::plain(ident)), ident.span()),
            Self::Wire(text) => text.clone(),
        }
    }
}

impl Parse for RuleName {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        match input.peek(LitStr) {
            true => input.parse().map(Self::Wire),
            false => input.call(Ident::parse_any).map(Self::Declared),
        }
    }
}

#[derive(FromMeta)]
struct MutatorWords {
    #[darling(multiple)]
    name: Said<LitStr>,
    #[darling(multiple)]
    privileged: Said<Vec<Path>>,
    #[darling(multiple)]
    server: Said<()>,
    #[darling(multiple)]
    replay: Said<Replay>,
    #[darling(flatten)]
    unknown: UnknownWords,
}

/// Reads the attribute and its item; `None` when the item is not a function.
pub fn parse_mutator(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<Mutator> {
    let words: MutatorWords = parse_words(attr, errors)?;
    errors.unknown(words.unknown, "`#[mutator]`", symbol::MUTATOR_WORDS);
    let item = parse_function(
        item,
        "a mutator is a function",
        "write `async fn name(ctx: &mut Ctx<Claims>, args: Args) -> Result<Applied> { … }`",
        errors,
    )?;
    let privileged = errors.value(words.privileged).unwrap_or_default();
    Some(Mutator {
        item,
        name: errors.value(words.name),
        privileged,
        server: errors.flag(words.server),
        replay: errors.value(words.replay),
    })
}

/// `(my_shops = args.shop_id)`
impl Value for Replay {
    fn read(word: &Ident, meta: &Meta) -> syn::Result<Self> {
        const HELP: &str = "write the rule and the value of its parameter: `replay(my_shops = args.shop_id)`";
        let Meta::List(list) = meta else {
            return Err(Code::ReplayNeedsBucket.error_at(word, "`replay` needs a bucket", HELP));
        };
        let bucket = |input: ParseStream| {
            let rule = input.parse()?;
            input.parse::<Token![=]>()?;
            let value = input.parse()?;
            input.parse::<Option<Token![,]>>()?;
            Ok(Self { word: word.clone(), rule, value })
        };
        bucket
            .parse2(list.tokens.clone())
            .map_err(|error| Code::ReplayBucketUnreadable.error(error.span(), "this names no bucket", HELP))
    }
}
