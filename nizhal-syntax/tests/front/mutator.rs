//! Mutators.

use crate::{mistakes, tokens};
use nizhal_syntax::Errors;
use nizhal_syntax::ast::parse_mutator;
use nizhal_syntax::check::check_mutator;
use nizhal_syntax::model::{Mutator, lower_mutator};
use quote::ToTokens;

fn read(attr: &str, item: &str) -> (Option<Mutator>, Vec<String>) {
    let errors = Errors::new();
    let mutator = parse_mutator(tokens(attr), tokens(item), &errors).map(|ast| lower_mutator(ast, &errors));
    if let Some(mutator) = &mutator {
        check_mutator(mutator, &errors);
    }
    (mutator, mistakes(errors))
}

#[test]
fn types_are_found() {
    let source = "/// Pays.\n async fn record_payment(ctx: &mut nizhal::Ctx<app::Claims>, Pay { id }: Pay) -> Result<Applied> {}";
    let (mutator, mistakes) = read("privileged(Inbox, crate::Outbox)", source);
    let mutator = mutator.unwrap();
    assert_eq!(mistakes, [""; 0]);
    assert_eq!((mutator.function.name.value().as_str(), mutator.function.doc.as_str()), ("recordPayment", "Pays."));
    assert_eq!(mutator.actor.to_token_stream().to_string(), "app :: Claims");
    assert_eq!(mutator.function.args.to_token_stream().to_string(), "Pay");
    assert_eq!(mutator.privileged.len(), 2);
}

#[test]
fn mistakes_are_named() {
    for (attr, item, wanted) in [
        ("", "fn f(ctx: &mut Ctx<C>, a: A) -> Result<Applied> {}", "a mutator must be async"),
        ("", "async fn f(ctx: Ctx<C>, a: A) -> Result<Applied> {}", "a mutator's first argument is its context"),
        ("", "async fn f(ctx: &Ctx<C>, a: A) -> Result<Applied> {}", "a mutator's first argument is its context"),
        ("", "async fn f() -> Result<Applied> {}", "a mutator takes a context and its arguments"),
        ("", "async fn f(ctx: &mut Ctx<C>) -> Result<Applied> {}", "this mutator takes no arguments"),
        ("", "async fn f(ctx: &mut Ctx<C>, a: &A) -> Result<Applied> {}", "a mutator owns its arguments"),
        (
            "",
            "async fn f(ctx: &mut Ctx<C>, a: A, b: B) -> Result<Applied> {}",
            "a mutator takes one argument beside its context",
        ),
        ("", "async fn f(&self) -> Result<Applied> {}", "a mutator is a free function: it has no `self`"),
        ("", "async fn f(ctx: &mut Ctx<C>, a: A) {}", "this mutator returns nothing"),
        ("", "async fn f(ctx: &mut Ctx<C>, a: A) -> Applied {}", "a mutator may refuse, so it returns a result"),
        ("", "async fn f(ctx: &mut Ctx<C>, a: A) -> Result<()> {}", "a mutator returns what it applied"),
        (
            "",
            "async fn f<'a>(ctx: &'a mut Ctx<C>, a: A) -> Result<Applied> {}",
            "a mutator has no lifetimes of its own",
        ),
        (
            "name = \"\"",
            "async fn f(ctx: &mut Ctx<C>, a: A) -> Result<Applied> {}",
            "a mutator's name on the wire cannot be empty",
        ),
        (
            "privileged",
            "async fn f(ctx: &mut Ctx<C>, a: A) -> Result<Applied> {}",
            "`privileged` needs a list of tables",
        ),
        (
            "privileged(1)",
            "async fn f(ctx: &mut Ctx<C>, a: A) -> Result<Applied> {}",
            "tables are named by their types",
        ),
        ("", "struct F;", "a mutator is a function"),
    ] {
        assert_eq!(read(attr, item).1, [wanted], "{attr} {item}");
    }
}
