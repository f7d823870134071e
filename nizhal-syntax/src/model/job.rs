//! A job: its name, its arguments and how often it is tried.

use super::ty;
use crate::ast::{self, attr};
use crate::{Code, Errors, name};
use syn::{Attribute, FnArg, Ident, ItemFn, LitInt, LitStr, Signature, Type, Visibility};

const SHAPE: &str = "write `async fn name(ctx: &mut JobCtx, args: Args) -> Result<()>`";

/// How often a job is tried when it does not say.
const ATTEMPTS: u16 = 8;

/// A job.
#[derive(Debug)]
pub struct Job {
    /// The function.
    pub item: ItemFn,
    /// The name in the table of jobs.
    pub name: LitStr,
    /// The doc comment.
    pub doc: String,
    /// The arguments' type; `None` when the signature does not say.
    pub args: Option<Type>,
    /// How often it is tried.
    pub attempts: LitInt,
}

impl Job {
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

/// Names the job and finds its arguments.
pub fn lower_job(job: ast::Job, errors: &Errors) -> Job {
    let sig = &job.item.sig;
    let span = sig.ident.span();
    Job {
        name: job.name.unwrap_or_else(|| LitStr::new(&name::camel(&name::plain(&sig.ident)), span)),
        doc: attr::doc(&job.item.attrs),
        args: lower_inputs(sig, errors),
        attempts: job.attempts.unwrap_or_else(|| LitInt::new(&ATTEMPTS.to_string(), span)),
        item: job.item,
    }
}

fn lower_inputs(sig: &Signature, errors: &Errors) -> Option<Type> {
    if let Some(receiver) = sig.receiver() {
        errors.push(Code::JobMethod, receiver, "a job is a free function: it has no `self`", SHAPE);
        return None;
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
        errors.push(Code::JobShape, &sig.ident, "a job takes a context and its arguments", SHAPE);
        return None;
    };
    if is_a_mutators(ctx) {
        errors.push(Code::JobActor, ctx, "a job has no actor: it is the server's own work", "write `ctx: &mut JobCtx`");
    } else if !is_ctx(ctx) {
        errors.push(Code::JobContext, ctx, "a job's first argument is its context", "write `ctx: &mut JobCtx`");
    }
    if let Some(extra) = sig.inputs.iter().nth(2) {
        let help = "put every argument into one #[nizhal::args] struct";
        errors.push(Code::JobManyArgs, extra, "a job takes one argument beside its context", help);
    }
    match types.get(1) {
        None => errors.push(
            Code::JobNoArgs,
            &sig.ident,
            "this job takes no arguments",
            "add `args: Args`, where `Args` is a #[nizhal::args] struct, empty if need be",
        ),
        Some(Type::Reference(reference)) => {
            errors.push(Code::JobBorrowsArgs, reference, "a job owns its arguments", "write the type without `&`");
        }
        Some(ty) => return Some((*ty).clone()),
    }
    None
}

/// `&mut JobCtx`, or another name for it, which is rustc's to judge.
fn is_ctx(ctx: &Type) -> bool {
    matches!(ctx, Type::Reference(reference) if reference.mutability.is_some() && ty::name(&reference.elem).is_some())
}

/// `&mut Ctx<…>`
fn is_a_mutators(ctx: &Type) -> bool {
    matches!(ctx, Type::Reference(reference) if ty::argument_of(&reference.elem, "Ctx").is_some())
}
