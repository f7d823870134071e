//! A job: its name, its arguments and how often it is tried.

use super::function::{Codes, Function, Kind, lower_function};
use super::ty;
use crate::{Code, Errors, ast};
use syn::{LitInt, Path, Type};

/// How often a job is tried when it does not say.
const ATTEMPTS: u16 = 8;

/// How jobs are written.
pub(crate) const JOB: Kind = Kind {
    noun: "job",
    context: "&mut JobCtx",
    output: "Result<()>",
    known: "in the table",
    codes: Codes {
        method: Code::JobMethod,
        shape: Code::JobShape,
        many_args: Code::JobManyArgs,
        no_args: Code::JobNoArgs,
        borrows_args: Code::JobBorrowsArgs,
        not_async: Code::JobNotAsync,
        constant: Code::JobConst,
        not_safe: Code::JobUnsafe,
        abi: Code::JobAbi,
        lifetime: Code::JobLifetime,
        generic: Code::JobGeneric,
        impl_trait: Code::JobImplTrait,
    },
};

/// A job.
#[derive(Debug)]
pub struct Job {
    /// The function, by its name in the table of jobs.
    pub function: Function,
    /// How often it is tried.
    pub attempts: LitInt,
    /// Tables that it may write beyond the buckets that it carries.
    pub privileged: Vec<Path>,
}

/// Names the job and finds its arguments.
pub fn lower_job(job: ast::Job, errors: &Errors) -> Job {
    let span = job.item.sig.ident.span();
    let judge = |context: &Type| {
        if is_a_mutators(context) {
            let help = "write `ctx: &mut JobCtx`";
            errors.push(Code::JobActor, context, "a job has no actor: it is the server's own work", help);
        } else if !is_ctx(context) {
            let help = "write `ctx: &mut JobCtx`";
            errors.push(Code::JobContext, context, "a job's first argument is its context", help);
        }
    };
    Job {
        function: lower_function(&JOB, job.item, job.name, judge, errors),
        attempts: job.attempts.unwrap_or_else(|| LitInt::new(&ATTEMPTS.to_string(), span)),
        privileged: job.privileged,
    }
}

/// `&mut JobCtx`, or another name for it, which is rustc's to judge.
fn is_ctx(ctx: &Type) -> bool {
    matches!(ctx, Type::Reference(reference) if reference.mutability.is_some() && ty::name(&reference.elem).is_some())
}

/// `&mut Ctx<…>`
fn is_a_mutators(ctx: &Type) -> bool {
    matches!(ctx, Type::Reference(reference) if ty::argument_of(&reference.elem, "Ctx").is_some())
}
