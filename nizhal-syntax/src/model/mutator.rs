//! A mutator: its wire name, its claims and its arguments.

use super::ty;
use crate::ast::{self, attr};
use crate::{Code, Errors, name};
use syn::{Attribute, FnArg, Ident, ItemFn, LitStr, Path, Signature, Type, Visibility};

const SHAPE: &str = "write `async fn name(ctx: &mut Ctx<Claims>, args: Args) -> Result<Applied>`";

/// A mutator.
#[derive(Debug)]
pub struct Mutator {
    /// The function.
    pub item: ItemFn,
    /// The name on the wire.
    pub name: LitStr,
    /// The doc comment.
    pub doc: String,
    /// The claims type; `None` when the signature does not say.
    pub actor: Option<Type>,
    /// The arguments' type; `None` when the signature does not say.
    pub args: Option<Type>,
    /// Tables that it may write beyond the actor's buckets.
    pub privileged: Vec<Path>,
    /// Whether it runs on the server alone.
    pub server: bool,
}

impl Mutator {
    /// The function's name.
    pub fn ident(&self) -> &Ident {
        &self.item.sig.ident
    }

    /// The function's visibility.
    pub fn vis(&self) -> &Visibility {
        &self.item.vis
    }

    /// The conditions under which the function exists.
    pub fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.item.attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
    }
}

/// Names the mutator and finds its types.
pub fn lower_mutator(mutator: ast::Mutator, errors: &Errors) -> Mutator {
    let sig = &mutator.item.sig;
    let default_name = || LitStr::new(&name::camel(&name::plain(&sig.ident)), sig.ident.span());
    let (actor, args) = lower_inputs(sig, errors);
    Mutator {
        name: mutator.name.unwrap_or_else(default_name),
        doc: attr::doc(&mutator.item.attrs),
        actor,
        args,
        privileged: mutator.privileged,
        server: mutator.server.is_some(),
        item: mutator.item,
    }
}

fn lower_inputs(sig: &Signature, errors: &Errors) -> (Option<Type>, Option<Type>) {
    if let Some(receiver) = sig.receiver() {
        errors.push(Code::MutatorMethod, receiver, "a mutator is a free function: it has no `self`", SHAPE);
        return (None, None);
    }
    let types: Vec<&Type> = sig
        .inputs
        .iter()
        .filter_map(|input| match input {
            FnArg::Typed(input) => Some(&*input.ty),
            FnArg::Receiver(_) => None,
        })
        .collect();
    let Some(ctx) = types.first() else {
        errors.push(Code::MutatorShape, &sig.ident, "a mutator takes a context and its arguments", SHAPE);
        return (None, None);
    };
    let actor = actor_of(ctx).cloned();
    if actor.is_none() {
        errors.push(
            Code::MutatorContext,
            ctx,
            "a mutator's first argument is its context",
            "write `ctx: &mut Ctx<Claims>`",
        );
    }
    if let Some(extra) = sig.inputs.iter().nth(2) {
        errors.push(
            Code::MutatorManyArgs,
            extra,
            "a mutator takes one argument beside its context",
            "put every argument into one #[nizhal::args] struct",
        );
    }
    let args = types.get(1).map(|ty| (*ty).clone());
    match &args {
        None => errors.push(
            Code::MutatorNoArgs,
            &sig.ident,
            "this mutator takes no arguments",
            "add `args: Args`, where `Args` is a #[nizhal::args] struct, empty if need be",
        ),
        Some(Type::Reference(reference)) => {
            errors.push(
                Code::MutatorBorrowsArgs,
                reference,
                "a mutator owns its arguments",
                "write the type without `&`",
            );
        }
        Some(_) => return (actor, args),
    }
    (actor, None)
}

/// `Claims` of `&mut Ctx<Claims>`.
fn actor_of(ctx: &Type) -> Option<&Type> {
    match ctx {
        Type::Reference(reference) if reference.mutability.is_some() => ty::argument_of(&reference.elem, "Ctx"),
        _ => None,
    }
}
