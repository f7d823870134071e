//! Sync rules as data, and the typed builder through which `sync_rules!` writes them.
//!
//! The builder is where rustc checks a rule: every column is a typed handle of a known table, every parameter carries
//! its type, and only matching types meet.

use crate::{Actor, Col, ConstColumn, Principal, SameType, ScopeColumn, SyncedTable, Table, TableDesc, Uuid};
use std::{fmt, marker::PhantomData, sync::Arc};

/// A bucket parameter's value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeValue {
    /// Of a `text` column.
    Text(String),
    /// Of an integer column.
    Int(i64),
    /// Of a `uuid` column.
    Uuid(Uuid),
}

impl fmt::Display for ScopeValue {
    /// The value as text, the same whichever database holds it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::Uuid(id) => id.hyphenated().fmt(f),
        }
    }
}

/// A constant that a rule compares a column with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConstValue {
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(&'static str),
}

impl From<bool> for ConstValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<&'static str> for ConstValue {
    fn from(value: &'static str) -> Self {
        Self::Text(value)
    }
}
macro_rules! const_ints {
    ($($ty:ty),*) => {$(
        impl From<$ty> for ConstValue {
            fn from(value: $ty) -> Self {
                Self::Int(i64::from(value))
            }
        }
    )*};
}
const_ints!(i16, i32, i64);

type Claim = dyn Fn(&Principal) -> Option<ScopeValue> + Send + Sync;

/// Takes one claim out of a principal.
#[derive(Clone)]
pub struct ClaimOf(Arc<Claim>);

impl ClaimOf {
    fn new<A: Actor, C: ScopeColumn>(claim: fn(&A) -> &C) -> Self {
        Self(Arc::new(move |principal| principal.claims::<A>().map(|claims| claim(claims).to_scope())))
    }

    /// The claim's value; `None` when the principal carries claims of another type.
    pub fn get(&self, principal: &Principal) -> Option<ScopeValue> {
        (self.0)(principal)
    }
}

impl fmt::Debug for ClaimOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimOf")
    }
}

/// `column == constant` or `column != constant`.
#[derive(Clone, Debug)]
pub struct ConstFilter {
    /// The column's index.
    pub column: usize,
    /// True for `!=`. A NULL column satisfies neither.
    pub negated: bool,
    /// The constant.
    pub value: ConstValue,
}

/// One condition of a membership query.
#[derive(Clone, Debug)]
pub enum MemberFilter {
    /// The column equals a claim of the actor.
    Claim {
        /// The column's index.
        column: usize,
        /// The claim.
        claim: ClaimOf,
    },
    /// The column is compared with a constant.
    Const(ConstFilter),
}

/// Where a bucket parameter's values come from.
#[derive(Clone, Debug)]
pub enum ParamSource {
    /// One value, from the token.
    Claim(ClaimOf),
    /// The values of a membership table's rows that belong to the actor.
    Member {
        /// The membership table.
        table: &'static TableDesc,
        /// The index of the column with the values.
        column: usize,
        /// All must hold; at least one is a claim.
        filters: Vec<MemberFilter>,
    },
}

/// One bucket parameter.
#[derive(Clone, Debug)]
pub struct ParamDesc {
    /// Its name in the contract.
    pub name: &'static str,
    /// Its SQL type.
    pub sql: crate::SqlType,
    /// Where its values come from.
    pub source: ParamSource,
}

/// One table that a rule syncs.
#[derive(Clone, Debug)]
pub struct RuleTable {
    /// The table.
    pub table: &'static TableDesc,
    /// For each parameter of the rule, in order: the index of the column that must equal it.
    pub scope: Vec<usize>,
    /// Further conditions; all must hold.
    pub filters: Vec<ConstFilter>,
}

/// One rule: parameters that name its buckets, and the tables it syncs.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The name on the wire.
    pub name: &'static str,
    /// The doc comment.
    pub doc: &'static str,
    /// The parameters; an actor's buckets are all combinations of their values.
    pub params: Vec<ParamDesc>,
    /// The tables.
    pub tables: Vec<RuleTable>,
}

/// A rule set for actors with claims `A`; made by the function that `sync_rules!` writes.
#[derive(Debug)]
pub struct Rules<A> {
    rules: Vec<Rule>,
    actor: PhantomData<fn(A)>,
}

impl<A: Actor> Rules<A> {
    /// No rules yet: nothing is synced.
    pub fn new() -> Self {
        Self { rules: Vec::new(), actor: PhantomData }
    }

    /// Adds a rule.
    #[must_use]
    pub fn rule(mut self, name: &'static str, doc: &'static str, build: impl FnOnce(&mut RuleBuilder<A>)) -> Self {
        let mut builder =
            RuleBuilder { rule: Rule { name, doc, params: Vec::new(), tables: Vec::new() }, actor: PhantomData };
        build(&mut builder);
        self.rules.push(builder.rule);
        self
    }

