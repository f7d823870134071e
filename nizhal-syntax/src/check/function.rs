//! Judges what a mutator's and a job's signature have in common.

use crate::Errors;
use crate::model::function::{Function, Kind};
use syn::{FnArg, GenericParam, Safety, Type};

/// Reports what is wrong with a function of this kind.
pub(super) fn check_function(kind: &Kind, function: &Function, errors: &Errors) {
    check_qualifiers(kind, function, errors);
    check_generics(kind, function, errors);
}

fn check_qualifiers(Kind { noun, codes, .. }: &Kind, function: &Function, errors: &Errors) {
    let sig = &function.item.sig;
    if sig.asyncness.is_none() {
        let help = "write `async fn`: it works on a database transaction";
        errors.push(codes.not_async, sig.fn_token, format!("a {noun} must be async"), help);
    }
    if let Some(constness) = &sig.constness {
        errors.push(codes.constant, constness, format!("a {noun} cannot be const"), "write `async fn`");
    }
    if !matches!(sig.safety, Safety::Default) {
        let what = format!("a {noun} is neither safe nor unsafe by its signature");
        errors.push(codes.not_safe, &sig.safety, what, "write `async fn`");
    }
    if let Some(abi) = &sig.abi {
        errors.push(codes.abi, abi, format!("a {noun} has no ABI"), "write `async fn`");
    }
}

fn check_generics(Kind { noun, context, known, codes, .. }: &Kind, function: &Function, errors: &Errors) {
    let generics = &function.item.sig.generics;
    match generics.params.first() {
        Some(GenericParam::Lifetime(_)) => {
            let what = format!("a {noun} has no lifetimes of its own");
            errors.push(codes.lifetime, generics, what, format!("leave them out: `ctx: {context}`"));
        }
        Some(_) => {
            let what = format!("a {noun} cannot be generic: its name {known} stands for one function");
            errors.push(codes.generic, generics, what, "write the types out");
        }
        None => {}
    }
    for input in &function.item.sig.inputs {
        if let FnArg::Typed(input) = input
            && let Type::ImplTrait(ty) = &*input.ty
        {
            let what = format!("a {noun} cannot be generic: its arguments are read from JSON");
            errors.push(codes.impl_trait, ty, what, "write the type out");
        }
    }
}
