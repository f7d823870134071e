//! Rules: parameters with their sources, and tables with their conditions.

use super::condition::{Claim, Column, Condition, claim_of, column_of, lower_condition};
use super::terms::Terms;
use crate::ast::{self, Stmt, attr};
use crate::{Code, Errors, name, symbol};
use proc_macro2::Ident;
use quote::ToTokens;
use syn::{Attribute, Expr, ExprLit, Lit, LitInt, LitStr, Meta, MetaNameValue, Path, Visibility};

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
    /// The name in the source.
    pub ident: Ident,
    /// The name on the wire, spanned at what the user wrote.
    pub name: LitStr,
    /// The doc comment.
    pub doc: String,
    /// `public`, where it is written.
    pub public: Option<Ident>,
    /// The most buckets that an actor may have of it, where that is written.
    pub max_buckets: Option<LitInt>,
    /// The priority, where it is written.
    pub priority: Option<LitInt>,
    /// The `ttl` of `on_demand`, where that is written.
    pub on_demand: Option<LitStr>,
    /// The parameters of the header.
    pub header: Vec<Ident>,
    /// The parameters as bound, in the order of their lines.
    pub params: Vec<Param>,
    /// The tables.
    pub tables: Vec<TableLine>,
    /// Whether part of it was not understood, so that nothing can be said of what is missing.
    pub broken: bool,
}

/// A bound parameter.
#[derive(Debug)]
pub struct Param {
    /// Its name.
    pub ident: Ident,
    /// Where its values come from.
    pub source: Source,
    /// Whether part of its line was not understood.
    pub broken: bool,
}

/// Where a parameter's values come from.
#[derive(Debug)]
pub enum Source {
    /// A claim.
    Claim(Claim),
    /// The rows of a membership table.
    Member {
        /// The column with the values.
        column: Column,
        /// The conditions.
        terms: Box<Terms>,
    },
}

/// A table that the rule syncs.
#[derive(Debug)]
pub struct TableLine {
    /// The table.
    pub table: Path,
    /// The columns that leave the server, where they are listed.
    pub columns: Option<Vec<Ident>>,
    /// The conditions.
    pub terms: Terms,
    /// Whether part of the line was not understood.
    pub broken: bool,
}

impl TableLine {
    /// The last segment of the table's path.
    pub fn table_ident(&self) -> Option<&Ident> {
        self.table.segments.last().map(|segment| &segment.ident)
    }
}

/// Names the rules and understands their conditions.
pub fn lower_rules(set: ast::RuleSet, errors: &Errors) -> RuleSet {
    RuleSet {
        rules: set.rules.into_iter().map(|rule| lower_rule(rule, errors)).collect(),
        attrs: set.attrs,
        vis: set.vis,
        ident: set.ident,
        actor: set.actor,
    }
}

fn lower_rule(rule: ast::Rule, errors: &Errors) -> Rule {
    let Words { name, max_buckets, priority, on_demand } = lower_words(&rule, errors);
    let default = || LitStr::new(&name::camel(&name::plain(&rule.ident)), rule.ident.span());
    let mut lowered = Rule {
        name: name.unwrap_or_else(default),
        max_buckets,
        priority,
        on_demand,
        doc: attr::doc(&rule.attrs),
        public: rule.public,
        ident: rule.ident,
        header: rule.params,
        params: Vec::new(),
        tables: Vec::new(),
        broken: rule.broken,
    };
    for stmt in rule.stmts {
        let before = errors.count();
        let terms = |filter: Option<Box<Expr>>| {
            Terms::of(filter.map_or_else(|| Condition::All(Vec::new()), |expr| lower_condition(&expr, errors)))
        };
        match stmt {
            Stmt::Claim { param, value } => {
                let source = lower_claim(&param, &value, errors).map(Source::Claim);
                lowered.bind(param, source, false);
            }
            Stmt::Member { param, column, filter } => {
                let terms = terms(filter);
                let source = lower_member(&param, &column, errors)
                    .map(|column| Source::Member { column, terms: Box::new(terms) });
                lowered.bind(param, source, errors.count() > before);
            }
            Stmt::Table { table, columns, filter } => {
                let terms = terms(filter);
                lowered.tables.push(TableLine { table, columns, terms, broken: errors.count() > before });
            }
        }
    }
    lowered
}

