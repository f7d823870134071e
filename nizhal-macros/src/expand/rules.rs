//! Rules: calls to the typed builder, every token at the user's, so that rustc's errors point there.

use crate::stages::expand_with;
use nizhal_syntax::ast::parse_rules;
use nizhal_syntax::check::check_rules;
use nizhal_syntax::model::{
    Claim, Column, Condition, Filter, Param, Rule, RuleSet, Source, TableLine, Terms, Value, duration_s, lower_rules,
};
use nizhal_syntax::name;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Lit, Path};

pub(crate) fn expand_rules(tokens: TokenStream) -> TokenStream {
    let parse = |errors: &_| parse_rules(tokens, errors).ok_or_else(TokenStream::new);
    // A rule of which a line could not be read would be judged by rustc for what it lacks.
    let print = |set: &RuleSet| expand(set, set.rules.iter().filter(|rule| !rule.broken));
    expand_with(parse, lower_rules, check_rules, print, |set| expand(set, []))
}

fn expand<'a>(set: &RuleSet, rules: impl IntoIterator<Item = &'a Rule>) -> TokenStream {
    let RuleSet { attrs, vis, ident, actor, .. } = set;
    let doc = attrs.is_empty().then(|| quote!(#[doc = " The sync rules: who may see what."]));
    // Named once, as a line's table is: a misspelt one is one error of rustc's.
    let span = actor.segments.last().map_or_else(|| actor.span(), |last| last.ident.span());
    let claims = format_ident!("__{}_claims", name::plain(ident), span = span);
    let rules = rules.into_iter().map(|rule| expand_rule(rule, &claims));
    // Before the function, so that rustc's first word about a type that is no claims type is `Actor`'s.
    let new = quote_spanned!(actor.span()=> ::nizhal::Rules::<#claims>::new());
    quote! {
        #[allow(non_camel_case_types)]
        type #claims = #actor;
        const _: () = ::nizhal::__private::claims::<#claims>();
        #doc
        #(#attrs)*
        #vis fn #ident() -> ::nizhal::Rules<#claims> {
            #new #(#rules)*
        }
    }
}

fn expand_rule(rule: &Rule, claims: &Ident) -> TokenStream {
    let (name, doc) = (&rule.name, &rule.doc);
    // In the header's order: it is the order of a bucket's parts.
    let params = rule
        .header
        .iter()
        .filter_map(|ident| rule.params.iter().find(|param| name::plain(&param.ident) == name::plain(ident)));
    let params = params.map(|param| expand_param(param, claims));
    let tables = rule.tables.iter().map(|line| expand_line(line, claims));
    let builder = Ident::new("rule", Span::mixed_site());
    let public = rule.public.iter().map(|public| quote_spanned!(public.span()=> #builder.public();));
    let most = rule.max_buckets.iter().map(|most| quote_spanned!(most.span()=> #builder.max_buckets(#most);));
    let priority = rule.priority.iter().map(|number| quote_spanned!(number.span()=> #builder.priority(#number);));
    let on_demand = rule.on_demand.iter().map(|ttl| {
        let ttl_s = duration_s(&ttl.value()).unwrap_or_default();
        quote_spanned!(ttl.span()=> #builder.on_demand(#ttl_s);)
    });
    let users = judge_users(rule, claims);
    quote!(.rule(#name, #doc, |#builder| { #users #(#public)* #(#most)* #(#priority)* #(#on_demand)* #(#params)* #(#tables)* }))
}

/// What judges, when it is compiled, a rule that goes by the user without the tenant.
fn judge_users(rule: &Rule, claims: &Ident) -> TokenStream {
    let is_tenant = |claim: &Claim| name::plain(&claim.ident) == "owner_id";
    let by_tenant = |param: &Param| claims_of(param).into_iter().any(is_tenant);
    if rule.params.iter().any(by_tenant) {
        return TokenStream::new();
    }
    let user = rule.params.iter().flat_map(claims_of).find(|claim| name::plain(&claim.ident) == "user_id");
    let judged = user.map(|user| quote_spanned!(user.ident.span()=> const _: () = ::nizhal::__private::users_are_told_apart::<#claims>();));
    judged.unwrap_or_default()
}

/// The claims that a parameter's values hang on.
fn claims_of(param: &Param) -> Vec<&Claim> {
    match &param.source {
        Source::Claim(claim) => vec![claim],
        Source::Member { terms, .. } => {
            let bound = terms.bound.iter();
            bound
                .filter_map(|filter| if let Value::Claim(claim) = &filter.value { Some(claim) } else { None })
                .collect()
        }
    }
}

fn expand_param(param: &Param, claims: &Ident) -> TokenStream {
    let ident = &param.ident;
    let name = name::plain(ident);
    let builder = Ident::new("rule", Span::mixed_site());
    match &param.source {
        Source::Claim(claim) => {
            let method = Ident::new(if claim.optional { "claim_if_any" } else { "claim" }, ident.span());
            let claim = expand_claim(claim, claims);
            quote_spanned!(ident.span()=> let #ident = #builder.#method(#name, #claim);)
        }
        Source::Member { column, terms } => {
            let expander = LineExpander { table: &column.table, claims };
            let scope = Ident::new("member", Span::mixed_site());
            let (alias, judged, column) = (expander.alias(), expander.names(column), expander.column(column));
            let terms = expander.terms(&scope, terms);
            quote_spanned! {ident.span()=>
                let #ident = { #alias #judged #builder.member(#name, #column, |#scope| { #terms }) };
            }
        }
    }
}

fn expand_line(written: &TableLine, claims: &Ident) -> TokenStream {
    let expander = LineExpander { table: &written.table, claims };
    let builder = Ident::new("rule", Span::mixed_site());
    let scope = Ident::new("table", Span::mixed_site());
    let (alias, table, span) = (expander.alias(), expander.name_of(&written.table), written.table.span());
    let terms = expander.terms(&scope, &written.terms);
    let scope = if terms.is_empty() { quote!(_) } else { quote!(#scope) };
    let Some(columns) = &written.columns else {
        return quote_spanned!(span=> #alias #builder.table::<#table>(|#scope| { #terms }););
    };
    let list = columns
        .iter()
        .map(|ident| quote_spanned!(ident.span()=> <#table as ::nizhal::Table>::COLS.#ident.column_index()));
    let list = quote_spanned!(span=> ::nizhal::__private::keyed::<#table, _>([#(#list),*]));
    quote_spanned! {span=>
        #alias #builder.table_of::<#table>(::nizhal::__narrowed!(#table, #list), |#scope| { #terms });
    }
}

/// The expansion of one line of a rule: its table, and the type of the claims.
///
/// The line's table is named once, by an alias that all else goes by: a misspelt one is then one error of rustc's, however often
/// the line names it.
struct LineExpander<'a> {
    table: &'a Path,
    claims: &'a Ident,
}

impl LineExpander<'_> {
    fn alias(&self) -> TokenStream {
        let (table, alias) = (self.table, self.name_of(self.table));
        let lower = table.segments.last().is_some_and(|last| last.ident.to_string().starts_with(char::is_lowercase));
        let quiet = lower.then(|| quote!(#[allow(non_camel_case_types)]));
        quote_spanned!(table.span()=> #quiet type #alias = #table;)
    }

    /// The alias, at the user's word, when this is the line's table.
    fn name_of(&self, table: &Path) -> TokenStream {
        match table.segments.last() {
            Some(last) if table == self.table => {
                format_ident!("__{}", name::plain(&last.ident), span = last.ident.span()).into_token_stream()
            }
            _ => table.to_token_stream(),
        }
    }

    fn terms(&self, scope: &Ident, terms: &Terms) -> TokenStream {
        let bound = terms.bound.iter().map(|filter| self.bound(scope, filter));
        let unbound = terms.unbound.iter().map(|condition| self.condition(scope, condition));
        quote!(#(#bound)* #(#unbound)*)
    }

    fn bound(&self, scope: &Ident, filter: &Filter) -> TokenStream {
        let column = self.column(&filter.column);
        let span = filter.column.ident.span();
        match &filter.value {
            Value::Claim(claim) => {
                let method = Ident::new(if claim.optional { "actor_if_any" } else { "actor" }, span);
                let claim = expand_claim(claim, self.claims);
                quote_spanned!(span=> #scope.#method(#column, #claim);)
            }
            Value::Param(param) => {
                let judged = self.names(&filter.column);
                quote_spanned!(span=> #judged #scope.scope(#column, &#param);)
            }
            // It binds nothing, so it stands among the other conditions.
            Value::Const(_) => TokenStream::new(),
        }
    }

    fn condition(&self, scope: &Ident, condition: &Condition) -> TokenStream {
        let joined = |method: &str, parts: &mut dyn Iterator<Item = &Condition>| {
            let method = Ident::new(method, Span::mixed_site());
            let inner = Ident::new("side", Span::mixed_site());
            let parts = parts.map(|part| self.condition(&inner, part));
            quote!(#scope.#method(|#inner| { #(#parts)* });)
        };
        match condition {
            Condition::Is(filter) => self.constant(scope, filter),
            Condition::All(all) => joined("all", &mut all.iter()),
            Condition::Any(branches) => joined("any", &mut branches.iter().map(|branch| &branch.condition)),
        }
    }

    fn constant(&self, scope: &Ident, filter: &Filter) -> TokenStream {
        let Value::Const(value) = &filter.value else { return TokenStream::new() };
        let column = self.column(&filter.column);
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
                let column = self.column_at(&filter.column, lit.span());
                Some(quote_spanned!(lit.span()=> const _: () = #column.knows(#lit);))
            }
            _ => None,
        };
        quote_spanned!(span=> #judged #scope.#method(#column, #value);)
    }

    /// What judges, when it is compiled, a column whose values name buckets.
    fn names(&self, column: &Column) -> TokenStream {
        let handle = self.column(column);
        quote_spanned!(column.ident.span()=> const _: () = #handle.names_buckets();)
    }

    /// A typed handle, all of it at the user's column.
    fn column(&self, column: &Column) -> TokenStream {
        self.column_at(column, column.ident.span())
    }

    fn column_at(&self, Column { table, ident }: &Column, span: Span) -> TokenStream {
        let table = self.name_of(table);
        quote_spanned!(span=> <#table as ::nizhal::Table>::COLS.#ident)
    }
}

/// A function from the claims to one of them, all of it at the user's claim.
fn expand_claim(claim: &Claim, claims: &Ident) -> TokenStream {
    let claim = &claim.ident;
    // Not `mixed_site`: rustc widens a span that mixes two contexts to the whole macro.
    let actor = Ident::new("__actor", claim.span());
    quote_spanned!(claim.span()=> |#actor: &#claims| &#actor.#claim)
}
