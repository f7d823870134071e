//! `sync_rules!` as written; conditions are still Rust expressions.

use crate::{Code, Errors, symbol};
use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Path, Token, Visibility, braced, parenthesized, token};

/// A rule set.
#[derive(Debug)]
pub struct RuleSet {
    /// The doc comments and other attributes.
    pub attrs: Vec<Attribute>,
    /// The visibility.
    pub vis: Visibility,
    /// The name of the function that gives the rules.
    pub ident: Ident,
    /// The claims type.
    pub actor: Path,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// The doc comments, `#[name = "…"]`, `#[max_buckets = …]`, `#[priority = …]` and `#[on_demand(ttl = "…")]`.
    pub attrs: Vec<Attribute>,
    /// `public`, where it is written.
    pub public: Option<Ident>,
    /// The name.
    pub ident: Ident,
    /// The bucket parameters of the header.
    pub params: Vec<Ident>,
    /// The lines.
    pub stmts: Vec<Stmt>,
    /// Whether a line could not be read, so that what it said is unknown.
    pub broken: bool,
}

/// A line of a rule.
#[derive(Debug)]
pub enum Stmt {
    /// `param = actor.claim;`
    Claim {
        /// The parameter.
        param: Ident,
        /// What follows `=`.
        value: Box<Expr>,
    },
    /// `param in Table.column where …;`
    Member {
        /// The parameter.
        param: Ident,
        /// What follows `in`.
        column: Box<Expr>,
        /// What follows `where`.
        filter: Option<Box<Expr>>,
    },
    /// `Table { column, … } where …;`
    Table {
        /// The table.
        table: Path,
        /// What stands between the braces.
        columns: Option<Vec<Ident>>,
        /// What follows `where`.
        filter: Option<Box<Expr>>,
    },
}

/// Reads a rule set; `None` when its first line cannot be read.
pub fn parse_rules(tokens: TokenStream, errors: &Errors) -> Option<RuleSet> {
    let parser = |input: ParseStream| {
        let mut set = parse_head(input)?;
        while !input.is_empty() {
            match parse_rule(input, errors) {
                Ok(rule) => set.rules.push(rule),
                Err(error) => {
                    errors.syntax(error);
                    skip_rule(input);
                }
            }
        }
        Ok(set)
    };
    parser.parse2(tokens).map_err(|error| errors.syntax(error)).ok()
}

fn parse_head(input: ParseStream) -> syn::Result<RuleSet> {
    let head = |input: ParseStream| {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let ident = input.parse()?;
        input.parse::<Token![for]>()?;
        let actor = input.parse()?;
        input.parse::<Token![;]>()?;
        Ok(RuleSet { attrs, vis, ident, actor, rules: Vec::new() })
    };
    head(input).map_err(|error: syn::Error| {
        let what = "rules begin with their name and the claims type";
        Code::RulesWithoutHead.error(error.span(), what, "write `pub app_rules for Claims;` first")
    })
}

fn parse_rule(input: ParseStream, errors: &Errors) -> syn::Result<Rule> {
    let attrs = input.call(Attribute::parse_outer)?;
    let mut keyword = input.call(Ident::parse_any)?;
    let public = (keyword == symbol::PUBLIC).then(|| keyword.clone());
    if public.is_some() {
        keyword = input.call(Ident::parse_any)?;
    }
    if keyword != "rule" {
        return Err(Code::NotARule.error(
            keyword.span(),
            "this is not a rule",
            "write `rule name(parameter) { … }` or `public rule name() { … }`",
        ));
    }
    let ident = input.parse()?;
    let (params, body);
    parenthesized!(params in input);
    // Read apart: what a failed parser leaves of a group, syn would report a second time.
    let params: TokenStream = params.parse()?;
    let params = Punctuated::<Ident, Token![,]>::parse_terminated.parse2(params)?.into_iter().collect();
    braced!(body in input);
    let mut rule = Rule { attrs, public, ident, params, stmts: Vec::new(), broken: false };
    while !body.is_empty() {
        match parse_stmt(&body) {
            Ok(stmt) => rule.stmts.push(stmt),
            Err(error) => {
                errors.syntax(error);
                rule.broken = true;
                skip_past_semicolon(&body);
            }
        }
    }
    Ok(rule)
}

fn parse_stmt(input: ParseStream) -> syn::Result<Stmt> {
    let stmt = if input.peek(syn::Ident) && input.peek2(Token![in]) {
        let param = input.parse()?;
        input.parse::<Token![in]>()?;
        Stmt::Member { param, column: Box::new(input.parse()?), filter: parse_where(input)? }
    } else if input.peek(syn::Ident) && input.peek2(Token![=]) && !input.peek2(Token![==]) {
        let param = input.parse()?;
        input.parse::<Token![=]>()?;
        Stmt::Claim { param, value: Box::new(input.parse()?) }
    } else if input.peek(syn::Ident)
        || input.peek(Token![::])
        || input.peek(Token![crate])
        || input.peek(Token![self])
        || input.peek(Token![super])
    {
        Stmt::Table {
            table: input.call(Path::parse_mod_style)?,
            columns: parse_columns(input)?,
            filter: parse_where(input)?,
        }
    } else {
        let help = "write `Table where Table.column == parameter;`, `parameter in Table.column where …;` or \
                    `parameter = actor.claim;`";
        return Err(Code::NotALine.error(input.span(), "this is not a line of a rule", help));
    };
    if !input.peek(Token![;]) {
        let help = "write `;` before this, or join conditions with `&&`";
        // Not `input.error`: at the end of the rule that would speak of the end of the input.
        return Err(Code::LineUnended.error(input.span(), "this line of the rule should have ended", help));
    }
    input.parse::<Token![;]>()?;
    Ok(stmt)
}

fn parse_columns(input: ParseStream) -> syn::Result<Option<Vec<Ident>>> {
    if !input.peek(token::Brace) {
        return Ok(None);
    }
    let inside;
    braced!(inside in input);
    let inside: TokenStream = inside.parse()?;
    let columns = Punctuated::<Ident, Token![,]>::parse_terminated.parse2(inside).map_err(|error| {
        Code::ListNotNames.error(
            error.span(),
            "this list names columns, and nothing else",
            "write `Table { id, column }`",
        )
    })?;
    Ok(Some(columns.into_iter().collect()))
}

fn parse_where(input: ParseStream) -> syn::Result<Option<Box<Expr>>> {
    if !input.peek(Token![where]) {
        return Ok(None);
    }
    input.parse::<Token![where]>()?;
    Ok(Some(Box::new(input.parse()?)))
}

fn skip_past_semicolon(input: ParseStream) {
    while !input.is_empty() {
        if matches!(input.parse::<TokenTree>(), Ok(TokenTree::Punct(punct)) if punct.as_char() == ';') {
            return;
        }
    }
}

/// Skips to what follows the next `{ … }`.
fn skip_rule(input: ParseStream) {
    while !input.is_empty() {
        let brace = input.peek(token::Brace);
        if input.parse::<TokenTree>().is_err() || brace {
            return;
        }
    }
}
