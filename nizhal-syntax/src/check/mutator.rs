//! Judges a mutator's signature.

use super::{function::check_function, replay::check_replay};
use crate::model::{Mutator, mutator::MUTATOR, ty};
use crate::{Code, Errors};
use syn::{ReturnType, Type};

/// Reports what is wrong with a mutator.
pub fn check_mutator(mutator: &Mutator, errors: &Errors) {
    let name = &mutator.function.name;
    check_function(&MUTATOR, &mutator.function, errors);
    check_output(mutator, errors);
    check_replay(mutator, errors);
    if name.value().trim().is_empty() {
        errors.push(
            Code::MutatorName,
            name,
            "a mutator's name on the wire cannot be empty",
            "write a name, or take `name` away",
        );
    }
}

fn check_output(mutator: &Mutator, errors: &Errors) {
    match &mutator.function.item.sig.output {
        ReturnType::Default => {
            errors.push(
                Code::MutatorReturnsNothing,
                &mutator.function.item.sig.ident,
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
