//! Rules: calls to the typed builder, every token at the user's, so that rustc's errors point there.

use crate::report::report;
use nizhal_syntax::ast::parse_rules;
use nizhal_syntax::check::check_rules;
use nizhal_syntax::model::{
    Claim, Column, Condition, Filter, Param, Rule, RuleSet, Source, TableLine, Terms, Value, lower_rules,
};
use nizhal_syntax::{Errors, name};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Lit, Path};

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
    let params = rule
        .header
        .iter()
        .filter_map(|ident| rule.params.iter().find(|param| name::plain(&param.ident) == name::plain(ident)));
    let params = params.map(|param| expand_param(param, actor));
    let tables = rule.tables.iter().map(|line| expand_line(line, actor));
    let builder = Ident::new("rule", Span::mixed_site());
    let public = rule.public.iter().map(|public| quote_spanned!(public.span()=> #builder.public();));
    let most = rule.max_buckets.iter().map(|most| quote_spanned!(most.span()=> #builder.max_buckets(#most);));
    quote!(.rule(#name, #doc, |#builder| { #(#public)* #(#most)* #(#params)* #(#tables)* }))
}

fn expand_param(param: &Param, actor: &Path) -> TokenStream {
    let ident = &param.ident;
    let name = name::plain(ident);
    let builder = Ident::new("rule", Span::mixed_site());
    match &param.source {
        Source::Claim(claim) => {
            let method = Ident::new(if claim.optional { "claim_if_any" } else { "claim" }, ident.span());
            let claim = expand_claim(claim, actor);
            quote_spanned!(ident.span()=> let #ident = #builder.#method(#name, #claim);)
        }
        Source::Member { column, terms } => {
            let scope = Ident::new("member", Span::mixed_site());
            let (column, judged) = (expand_column(column), expand_names(column));
            let terms = expand_terms(&scope, terms, actor);
            quote_spanned!(ident.span()=> #judged let #ident = #builder.member(#name, #column, |#scope| { #terms });)
        }
    }
}

fn expand_line(line: &TableLine, actor: &Path) -> TokenStream {
    let table = &line.table;
    let builder = Ident::new("rule", Span::mixed_site());
    let scope = Ident::new("table", Span::mixed_site());
    let terms = expand_terms(&scope, &line.terms, actor);
    let scope = if terms.is_empty() { quote!(_) } else { quote!(#scope) };
    let Some(columns) = &line.columns else {
        return quote_spanned!(table.span()=> #builder.table::<#table>(|#scope| { #terms }););
    };
    let listed =
        columns.iter().map(|ident| quote_spanned!(ident.span()=> <#table as ::nizhal::Table>::COLS.#ident.listed()));
    let listed = quote_spanned!(table.span()=> ::nizhal::__private::keyed::<#table, _>([#(#listed),*]));
    quote_spanned!(table.span()=> #builder.table_of::<#table>(::nizhal::__narrowed!(#table, #listed), |#scope| { #terms });)
}

fn expand_terms(scope: &Ident, terms: &Terms, actor: &Path) -> TokenStream {
    let bound = terms.bound.iter().map(|filter| expand_bound(scope, filter, actor));
    let rest = terms.rest.iter().map(|condition| expand_condition(scope, condition));
    quote!(#(#bound)* #(#rest)*)
}

fn expand_bound(scope: &Ident, filter: &Filter, actor: &Path) -> TokenStream {
    let column = expand_column(&filter.column);
    let span = filter.column.ident.span();
    match &filter.value {
        Value::Claim(claim) => {
            let method = Ident::new(if claim.optional { "actor_if_any" } else { "actor" }, span);
            let claim = expand_claim(claim, actor);
            quote_spanned!(span=> #scope.#method(#column, #claim);)
        }
        Value::Param(param) => {
            let judged = expand_names(&filter.column);
            quote_spanned!(span=> #judged #scope.scope(#column, &#param);)
        }
        // It binds nothing, so it stands among the other conditions.
        Value::Const(_) => TokenStream::new(),
    }
}

fn expand_condition(scope: &Ident, condition: &Condition) -> TokenStream {
    let joined = |method: &str, parts: &mut dyn Iterator<Item = &Condition>| {
        let method = Ident::new(method, Span::mixed_site());
        let inner = Ident::new("side", Span::mixed_site());
        let parts = parts.map(|part| expand_condition(&inner, part));
        quote!(#scope.#method(|#inner| { #(#parts)* });)
    };
    match condition {
        Condition::Is(filter) => expand_constant(scope, filter),
        Condition::All(all) => joined("all", &mut all.iter()),
        Condition::Any(branches) => joined("any", &mut branches.iter().map(|branch| &branch.condition)),
    }
}

fn expand_constant(scope: &Ident, filter: &Filter) -> TokenStream {
    let Value::Const(value) = &filter.value else { return TokenStream::new() };
    let column = expand_column(&filter.column);
    let span = filter.column.ident.span();
    let method = match (&**value, filter.negated()) {
        (Expr::Path(_), false) => "equal_to",
        (Expr::Path(_), true) => "differ_from",
        (_, false) => "equal",
        (_, true) => "differ",
    };
    let method = Ident::new(method, span);
    let judged = match &**value {
        Expr::Lit(ExprLit { lit: lit @ Lit::Str(_), .. }) => {
            let column = expand_column_at(&filter.column, lit.span());
            Some(quote_spanned!(lit.span()=> const _: () = #column.knows(#lit);))
        }
        _ => None,
    };
    quote_spanned!(span=> #judged #scope.#method(#column, #value);)
}

/// What judges, when it is compiled, a column whose values name buckets.
fn expand_names(column: &Column) -> TokenStream {
    let handle = expand_column(column);
    quote_spanned!(column.ident.span()=> const _: () = #handle.names_buckets();)
}

/// A typed handle, all of it at the user's column.
fn expand_column(column: &Column) -> TokenStream {
    expand_column_at(column, column.ident.span())
}

fn expand_column_at(Column { table, ident }: &Column, span: Span) -> TokenStream {
    quote_spanned!(span=> <#table as ::nizhal::Table>::COLS.#ident)
}

/// A function from the claims to one of them, all of it at the user's claim.
fn expand_claim(claim: &Claim, actor: &Path) -> TokenStream {
    let claim = &claim.ident;
    // Not `mixed_site`: rustc widens a span that mixes two contexts to the whole macro.
    let claims = Ident::new("__claims", claim.span());
    quote_spanned!(claim.span()=> |#claims: &#actor| &#claims.#claim)
}
