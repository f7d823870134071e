//! The conditions of a rule: columns compared with parameters, claims and constants, joined by `&&` and `||`.

use crate::{Code, Errors, symbol};
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{BinOp, Expr, ExprBinary, ExprField, ExprLit, ExprUnary, Lit, Member, Path, Token, UnOp};

/// `Table.column`.
#[derive(Clone, Debug)]
pub struct Column {
    /// The table, as written.
    pub table: Path,
    /// The column.
    pub ident: Ident,
}

impl Column {
    /// The last segment of the table's path.
    pub fn table_ident(&self) -> Option<&Ident> {
        self.table.segments.last().map(|segment| &segment.ident)
    }
}

impl ToTokens for Column {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { table, ident } = self;
        tokens.extend(quote!(#table.#ident));
    }
}

/// A condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// One comparison.
    Is(Filter),
    /// All must hold.
    All(Vec<Condition>),
    /// One must hold.
    Any(Vec<Branch>),
}

impl Condition {
    /// The comparisons in it, in the order of the source.
    pub fn filters(&self) -> Vec<&Filter> {
        match self {
            Self::Is(filter) => vec![filter],
            Self::All(all) => all.iter().flat_map(Self::filters).collect(),
            Self::Any(any) => any.iter().flat_map(|branch| branch.condition.filters()).collect(),
        }
    }

    /// What must all hold.
    pub fn all(self) -> Vec<Self> {
        match self {
            Self::All(all) => all,
            one => vec![one],
        }
    }

    /// All of these.
    pub(super) fn of(all: Vec<Self>) -> Self {
        let mut flat: Vec<Self> = all.into_iter().flat_map(Self::all).collect();
        if flat.len() == 1 { flat.remove(0) } else { Self::All(flat) }
    }
}

/// One side of `||`.
#[derive(Clone, Debug)]
pub struct Branch {
    /// As written.
    pub at: Expr,
    /// What it says.
    pub condition: Condition,
}

/// One comparison.
#[derive(Clone, Debug)]
pub struct Filter {
    /// What is compared.
    pub column: Column,
    /// `==` or `!=`, as written.
    pub op: BinOp,
    /// What it is compared with.
    pub value: Value,
}

impl Filter {
    /// Whether the comparison is `!=`.
    pub fn negated(&self) -> bool {
        matches!(self.op, BinOp::Ne(_))
    }
}

/// What a column is compared with.
#[derive(Clone, Debug)]
pub enum Value {
    /// `shop_id`
    Param(Ident),
    /// `actor.user_id`
    Claim(Claim),
    /// `"owner"`, `1`, `-1`, `true`, or the path of one: `Status::Open`.
    Const(Box<Expr>),
}

impl ToTokens for Value {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Param(ident) => ident.to_tokens(tokens),
            Self::Claim(Claim { ident, optional }) => {
                let (actor, question) = (Ident::new(symbol::ACTOR, ident.span()), optional.then(<Token![?]>::default));
                tokens.extend(quote!(#actor.#ident #question));
            }
            Self::Const(value) => value.to_tokens(tokens),
        }
    }
}

/// `actor.user_id`, or `actor.shop_id?` for a claim that may be absent.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The claim's name.
    pub ident: Ident,
    /// Whether `?` follows: where the claim is absent, nothing matches.
    pub optional: bool,
}

/// Understands a condition; what is not understood is reported and left out.
pub fn lower_condition(expr: &Expr, errors: &Errors) -> Condition {
    match expr {
        Expr::Paren(paren) => return lower_condition(&paren.expr, errors),
        Expr::Group(group) => return lower_condition(&group.expr, errors),
        Expr::Binary(ExprBinary { left, op: BinOp::And(_), right, .. }) => {
            return Condition::of(vec![lower_condition(left, errors), lower_condition(right, errors)]);
        }
        Expr::Binary(ExprBinary { left, op: BinOp::Or(_), right, .. }) => {
            return Condition::Any([left, right].into_iter().flat_map(|side| lower_branches(side, errors)).collect());
        }
        Expr::Binary(ExprBinary { left, op: op @ (BinOp::Eq(_) | BinOp::Ne(_)), right, .. }) => {
            if let Some(filter) = compare(left, op, right, errors) {
                return Condition::Is(filter);
            }
        }
        _ => refuse(expr, errors),
    }
    Condition::All(Vec::new())
}

/// The branches of `a || b || c`, side by side.
fn lower_branches(side: &Expr, errors: &Errors) -> Vec<Branch> {
    match lower_condition(side, errors) {
        Condition::Any(branches) => branches,
        condition => vec![Branch { at: side.clone(), condition }],
    }
}

