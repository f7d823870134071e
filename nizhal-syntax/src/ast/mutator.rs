//! `#[mutator]` as written.

use super::attr::parse_function;
use super::word::{Said, UnknownWords, Value, parse_words};
use crate::{Code, Errors, symbol};
use darling::FromMeta;
use proc_macro2::TokenStream;
use syn::parse::{ParseStream, Parser};
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
    /// The rule, as it is declared.
    pub rule: Ident,
    /// The value of the rule's parameter.
    pub value: Expr,
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
            Ok(Self { rule, value })
        };
        bucket
            .parse2(list.tokens.clone())
            .map_err(|error| Code::ReplayBucketUnreadable.error(error.span(), "this names no bucket", HELP))
    }
}
