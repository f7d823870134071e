//! The typed builder through which `sync_rules!` writes rules.
//!
//! It is where rustc checks a rule: every column is a typed handle of a known table, every parameter carries its type, and
//! only matching types meet.

use super::{
    ClaimOf, Condition, ConstFilter, ConstValue, MemberFilter, OnDemand, ParamDesc, ParamSource, Rule, RuleTable,
};
use crate::{Actor, Col, ColumnIndex, ConstColumn, SameType, ScopeColumn, SyncedTable, Table, TableDesc};
use std::marker::PhantomData;

/// A rule set for actors with claims `A`; made by the function that `sync_rules!` writes.
#[derive(Debug)]
pub struct Rules<A> {
    rules: Vec<Rule>,
    actor: PhantomData<fn(A)>,
}

// Without a condition on the claims, of which `sync_rules!` says itself that they are none.
impl<A: 'static> Rules<A> {
    /// No rules yet: nothing is synced.
    pub fn new() -> Self {
        Self { rules: Vec::new(), actor: PhantomData }
    }

    /// Adds a rule.
    #[must_use]
    pub fn rule(mut self, name: &'static str, doc: &'static str, build: impl FnOnce(&mut RuleBuilder<A>)) -> Self {
        let rule = Rule { name, doc, ..Rule::default() };
        let mut builder = RuleBuilder { rule, actor: PhantomData };
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

impl<A: 'static> RuleBuilder<A> {
    /// Gives its rows to everybody.
    pub fn public(&mut self) {
        self.rule.public = true;
    }

    /// The most buckets of it that an actor may have.
    pub fn max_buckets(&mut self, most: u32) {
        self.rule.max_buckets = Some(most);
    }

    /// When devices get its buckets, among those that they have yet to get: those of the lowest number first.
    pub fn priority(&mut self, number: u8) {
        self.rule.priority = number;
    }

    /// Gives its buckets only to devices that ask for them, which keep each for so many seconds after they last did.
    pub fn on_demand(&mut self, ttl_s: u64) {
        self.rule.on_demand = Some(OnDemand { ttl_s });
    }

    /// A parameter whose one value is a claim.
    pub fn claim<P: ScopeColumn>(&mut self, name: &'static str, claim: fn(&A) -> &P) -> Param<P> {
        self.param(name, P::SQL, ParamSource::Claim(ClaimOf::new(claim)))
    }

    /// A parameter whose one value is a claim; where the claim is absent, there is none.
    pub fn claim_if_any<P: ScopeColumn>(&mut self, name: &'static str, claim: fn(&A) -> &Option<P>) -> Param<P> {
        self.param(name, P::SQL, ParamSource::Claim(ClaimOf::optional(claim)))
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
    pub fn table<T: Table + SyncedTable>(&mut self, build: impl FnOnce(&mut TableScope<T>)) {
        self.table_of::<T>(const { &T::DESC }, build);
    }

    /// A table that this rule syncs, of which only some columns leave the server.
    pub fn table_of<T: Table + SyncedTable>(
        &mut self,
        table: &'static TableDesc,
        build: impl FnOnce(&mut TableScope<T>),
    ) {
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
            table,
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

impl<M: Table, A: 'static> MemberScope<M, A> {
    /// `column == actor.claim`.
    pub fn actor<C: SameType<P>, P: ScopeColumn>(&mut self, column: Col<M, C>, claim: fn(&A) -> &P) {
        self.filters.push(MemberFilter::Claim { column: column.index(), claim: ClaimOf::new(claim) });
    }

    /// `column == actor.claim?`.
    pub fn actor_if_any<C: SameType<P>, P: ScopeColumn>(&mut self, column: Col<M, C>, claim: fn(&A) -> &Option<P>) {
        self.filters.push(MemberFilter::Claim { column: column.index(), claim: ClaimOf::optional(claim) });
    }

    /// `column == literal`.
    pub fn equal<C: ConstColumn>(&mut self, column: Col<M, C>, literal: C::Literal) {
        self.filters.push(MemberFilter::Const(compare(column, literal, false)));
    }

    /// `column != literal`.
    pub fn differ<C: ConstColumn>(&mut self, column: Col<M, C>, literal: C::Literal) {
        self.filters.push(MemberFilter::Const(compare(column, literal, true)));
    }

    /// `column == NAMED`.
    pub fn equal_to<C: ConstColumn>(&mut self, column: Col<M, C>, constant: C::Named) {
        self.filters.push(MemberFilter::Const(compare(column, constant, false)));
    }

    /// `column != NAMED`.
    pub fn differ_from<C: ConstColumn>(&mut self, column: Col<M, C>, constant: C::Named) {
        self.filters.push(MemberFilter::Const(compare(column, constant, true)));
    }

    /// One of these must hold.
    pub fn any(&mut self, build: impl FnOnce(&mut Conditions<M>)) {
        self.filters.push(MemberFilter::Const(Condition::Any(Conditions::built(build))));
    }
}

/// Builds the conditions under which a row of table `T` is synced.
#[derive(Debug)]
pub struct TableScope<T> {
    /// Parameters, each with the column that equals it.
    scope: Vec<(usize, ColumnIndex)>,
    filters: Vec<Condition>,
    marker: PhantomData<fn() -> T>,
}

impl<T: Table> TableScope<T> {
    /// `column == parameter`.
    pub fn scope<C: SameType<P>, P>(&mut self, column: Col<T, C>, param: &Param<P>) {
        self.scope.push((param.at, column.index()));
    }

    /// `column == literal`.
    pub fn equal<C: ConstColumn>(&mut self, column: Col<T, C>, literal: C::Literal) {
        self.filters.push(compare(column, literal, false));
    }

    /// `column != literal`.
    pub fn differ<C: ConstColumn>(&mut self, column: Col<T, C>, literal: C::Literal) {
        self.filters.push(compare(column, literal, true));
    }

    /// `column == NAMED`.
    pub fn equal_to<C: ConstColumn>(&mut self, column: Col<T, C>, constant: C::Named) {
        self.filters.push(compare(column, constant, false));
    }

    /// `column != NAMED`.
    pub fn differ_from<C: ConstColumn>(&mut self, column: Col<T, C>, constant: C::Named) {
        self.filters.push(compare(column, constant, true));
    }

    /// One of these must hold.
    pub fn any(&mut self, build: impl FnOnce(&mut Conditions<T>)) {
        self.filters.push(Condition::Any(Conditions::built(build)));
    }
}

/// Builds the sides of `||`, or what stands between `&&` inside one.
#[derive(Debug)]
pub struct Conditions<T> {
    parts: Vec<Condition>,
    marker: PhantomData<fn() -> T>,
}

impl<T: Table> Conditions<T> {
    fn built(build: impl FnOnce(&mut Self)) -> Vec<Condition> {
        let mut conditions = Self { parts: Vec::new(), marker: PhantomData };
        build(&mut conditions);
        conditions.parts
    }

    /// `column == literal`.
    pub fn equal<C: ConstColumn>(&mut self, column: Col<T, C>, literal: C::Literal) {
        self.parts.push(compare(column, literal, false));
    }

    /// `column != literal`.
    pub fn differ<C: ConstColumn>(&mut self, column: Col<T, C>, literal: C::Literal) {
        self.parts.push(compare(column, literal, true));
    }

    /// `column == NAMED`.
    pub fn equal_to<C: ConstColumn>(&mut self, column: Col<T, C>, constant: C::Named) {
        self.parts.push(compare(column, constant, false));
    }

    /// `column != NAMED`.
    pub fn differ_from<C: ConstColumn>(&mut self, column: Col<T, C>, constant: C::Named) {
        self.parts.push(compare(column, constant, true));
    }

    /// All of these must hold.
    pub fn all(&mut self, build: impl FnOnce(&mut Self)) {
        self.parts.push(Condition::All(Self::built(build)));
    }

    /// One of these must hold.
    pub fn any(&mut self, build: impl FnOnce(&mut Self)) {
        self.parts.push(Condition::Any(Self::built(build)));
    }
}

fn compare<T, C>(column: Col<T, C>, constant: impl Into<ConstValue>, negated: bool) -> Condition {
    Condition::Column(ConstFilter { column: column.index(), negated, value: constant.into() })
}