impl Rule {
    fn bind(&mut self, ident: Ident, source: Option<Source>, broken: bool) {
        match source {
            Some(source) => self.params.push(Param { ident, source, broken }),
            None => self.broken = true,
        }
    }
}

/// What a rule's attributes say.
#[derive(Default)]
struct Words {
    name: Option<LitStr>,
    max_buckets: Option<LitInt>,
    priority: Option<LitInt>,
    on_demand: Option<LitStr>,
}

fn lower_words(rule: &ast::Rule, errors: &Errors) -> Words {
    let (mut words, mut seen) = (Words::default(), Vec::new());
    for attr in rule.attrs.iter().filter(|attr| !attr.path().is_ident("doc")) {
        let word = attr.path().get_ident().map(Ident::to_string).unwrap_or_default();
        if seen.contains(&word) && symbol::RULE_WORDS.contains(&word.as_str()) {
            errors.push(Code::RuleWordTwice, &attr.meta, "this is written twice", "take one of them away");
            continue;
        }
        match (word.as_str(), &attr.meta) {
            (symbol::NAME, Meta::NameValue(pair)) => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => words.name = Some(text.clone()),
                other => {
                    errors.push(Code::RuleNameNotText, other, "a rule's name is a text", "write `#[name = \"…\"]`")
                }
            },
            (symbol::MAX_BUCKETS, Meta::NameValue(pair)) => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => words.max_buckets = Some(number.clone()),
                other => errors.push(
                    Code::MaxBucketsNotNumber,
                    other,
                    "the most buckets are a whole number",
                    "write `#[max_buckets = 200]`",
                ),
            },
            (symbol::PRIORITY, Meta::NameValue(pair)) => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => words.priority = Some(number.clone()),
                other => errors.push(
                    Code::PriorityNotNumber,
                    other,
                    "a priority is a whole number",
                    "write `#[priority = 1]`: the lowest number comes first",
                ),
            },
            (symbol::ON_DEMAND, meta) => words.on_demand = lower_on_demand(meta, errors),
            (_, other) => {
                let help = "write `#[name = \"…\"]`, `#[max_buckets = 200]`, `#[priority = 1]`, `#[on_demand(ttl = \"7d\")]` or a doc \
                            comment";
                errors.push(Code::UnknownRuleWord, other.path(), "a rule has no such attribute", help);
            }
        }
        seen.push(word);
    }
    words
}

/// The `ttl` of `on_demand(ttl = "…")`.
fn lower_on_demand(meta: &Meta, errors: &Errors) -> Option<LitStr> {
    let inner = match meta {
        Meta::List(list) => list.parse_args::<MetaNameValue>().ok(),
        _ => None,
    };
    match inner {
        Some(MetaNameValue { path, value: Expr::Lit(ExprLit { lit: Lit::Str(ttl), .. }), .. })
            if path.is_ident(symbol::TTL) =>
        {
            Some(ttl)
        }
        _ => {
            let what = "`on_demand` says how long a bucket is kept that nobody asks for any more";
            errors.push(Code::OnDemandShape, meta, what, "write `#[on_demand(ttl = \"7d\")]`");
            None
        }
    }
}

/// The seconds of a text such as `90s`, `30m`, `12h` or `7d`; `None` for any other, and for none at all.
pub fn duration_s(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let number = text.strip_suffix(unit)?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(seconds).filter(|&seconds| seconds > 0)
}

fn lower_claim(param: &Ident, value: &Expr, errors: &Errors) -> Option<Claim> {
    let claim = claim_of(value);
    if claim.is_none() {
        let what = format!("`{param}` is bound to something other than the actor");
        errors.push(
            Code::BoundToOther,
            value,
            what,
            format!("write `{param} = actor.claim;` with a field of the claims type"),
        );
    }
    claim
}

fn lower_member(param: &Ident, column: &Expr, errors: &Errors) -> Option<Column> {
    let found = column_of(column);
    if found.is_none() {
        let help = match claim_of(column) {
            Some(claim) => format!("write `{param} = actor.{};` for a parameter with one value", claim.ident),
            None => format!("write `{param} in Table.column where Table.user == actor.user_id;`"),
        };
        errors.push(
            Code::MembershipNoColumn,
            column.to_token_stream(),
            "this is not a column of a membership table",
            help,
        );
    }
    found
}
