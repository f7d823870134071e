//! Judges a mutator's signature.

use crate::model::{Mutator, ty};
use crate::{Code, Errors};
use syn::{FnArg, GenericParam, ReturnType, Safety, Type};

/// Reports what is wrong with a mutator.
pub fn check_mutator(mutator: &Mutator, errors: &Errors) {
    check_async(mutator, errors);
    check_generics(mutator, errors);
    check_output(mutator, errors);
    if mutator.name.value().trim().is_empty() {
        errors.push(
            Code::MutatorName,
            &mutator.name,
            "a mutator's name on the wire cannot be empty",
            "write a name, or take `name` away",
        );
    }
}

fn check_async(mutator: &Mutator, errors: &Errors) {
    let sig = &mutator.item.sig;
    if sig.asyncness.is_none() {
        errors.push(
            Code::MutatorNotAsync,
            sig.fn_token,
            "a mutator must be async",
            "write `async fn`: it works on a database transaction",
        );
    }
    if let Some(constness) = &sig.constness {
        errors.push(Code::MutatorConst, constness, "a mutator cannot be const", "write `async fn`");
    }
    if !matches!(sig.safety, Safety::Default) {
        errors.push(
            Code::MutatorUnsafe,
            &sig.safety,
            "a mutator is neither safe nor unsafe by its signature",
            "write `async fn`",
        );
    }
    if let Some(abi) = &sig.abi {
        errors.push(Code::MutatorAbi, abi, "a mutator has no ABI", "write `async fn`");
    }
}

fn check_generics(mutator: &Mutator, errors: &Errors) {
    let generics = &mutator.item.sig.generics;
    match generics.params.first() {
        Some(GenericParam::Lifetime(_)) => {
            errors.push(
                Code::MutatorLifetime,
                generics,
                "a mutator has no lifetimes of its own",
                "leave them out: `ctx: &mut Ctx<Claims>`",
            );
        }
        Some(_) => {
            errors.push(
                Code::MutatorGeneric,
                generics,
                "a mutator cannot be generic: its name on the wire stands for one function",
                "write the types out",
            );
        }
        None => {}
    }
    for input in &mutator.item.sig.inputs {
        if let FnArg::Typed(input) = input
            && let Type::ImplTrait(ty) = &*input.ty
        {
            errors.push(
                Code::MutatorImplTrait,
                ty,
                "a mutator cannot be generic: its arguments are read from JSON",
                "write the type out",
            );
        }
    }
}

fn check_output(mutator: &Mutator, errors: &Errors) {
    match &mutator.item.sig.output {
        ReturnType::Default => {
            errors.push(
                Code::MutatorReturnsNothing,
                &mutator.item.sig.ident,
                "this mutator returns nothing",
                "write `-> Result<Applied>` before the body",
            );
        }
        // An alias or another error type is rustc's to judge; these two names cannot be meant.
        ReturnType::Type(_, ty) => {
            let applied = ty::argument_of(ty, "Result").and_then(ty::name);
            if ty::name(ty).is_some_and(|name| name == "Applied") {
                errors.push(
                    Code::MutatorNoResult,
                    ty,
                    "a mutator may refuse, so it returns a result",
                    "write `Result<Applied>`",
                );
            } else if matches!(&**ty, Type::Tuple(_)) || applied.is_none() && ty::argument_of(ty, "Result").is_some() {
                errors.push(
                    Code::MutatorAnswers,
                    ty,
                    "a mutator returns what it applied",
                    "write `Result<Applied>`, and `Ok(Applied::done())` at the end",
                );
            }
        }
    }
}
