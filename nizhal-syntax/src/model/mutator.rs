//! A mutator: its wire name, its claims and its arguments.

use super::function::{Codes, Function, Kind, lower_function};
use super::ty;
use crate::{Code, Errors, ast};
use syn::{Path, Type};

/// How mutators are written.
pub(crate) const MUTATOR: Kind = Kind {
    noun: "mutator",
    context: "&mut Ctx<Claims>",
    output: "Result<Applied>",
    known: "on the wire",
    codes: Codes {
        method: Code::MutatorMethod,
        shape: Code::MutatorShape,
        many_args: Code::MutatorManyArgs,
        no_args: Code::MutatorNoArgs,
        borrows_args: Code::MutatorBorrowsArgs,
        not_async: Code::MutatorNotAsync,
        constant: Code::MutatorConst,
        not_safe: Code::MutatorUnsafe,
        abi: Code::MutatorAbi,
        lifetime: Code::MutatorLifetime,
        generic: Code::MutatorGeneric,
        impl_trait: Code::MutatorImplTrait,
    },
};

/// A mutator.
#[derive(Debug)]
pub struct Mutator {
    /// The function, by its name on the wire.
    pub function: Function,
    /// The claims type; `None` when the signature does not say.
    pub actor: Option<Type>,
    /// Tables that it may write beyond the actor's buckets.
    pub privileged: Vec<Path>,
    /// Whether it runs on the server alone.
    pub server: bool,
    /// The bucket whose mutations it is in one order with.
    pub replay: Option<ast::Replay>,
}

/// Names the mutator and finds its types.
pub fn lower_mutator(mutator: ast::Mutator, errors: &Errors) -> Mutator {
    let mut actor = None;
    let judge = |context: &Type| {
        actor = actor_of(context).cloned();
        if actor.is_none() {
            let help = "write `ctx: &mut Ctx<Claims>`";
            errors.push(Code::MutatorContext, context, "a mutator's first argument is its context", help);
        }
    };
    let function = lower_function(&MUTATOR, mutator.item, mutator.name, judge, errors);
    let ast::Mutator { privileged, server, replay, .. } = mutator;
    Mutator { function, actor, privileged, server: server.is_some(), replay }
}

/// `Claims` of `&mut Ctx<Claims>`.
fn actor_of(ctx: &Type) -> Option<&Type> {
    match ctx {
        Type::Reference(reference) if reference.mutability.is_some() => ty::argument_of(&reference.elem, "Ctx"),
        _ => None,
    }
}
