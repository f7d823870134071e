//! Judges a job's signature.

use crate::model::{Job, ty};
use crate::{Code, Errors};
use syn::{FnArg, GenericParam, ReturnType, Safety, Type};

/// Reports what is wrong with a job.
pub fn check_job(job: &Job, errors: &Errors) {
    check_async(job, errors);
    check_generics(job, errors);
    check_output(job, errors);
    if job.name.value().trim().is_empty() {
        errors.push(Code::JobName, &job.name, "a job's name cannot be empty", "write a name, or take `name` away");
    }
    if !job.attempts.base10_parse::<u16>().is_ok_and(|attempts| (1..=1000).contains(&attempts)) {
        errors.push(Code::JobAttempts, &job.attempts, "a job is tried from 1 to 1000 times", "write `attempts = 8`");
    }
}

fn check_async(job: &Job, errors: &Errors) {
    let sig = &job.item.sig;
    if sig.asyncness.is_none() {
        errors.push(
            Code::JobNotAsync,
            sig.fn_token,
            "a job must be async",
            "write `async fn`: it works on a database transaction",
        );
    }
    if let Some(constness) = &sig.constness {
        errors.push(Code::JobConst, constness, "a job cannot be const", "write `async fn`");
    }
    if !matches!(sig.safety, Safety::Default) {
        errors.push(
            Code::JobUnsafe,
            &sig.safety,
            "a job is neither safe nor unsafe by its signature",
            "write `async fn`",
        );
    }
    if let Some(abi) = &sig.abi {
        errors.push(Code::JobAbi, abi, "a job has no ABI", "write `async fn`");
    }
}

fn check_generics(job: &Job, errors: &Errors) {
    let generics = &job.item.sig.generics;
    match generics.params.first() {
        Some(GenericParam::Lifetime(_)) => {
            errors.push(
                Code::JobLifetime,
                generics,
                "a job has no lifetimes of its own",
                "leave them out: `ctx: &mut JobCtx`",
            );
        }
        Some(_) => {
            let what = "a job cannot be generic: its name in the table stands for one function";
            errors.push(Code::JobGeneric, generics, what, "write the types out");
        }
        None => {}
    }
    for input in &job.item.sig.inputs {
        if let FnArg::Typed(input) = input
            && let Type::ImplTrait(ty) = &*input.ty
        {
            errors.push(
                Code::JobImplTrait,
                ty,
                "a job cannot be generic: its arguments are read from JSON",
                "write the type out",
            );
        }
    }
}

fn check_output(job: &Job, errors: &Errors) {
    let help = "write `Result<()>`, and `Ok(())` at the end";
    match &job.item.sig.output {
        ReturnType::Default => {
            errors.push(
                Code::JobReturnsNothing,
                &job.item.sig.ident,
                "this job returns nothing",
                "write `-> Result<()>` before the body",
            );
        }
        ReturnType::Type(_, ty) => {
            let applied = ty::argument_of(ty, "Result").and_then(ty::name).is_some_and(|name| name == "Applied");
            if applied || ty::name(ty).is_some_and(|name| name == "Applied") {
                errors.push(Code::JobAnswers, ty, "a job has nobody to answer", help);
            } else if matches!(&**ty, Type::Tuple(_)) {
                errors.push(Code::JobNoResult, ty, "a job may fail, so it returns a result", help);
            }
        }
    }
}