/// Says why this is no condition.
fn refuse(expr: &Expr, errors: &Errors) {
    match expr {
        Expr::Binary(ExprBinary { op, .. }) => {
            let what = format!("`{}` cannot stand in a rule", op.to_token_stream());
            errors.push(
                Code::UnknownOperator,
                op,
                what,
                "compare with `==` or `!=`, and join comparisons with `&&` or `||`",
            );
        }
        Expr::Unary(ExprUnary { op: op @ UnOp::Not(_), expr, .. }) => {
            let help = match column_of(expr) {
                Some(column) => format!("write `{} == false`", text(&column)),
                None => "write `!=` in place of `!` and `==`".to_owned(),
            };
            errors.push(Code::Negation, op, "`!` cannot stand in a rule", help);
        }
        Expr::Lit(ExprLit { lit: lit @ Lit::Str(_), .. }) => {
            errors.push(
                Code::SqlText,
                lit,
                "SQL as text cannot be checked, so a rule takes none",
                "compare a column: `Table.column == parameter`",
            );
        }
        Expr::Lit(ExprLit { lit: lit @ Lit::Bool(flag), .. }) => {
            let what = if flag.value { "this condition is always true" } else { "this condition is never true" };
            errors.push(Code::ConstantCondition, lit, what, "compare a column: `Table.column == parameter`");
        }
        other => match column_of(other) {
            Some(column) => {
                let column = text(&column);
                errors.push(
                    Code::BareColumn,
                    other,
                    "a column alone is not a condition",
                    format!("write `{column} == true`"),
                );
            }
            None => errors.push(
                Code::UnknownCondition,
                other,
                "this cannot be checked, so it cannot stand in a rule",
                "compare a column: `Table.column == parameter`",
            ),
        },
    }
}

fn compare(left: &Expr, op: &BinOp, right: &Expr, errors: &Errors) -> Option<Filter> {
    let sides = quote!(#left #op #right);
    match (column_of(left), column_of(right)) {
        (Some(a), Some(b)) if text(&a) == text(&b) => {
            let what = if matches!(op, BinOp::Eq(_)) { "always true" } else { "never true" };
            errors.push(
                Code::ComparedWithItself,
                sides,
                format!("this condition is {what}: it compares a column with itself"),
                "take it away",
            );
            None
        }
        (Some(_), Some(_)) => {
            errors.push(
                Code::TwoColumns,
                right,
                "a rule compares no two columns",
                "compare with a parameter, with `actor.claim` or with a constant",
            );
            None
        }
        (Some(column), None) => Some(Filter { column, op: *op, value: lower_value(right, errors)? }),
        (None, Some(column)) => {
            let swapped = format!("write `{} {} {}`", text(&column), text(op), text(left));
            errors.push(Code::ColumnSecond, sides, "the column comes first", swapped);
            None
        }
        (None, None) if constant(left).is_some() && constant(right).is_some() => {
            let what = if (text(left) == text(right)) == matches!(op, BinOp::Eq(_)) { "always" } else { "never" };
            errors.push(
                Code::TwoConstants,
                sides,
                format!("this condition is {what} true: it compares two constants"),
                "compare a column: `Table.column == \"…\"`",
            );
            None
        }
        (None, None) => {
            errors.push(Code::NotAColumn, left, "this is not a column", "write `Table.column` on the left");
            None
        }
    }
}

fn lower_value(expr: &Expr, errors: &Errors) -> Option<Value> {
    if let Some(claim) = claim_of(expr) {
        return Some(Value::Claim(claim));
    }
    match expr {
        Expr::Paren(paren) => return lower_value(&paren.expr, errors),
        Expr::Group(group) => return lower_value(&group.expr, errors),
        Expr::Path(path) => {
            if let Some(ident) = path.path.get_ident() {
                return Some(Value::Param(ident.clone()));
            }
            // One name alone is a parameter's, so that no constant can stand in for a parameter that is not there.
            if path.qself.is_none() {
                return Some(Value::Const(Box::new(expr.clone())));
            }
        }
        _ => {}
    }
    if let Some(constant) = constant(expr) {
        return Some(Value::Const(Box::new(constant)));
    }
    errors.push(
        Code::UnknownValue,
        expr,
        "a column cannot be compared with this",
        "compare with a parameter, with `actor.claim`, or with a constant: a text, a whole number, `true`, `false`, or the path of \
         one, `Status::Open`",
    );
    None
}

/// `Table.column`; the actor is no table.
pub(super) fn column_of(expr: &Expr) -> Option<Column> {
    let (table, ident) = field_of(expr)?;
    (!table.is_ident(symbol::ACTOR)).then(|| Column { table: table.clone(), ident })
}

/// The claim of `actor.claim` or `actor.claim?`.
pub(super) fn claim_of(expr: &Expr) -> Option<Claim> {
    let (expr, optional) = match expr {
        Expr::Try(tried) => (&*tried.expr, true),
        Expr::Paren(paren) => return claim_of(&paren.expr),
        Expr::Group(group) => return claim_of(&group.expr),
        expr => (expr, false),
    };
    let (base, ident) = field_of(expr)?;
    base.is_ident(symbol::ACTOR).then_some(Claim { ident, optional })
}

fn field_of(expr: &Expr) -> Option<(&Path, Ident)> {
    match expr {
        Expr::Field(ExprField { base, member: Member::Named(ident), .. }) => match &**base {
            Expr::Path(path) if path.qself.is_none() => Some((&path.path, ident.clone())),
            _ => None,
        },
        Expr::Paren(paren) => field_of(&paren.expr),
        Expr::Group(group) => field_of(&group.expr),
        _ => None,
    }
}

fn constant(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(_) | Lit::Int(_) | Lit::Bool(_), .. }) => Some(expr.clone()),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr: inner, .. }) => {
            matches!(&**inner, Expr::Lit(ExprLit { lit: Lit::Int(_), .. })).then(|| expr.clone())
        }
        Expr::Paren(paren) => constant(&paren.expr),
        Expr::Group(group) => constant(&group.expr),
        _ => None,
    }
}

/// Tokens as people write them.
pub(crate) fn text(tokens: &impl ToTokens) -> String {
    tokens
        .to_token_stream()
        .to_string()
        .replace(" . ", ".")
        .replace(" :: ", "::")
        .replace(":: ", "::")
        .replace(" ?", "?")
}
