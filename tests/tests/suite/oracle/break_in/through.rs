//! A rule set's text through the front end, and its model to the typed builder by the calls that `sync_rules!` writes.

use super::shape::PATHS;
use super::table::{COLUMNS, Member, Table0, Table1, Table2, Table3, Table4, Table5};
use crate::oracle::declare::Claims;
use nizhal::{Col, ColumnIndex, ConstColumn, Rules, SqlType, SyncedTable, Table, TableDesc};
use nizhal_core::{Conditions, MemberScope, Param, Rule, RuleBuilder, TableScope};
use nizhal_syntax::{
    Errors,
    ast::parse_rules,
    check::check_rules,
    model::{self, Condition, Filter, Source, TableLine, Value, lower_rules},
    name::plain,
};
use syn::{Expr, ExprLit, ExprUnary, Ident, Lit};

/// The rules of this text, which the front end must accept.
pub(in crate::oracle) fn rules_of(text: &str) -> Vec<Rule> {
    let errors = Errors::new();
    let ast = parse_rules(text.parse().expect("tokens"), &errors);
    let set = ast.map(|ast| lower_rules(ast, &errors));
    set.iter().for_each(|set| check_rules(set, &errors));
    errors.finish().unwrap_or_else(|error| panic!("a sound set is refused: {error}\n{text}"));
    let set = set.expect("no error, so a model");
    let rules = set.rules.iter().fold(Rules::<Claims>::new(), |rules, rule| {
        rules.rule(leaked(rule.name.value()), leaked(rule.doc.clone()), |builder| build(builder, rule))
    });
    drop(set);
    // Kept, the spans would make each parse slower than the last.
    proc_macro2::extra::invalidate_current_thread_spans();
    rules.into_inner()
}

/// Constants of an app are leaked here, some bytes a case.
fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// The parameters, each by its name.
type Params = Vec<(String, Param<String>)>;

fn build(builder: &mut RuleBuilder<Claims>, rule: &model::Rule) {
    if rule.public.is_some() {
        builder.public();
    }
    if let Some(most) = &rule.max_buckets {
        builder.max_buckets(most.base10_parse().expect("a number"));
    }
    if let Some(number) = &rule.priority {
        builder.priority(number.base10_parse().expect("a number"));
    }
    if let Some(ttl) = &rule.on_demand {
        builder.on_demand(model::duration_s(&ttl.value()).expect("a duration"));
    }
    let mut params = Params::new();
    for ident in &rule.header {
        let name = plain(ident);
        let param = rule.params.iter().find(|param| plain(&param.ident) == name).expect("every parameter is bound");
        let built = bind(builder, leaked(name.clone()), &param.source);
        params.push((name, built));
    }
    for line in &rule.tables {
        match line.table_ident().expect("a path").to_string().as_str() {
            "Table0" => sync::<Table0>(builder, line, &params),
            "Table1" => sync::<Table1>(builder, line, &params),
            "Table2" => sync::<Table2>(builder, line, &params),
            "Table3" => sync::<Table3>(builder, line, &params),
            "Table4" => sync::<Table4>(builder, line, &params),
            "Table5" => sync::<Table5>(builder, line, &params),
            other => panic!("no table {other}"),
        }
    }
}

/// The typed handle of a column.
fn col<T: Table, C>(ident: &Ident) -> Col<T, C> {
    let name = plain(ident);
    let at = T::DESC.columns.iter().position(|column| column.name == name);
    Col::new(ColumnIndex::new(at.unwrap_or_else(|| panic!("no column {name}"))))
}

fn bind(builder: &mut RuleBuilder<Claims>, name: &'static str, source: &Source) -> Param<String> {
    match source {
        Source::Claim(claim) => match (claim.ident.to_string().as_str(), claim.optional) {
            ("user_id", false) => builder.claim(name, |claims: &Claims| &claims.user_id),
            ("owner_id", false) => builder.claim(name, |claims: &Claims| &claims.owner_id),
            ("region", false) => builder.claim(name, |claims: &Claims| &claims.region),
            ("shop_id", true) => builder.claim_if_any(name, |claims: &Claims| &claims.shop_id),
            other => panic!("no claim {other:?}"),
        },
        Source::Member { column, terms } => builder.member(name, col::<Member, String>(&column.ident), |scope| {
            terms.bound.iter().for_each(|filter| member_claim(scope, filter));
            terms.unbound.iter().for_each(|condition| compare::<Member, _>(scope, condition));
        }),
    }
}

fn member_claim(scope: &mut MemberScope<Member, Claims>, filter: &Filter) {
    let Value::Claim(claim) = &filter.value else { panic!("a membership is bound to claims") };
    let column = col::<Member, String>(&filter.column.ident);
    match (claim.ident.to_string().as_str(), claim.optional) {
        ("user_id", false) => scope.actor(column, |claims: &Claims| &claims.user_id),
        ("shop_id", true) => scope.actor_if_any(column, |claims: &Claims| &claims.shop_id),
        other => panic!("no claim {other:?}"),
    }
}

