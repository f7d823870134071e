//! Rules: calls to the typed builder, every token at the user's, so that rustc's errors point there.

use crate::report::report;
use nizhal_syntax::Errors;
use nizhal_syntax::ast::parse_rules;
use nizhal_syntax::check::check_rules;
use nizhal_syntax::model::{Column, Filter, Param, Rule, RuleSet, Source, TableLine, Value, lower_rules};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Path;
use syn::spanned::Spanned;

pub(crate) fn expand_rules(tokens: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let Some(ast) = parse_rules(tokens, &errors) else { return report(errors, TokenStream::new()) };
    let set = lower_rules(ast, &errors);
    check_rules(&set, &errors);
    let rules = if errors.count() == 0 { &set.rules[..] } else { &[] };
    report(errors, expand(&set, rules))
}

fn expand(set: &RuleSet, rules: &[Rule]) -> TokenStream {
    let RuleSet { attrs, vis, ident, actor, .. } = set;
    let doc = attrs.is_empty().then(|| quote!(#[doc = "The sync rules: who may see what."]));
    let rules = rules.iter().map(|rule| expand_rule(rule, actor));
    // Before the function, so that rustc's first word about a type that is no claims type is `Actor`'s.
    let new = quote_spanned!(actor.span()=> ::nizhal::Rules::<#actor>::new());
    quote! {
        const _: () = ::nizhal::__private::claims::<#actor>();
        #doc
        #(#attrs)*
        #vis fn #ident() -> ::nizhal::Rules<#actor> {
            #new #(#rules)*
        }
    }
}

fn expand_rule(rule: &Rule, actor: &Path) -> TokenStream {
    let (name, doc) = (&rule.name, &rule.doc);
    // In the header's order: it is the order of a bucket's parts.
    let params = rule.header.iter().filter_map(|ident| rule.params.iter().find(|param| param.ident == *ident));
    let params = params.map(|param| expand_param(param, actor));
    let tables = rule.tables.iter().map(expand_line);
    let builder = Ident::new("rule", Span::mixed_site());
    quote!(.rule(#name, #doc, |#builder| { #(#params)* #(#tables)* }))
}

fn expand_param(param: &Param, actor: &Path) -> TokenStream {
    let ident = &param.ident;
    let name = nizhal_syntax::name::plain(ident);
    let builder = Ident::new("rule", Span::mixed_site());
    match &param.source {
        Source::Claim(claim) => {
            let claim = expand_claim(claim, actor);
            quote_spanned!(ident.span()=> let #ident = #builder.claim(#name, #claim);)
        }
        Source::Member { column, filters } => {
            let scope = Ident::new("member", Span::mixed_site());
            let column = expand_column(column);
            let filters = filters.iter().map(|filter| expand_filter(&scope, filter, Some(actor)));
            quote_spanned!(ident.span()=> let #ident = #builder.member(#name, #column, |#scope| { #(#filters)* });)
        }
    }
}

fn expand_line(line: &TableLine) -> TokenStream {
    let table = &line.table;
    let builder = Ident::new("rule", Span::mixed_site());
    let scope = Ident::new("table", Span::mixed_site());
    let filters = line.filters.iter().map(|filter| expand_filter(&scope, filter, None));
    quote_spanned!(table.span()=> #builder.table::<#table>(|#scope| { #(#filters)* });)
}

fn expand_filter(scope: &Ident, filter: &Filter, actor: Option<&Path>) -> TokenStream {
    let column = expand_column(&filter.column);
    let span = filter.column.ident.span();
    match (&filter.value, actor) {
        (Value::Claim(claim), Some(actor)) => {
            let claim = expand_claim(claim, actor);
            quote_spanned!(span=> #scope.actor(#column, #claim);)
        }
        (Value::Const(value), _) if filter.negated() => quote_spanned!(span=> #scope.differ(#column, #value);),
        (Value::Const(value), _) => quote_spanned!(span=> #scope.equal(#column, #value);),
        (Value::Param(param), None) => quote_spanned!(span=> #scope.scope(#column, &#param);),
        // Refused by the check; nothing is emitted beside its error.
        (Value::Param(_), Some(_)) | (Value::Claim(_), None) => TokenStream::new(),
    }
}

/// A typed handle, all of it at the user's column.
fn expand_column(column: &Column) -> TokenStream {
    let Column { table, ident } = column;
    quote_spanned!(ident.span()=> <#table as ::nizhal::Table>::COLS.#ident)
}

/// A function from the claims to one of them, all of it at the user's claim.
fn expand_claim(claim: &Ident, actor: &Path) -> TokenStream {
    // Not `mixed_site`: rustc widens a span that mixes two contexts to the whole macro.
    let claims = Ident::new("__claims", claim.span());
    quote_spanned!(claim.span()=> |#claims: &#actor| &#claims.#claim)
}
