//! What a mutator and a job have in common: a free async function of a context and its arguments.

use crate::ast::attr;
use crate::{Code, Errors, name};
use syn::{Attribute, FnArg, Ident, ItemFn, LitStr, Pat, Type, Visibility};

/// A function that Nizhal calls.
#[derive(Debug)]
pub struct Function {
    /// The function.
    pub item: ItemFn,
    /// The name by which it is called.
    pub name: LitStr,
    /// The doc comment.
    pub doc: String,
    /// The arguments' type; `None` when the signature does not say.
    pub args: Option<Type>,
}

impl Function {
    /// The function's name in Rust.
    pub fn ident(&self) -> &Ident {
        &self.item.sig.ident
    }

    /// The function's visibility.
    pub fn vis(&self) -> &Visibility {
        &self.item.vis
    }

    /// The name that the function gives its arguments; `args` where it takes them apart.
    pub fn args_ident(&self) -> Ident {
        let name = self.item.sig.inputs.iter().nth(1).and_then(|input| match input {
            FnArg::Typed(input) => match &*input.pat {
                Pat::Ident(pat) => Some(pat.ident.clone()),
                _ => None,
            },
            FnArg::Receiver(_) => None,
        });
        name.unwrap_or_else(|| Ident::new("args", self.item.sig.ident.span()))
    }

    /// The conditions under which the function exists.
    pub fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.item.attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
    }
}

/// How a kind of function is written and spoken of.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What it is called.
    pub(crate) noun: &'static str,
    /// The type of its context.
    pub(crate) context: &'static str,
    /// What it returns.
    pub(crate) output: &'static str,
    /// Where its name stands for it.
    pub(crate) known: &'static str,
    pub(crate) codes: Codes,
}

/// The codes of one kind's mistakes.
#[derive(Debug)]
pub(crate) struct Codes {
    pub(crate) method: Code,
    pub(crate) shape: Code,
    pub(crate) many_args: Code,
    pub(crate) no_args: Code,
    pub(crate) borrows_args: Code,
    pub(crate) not_async: Code,
    pub(crate) constant: Code,
    pub(crate) not_safe: Code,
    pub(crate) abi: Code,
    pub(crate) lifetime: Code,
    pub(crate) generic: Code,
    pub(crate) impl_trait: Code,
}

impl Kind {
    /// How it is written.
    fn shape(&self) -> String {
        format!("write `async fn name(ctx: {}, args: Args) -> {}`", self.context, self.output)
    }
}

/// Names a function and finds its arguments; `judge` sees the context's type.
pub(crate) fn lower_function(
    kind: &Kind,
    item: ItemFn,
    name: Option<LitStr>,
    judge: impl FnOnce(&Type),
    errors: &Errors,
) -> Function {
    let ident = &item.sig.ident;
    Function {
        name: name.unwrap_or_else(|| LitStr::new(&name::camel(&name::plain(ident)), ident.span())),
        doc: attr::doc(&item.attrs),
        args: lower_inputs(kind, &item, judge, errors),
        item,
    }
}

fn lower_inputs(kind: &Kind, item: &ItemFn, judge: impl FnOnce(&Type), errors: &Errors) -> Option<Type> {
    let Kind { noun, codes, .. } = kind;
    let sig = &item.sig;
    if let Some(receiver) = sig.receiver() {
        errors.push(codes.method, receiver, format!("a {noun} is a free function: it has no `self`"), kind.shape());
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
    let Some(context) = types.first() else {
        errors.push(codes.shape, &sig.ident, format!("a {noun} takes a context and its arguments"), kind.shape());
        return None;
    };
    judge(context);
    if let Some(extra) = sig.inputs.iter().nth(2) {
        let what = format!("a {noun} takes one argument beside its context");
        errors.push(codes.many_args, extra, what, "put every argument into one #[nizhal::args] struct");
    }
    match types.get(1) {
        None => {
            let help = "add `args: Args`, where `Args` is a #[nizhal::args] struct, empty if need be";
            errors.push(codes.no_args, &sig.ident, format!("this {noun} takes no arguments"), help);
        }
        Some(Type::Reference(reference)) => {
            let what = format!("a {noun} owns its arguments");
            errors.push(codes.borrows_args, reference, what, "write the type without `&`");
        }
        Some(ty) => return Some((*ty).clone()),
    }
    None
}