fn sync<T: Table + SyncedTable>(builder: &mut RuleBuilder<Claims>, line: &TableLine, params: &Params) {
    let terms = |scope: &mut TableScope<T>| {
        for filter in &line.terms.bound {
            let Value::Param(ident) = &filter.value else { panic!("a row is bound to parameters") };
            let (_, param) = params.iter().find(|(name, _)| *name == plain(ident)).expect("a parameter");
            scope.scope(col::<T, String>(&filter.column.ident), param);
        }
        line.terms.unbound.iter().for_each(|condition| compare::<T, _>(scope, condition));
    };
    match &line.columns {
        None => builder.table::<T>(terms),
        Some(list) => {
            let listed: Vec<ColumnIndex> = list.iter().map(|ident| col::<T, ()>(ident).index()).collect();
            let columns = nizhal::__private::narrowed::<COLUMNS>(&T::DESC, &listed);
            let narrowed = TableDesc { columns: Vec::leak(columns.to_vec()), ..T::DESC };
            builder.table_of::<T>(Box::leak(Box::new(narrowed)), terms);
        }
    }
}

/// What the builder's scopes have in common.
trait Compares<T> {
    fn is<C: ConstColumn>(&mut self, column: Col<T, C>, negated: bool, value: C::Literal);
    fn is_named<C: ConstColumn>(&mut self, column: Col<T, C>, negated: bool, constant: C::Named);
    fn any(&mut self, build: impl FnOnce(&mut Conditions<T>));
    fn all(&mut self, build: impl FnOnce(&mut Conditions<T>));
}

macro_rules! compares {
    ($($Scope:ty: $all:expr),*) => {$(
        impl<T: Table> Compares<T> for $Scope {
            fn is<C: ConstColumn>(&mut self, column: Col<T, C>, negated: bool, value: C::Literal) {
                if negated { self.differ(column, value) } else { self.equal(column, value) }
            }
            fn is_named<C: ConstColumn>(&mut self, column: Col<T, C>, negated: bool, constant: C::Named) {
                if negated { self.differ_from(column, constant) } else { self.equal_to(column, constant) }
            }
            fn any(&mut self, build: impl FnOnce(&mut Conditions<T>)) {
                <$Scope>::any(self, build);
            }
            fn all(&mut self, build: impl FnOnce(&mut Conditions<T>)) {
                let all: fn(&mut $Scope, _) = $all;
                all(self, build);
            }
        }
    )*};
}
compares! {
    MemberScope<T, Claims>: |_, _| panic!("what stands beside a membership's claims is flat"),
    TableScope<T>: |_, _| panic!("what stands beside a row's bucket is flat"),
    Conditions<T>: |side, build| side.all(build)
}

fn compare<T: Table, S: Compares<T>>(scope: &mut S, condition: &Condition) {
    match condition {
        Condition::Is(filter) => constant::<T, S>(scope, filter),
        Condition::All(all) => scope.all(|side| all.iter().for_each(|part| compare::<T, _>(side, part))),
        Condition::Any(any) => scope.any(|side| any.iter().for_each(|branch| compare::<T, _>(side, &branch.condition))),
    }
}

fn constant<T: Table, S: Compares<T>>(scope: &mut S, filter: &Filter) {
    let Value::Const(value) = &filter.value else { panic!("what binds is taken out") };
    let (ident, negated) = (&filter.column.ident, filter.negated());
    let sql = T::DESC.columns[col::<T, ()>(ident).index()].sql;
    if let Expr::Path(path) = &**value {
        let path = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::");
        let (_, text) = PATHS.iter().find(|(known, _)| *known == path).expect("a constant's path");
        assert_eq!(sql, SqlType::Text, "rustc would refuse this constant");
        return scope.is_named(col::<T, Option<String>>(ident), negated, *text);
    }
    let wanted = match lit(value) {
        (Lit::Str(text), _) => {
            scope.is(col::<T, Option<String>>(ident), negated, leaked(text.value()));
            SqlType::Text
        }
        (Lit::Bool(flag), _) => {
            scope.is(col::<T, Option<bool>>(ident), negated, flag.value);
            SqlType::Bool
        }
        (Lit::Int(number), sign) => {
            let number: i64 = number.base10_parse().expect("a number");
            scope.is(col::<T, Option<i64>>(ident), negated, sign * number);
            SqlType::Int8
        }
        (other, _) => panic!("{other:?} is no constant"),
    };
    assert_eq!(sql, wanted, "rustc would refuse this constant");
}

fn lit(value: &Expr) -> (&Lit, i64) {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => (lit, 1),
        Expr::Unary(ExprUnary { expr, .. }) => (lit(expr).0, -1),
        other => panic!("{other:?} is no constant"),
    }
}