    /// The rules without their type.
    pub fn into_inner(self) -> Vec<Rule> {
        self.rules
    }
}

impl<A: Actor> Default for Rules<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// Builds one rule.
#[derive(Debug)]
pub struct RuleBuilder<A> {
    rule: Rule,
    actor: PhantomData<fn(A)>,
}

/// A parameter of type `P` of the rule being built.
#[derive(Debug)]
pub struct Param<P> {
    at: usize,
    marker: PhantomData<fn() -> P>,
}

impl<A: Actor> RuleBuilder<A> {
    /// A parameter whose one value is a claim.
    pub fn claim<P: ScopeColumn>(&mut self, name: &'static str, claim: fn(&A) -> &P) -> Param<P> {
        self.param(name, P::SQL, ParamSource::Claim(ClaimOf::new(claim)))
    }

    /// A parameter whose values are those of a membership table's column.
    pub fn member<M: Table, P: ScopeColumn>(
        &mut self,
        name: &'static str,
        column: Col<M, P>,
        build: impl FnOnce(&mut MemberScope<M, A>),
    ) -> Param<P> {
        let mut scope = MemberScope { filters: Vec::new(), marker: PhantomData };
        build(&mut scope);
        let table = const { &M::DESC };
        self.param(name, P::SQL, ParamSource::Member { table, column: column.index(), filters: scope.filters })
    }

    /// A table that this rule syncs.
    pub fn table<T: SyncedTable>(&mut self, build: impl FnOnce(&mut TableScope<T>)) {
        let mut scope = TableScope { scope: Vec::new(), filters: Vec::new(), marker: PhantomData };
        build(&mut scope);
        scope.scope.sort_by_key(|&(param, _)| param);
        let scoped: Vec<usize> = scope.scope.iter().map(|&(param, _)| param).collect();
        let wanted: Vec<usize> = (0..self.rule.params.len()).collect();
        assert_eq!(
            scoped,
            wanted,
            "rule {}: table {} is not scoped once by each parameter",
            self.rule.name,
            T::DESC.name
        );
        self.rule.tables.push(RuleTable {
            table: const { &T::DESC },
            scope: scope.scope.into_iter().map(|(_, column)| column).collect(),
            filters: scope.filters,
        });
    }

    fn param<P>(&mut self, name: &'static str, sql: crate::SqlType, source: ParamSource) -> Param<P> {
        self.rule.params.push(ParamDesc { name, sql, source });
        Param { at: self.rule.params.len() - 1, marker: PhantomData }
    }
}

/// Builds the conditions of a membership query on table `M`.
#[derive(Debug)]
pub struct MemberScope<M, A> {
    filters: Vec<MemberFilter>,
    marker: PhantomData<fn() -> (M, A)>,
}

impl<M: Table, A: Actor> MemberScope<M, A> {
    /// `column == actor.claim`.
    pub fn actor<C: SameType<P>, P: ScopeColumn>(&mut self, column: Col<M, C>, claim: fn(&A) -> &P) {
        self.filters.push(MemberFilter::Claim { column: column.index(), claim: ClaimOf::new(claim) });
    }

    /// `column == literal`.
    pub fn equal<C: ConstColumn>(&mut self, column: Col<M, C>, literal: C::Literal) {
        self.filters.push(MemberFilter::Const(filter(column, literal, false)));
    }

    /// `column != literal`.
    pub fn differ<C: ConstColumn>(&mut self, column: Col<M, C>, literal: C::Literal) {
        self.filters.push(MemberFilter::Const(filter(column, literal, true)));
    }
}

/// Builds the conditions under which a row of table `T` is synced.
#[derive(Debug)]
pub struct TableScope<T> {
    scope: Vec<(usize, usize)>,
    filters: Vec<ConstFilter>,
    marker: PhantomData<fn() -> T>,
}

impl<T: Table> TableScope<T> {
    /// `column == parameter`.
    pub fn scope<C: SameType<P>, P>(&mut self, column: Col<T, C>, param: &Param<P>) {
        self.scope.push((param.at, column.index()));
    }

    /// `column == literal`.
    pub fn equal<C: ConstColumn>(&mut self, column: Col<T, C>, literal: C::Literal) {
        self.filters.push(filter(column, literal, false));
    }

    /// `column != literal`.
    pub fn differ<C: ConstColumn>(&mut self, column: Col<T, C>, literal: C::Literal) {
        self.filters.push(filter(column, literal, true));
    }
}

fn filter<T, C: ConstColumn>(column: Col<T, C>, literal: C::Literal, negated: bool) -> ConstFilter {
    ConstFilter { column: column.index(), negated, value: literal.into() }
}
