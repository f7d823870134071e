//! A job: a value of the function's name that describes it, with the function inside.

use crate::stages::{expand_with, strip};
use nizhal_syntax::ast::parse_job;
use nizhal_syntax::check::check_job;
use nizhal_syntax::model::{Job, lower_job};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Ident, ReturnType, Visibility, spanned::Spanned};

pub(crate) fn expand_job(attr: TokenStream, item: TokenStream) -> TokenStream {
    let parse = |errors: &_| parse_job(attr, item.clone(), errors).ok_or_else(|| strip(item));
    expand_with(parse, lower_job, check_job, expand, expand_fallback)
}

fn expand(job: &Job) -> TokenStream {
    let (ident, args, cfgs) = (job.function.ident(), &job.function.args, job.function.cfgs());
    let (name, doc, attempts, privileged) = (&job.function.name, &job.function.doc, &job.attempts, &job.privileged);
    let privileged = quote!(&[#(<#privileged as ::nizhal::Table>::DESC.name),*]);
    let (tag, function) = (expand_tag(job), expand_function(job));
    let span = match &job.function.item.sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => ident.span(),
    };
    // At the return type, where rustc then says what it should have been.
    let call = quote_spanned!(span=> ::nizhal::__private::Box::pin(__nizhal_work(ctx, args)));
    quote! {
        #tag
        #(#cfgs)*
        impl ::nizhal::Job for #ident {
            type Args = #args;
            const DESC: ::nizhal::JobDesc =
                ::nizhal::JobDesc { name: #name, attempts: #attempts, privileged: #privileged, doc: #doc };
            fn run(ctx: &mut ::nizhal::JobCtx, args: #args) -> ::nizhal::__private::Working<'_> {
                #function
                #call
            }
        }
    }
}

/// The value that stands for the job, with the function's documentation.
fn expand_tag(job: &Job) -> TokenStream {
    let (ident, vis, cfgs) = (job.function.ident(), job.function.vis(), job.function.cfgs());
    let docs = job.function.item.attrs.iter().filter(|attr| attr.path().is_ident("doc"));
    quote! {
        #(#cfgs)*
        #(#docs)*
        #[allow(non_camel_case_types, dead_code)]
        #[derive(::core::clone::Clone, ::core::marker::Copy)]
        #vis struct #ident;
    }
}

/// The function under another name, so that its body may enqueue the job by its own.
fn expand_function(job: &Job) -> TokenStream {
    let mut item = job.function.item.clone();
    item.vis = Visibility::Inherited;
    item.sig.ident = Ident::new("__nizhal_work", Span::call_site());
    item.attrs.retain(|attr| !attr.path().is_ident("doc") && !attr.path().is_ident("cfg"));
    quote!(#item)
}

/// The function beside its mistakes, so that its body is checked, and a job that cannot be run.
fn expand_fallback(job: &Job) -> TokenStream {
    let (ident, cfgs) = (job.function.ident(), job.function.cfgs());
    // Inside an `impl` no type can be declared.
    if job.function.item.sig.receiver().is_some() {
        return job.function.item.to_token_stream();
    }
    let tag = expand_tag(job);
    quote! {
        #tag
        #(#cfgs)*
        ::nizhal::__broken_job!(#ident);
    }
}
