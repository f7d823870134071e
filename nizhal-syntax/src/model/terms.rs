//! A condition taken apart: what binds its rows to a bucket or an actor, and what further must hold.
//!
//! `(A && x) || (A && y)` is `A && (x || y)`: what every branch says alike is taken out of them. What only some branches say
//! is kept as a tear, for the check to refuse: the other branches would let through rows that are nobody's.

use super::condition::{Branch, Condition, Filter, Value};
use crate::name;
use syn::Expr;

/// A condition, taken apart.
#[derive(Debug)]
pub struct Terms {
    /// As written.
    pub condition: Condition,
    /// Comparisons with parameters and claims; they hold for every row, unless the condition is torn.
    pub bound: Vec<Filter>,
    /// Comparisons with constants, of which all must hold.
    pub unbound: Vec<Condition>,
    /// What keeps the condition from being taken apart.
    pub tears: Vec<Tear>,
}

/// Why a condition binds only part of its rows.
#[derive(Debug)]
pub enum Tear {
    /// A branch lacks what others say.
    Lacks {
        /// The branch.
        branch: Expr,
        /// What it lacks.
        wanted: Vec<Filter>,
    },
    /// A branch compares another column with the same parameter.
    Differs {
        /// The comparison in this branch.
        here: Filter,
        /// The comparison in an earlier one.
        there: Filter,
    },
    /// A branch says nothing beyond what all say, so the others are of no use.
    Whole(Expr),
    /// The same is bound twice.
    Twice(Filter),
}

impl Terms {
    pub(super) fn of(condition: Condition) -> Self {
        let (mut bound, mut tears) = (Vec::new(), Vec::new());
        let unbound = take_bindings(condition.clone(), &mut bound, &mut tears).all();
        Self { condition, bound, unbound, tears }
    }

    /// The comparisons in it, in the order of the source.
    pub fn filters(&self) -> Vec<&Filter> {
        self.condition.filters()
    }
}

/// What a comparison binds, if it does: a parameter, or a membership's column to a claim.
fn binding(filter: &Filter) -> Option<String> {
    match &filter.value {
        Value::Param(param) => Some(name::plain(param)),
        Value::Claim(claim) => Some(format!("{} = {}", name::plain(&filter.column.ident), name::plain(&claim.ident))),
        Value::Const(_) => None,
    }
}

/// Takes the bindings out of a condition; gives what is left.
fn take_bindings(condition: Condition, bound: &mut Vec<Filter>, tears: &mut Vec<Tear>) -> Condition {
    match condition {
        Condition::Is(filter) if binding(&filter).is_some() => {
            if find(bound, &filter).is_some() {
                tears.push(Tear::Twice(filter));
            } else {
                bound.push(filter);
            }
            Condition::All(Vec::new())
        }
        Condition::Is(_) => condition,
        Condition::All(all) => Condition::of(all.into_iter().map(|one| take_bindings(one, bound, tears)).collect()),
        Condition::Any(branches) => take_bindings_of_any(branches, bound, tears),
    }
}

fn take_bindings_of_any(branches: Vec<Branch>, bound: &mut Vec<Filter>, tears: &mut Vec<Tear>) -> Condition {
    let mut common: Vec<Filter> = Vec::new();
    let mut taken: Vec<(Expr, Vec<Filter>, Condition)> = Vec::new();
    for Branch { at, condition } in branches {
        let mut own = Vec::new();
        let unbound = take_bindings(condition, &mut own, tears);
        for filter in &own {
            if find(&common, filter).is_none() {
                common.push(filter.clone());
            }
        }
        taken.push((at, own, unbound));
    }
    for (branch, own, _) in &taken {
        let wanted: Vec<Filter> = common.iter().filter(|wanted| find(own, wanted).is_none()).cloned().collect();
        if !wanted.is_empty() {
            tears.push(Tear::Lacks { branch: branch.clone(), wanted });
        }
        for here in own {
            if let Some(there) = find(&common, here)
                && there.column.ident != here.column.ident
            {
                tears.push(Tear::Differs { here: here.clone(), there: there.clone() });
            }
        }
    }
    if !common.is_empty()
        && tears.is_empty()
        && let Some((branch, ..)) =
            taken.iter().find(|(.., unbound)| matches!(unbound, Condition::All(all) if all.is_empty()))
    {
        tears.push(Tear::Whole(branch.clone()));
    }
    for filter in common {
        if find(bound, &filter).is_some() {
            tears.push(Tear::Twice(filter));
        } else {
            bound.push(filter);
        }
    }
    Condition::Any(taken.into_iter().map(|(at, _, condition)| Branch { at, condition }).collect())
}

fn find<'a>(bound: &'a [Filter], wanted: &Filter) -> Option<&'a Filter> {
    bound.iter().find(|filter| binding(filter) == binding(wanted))
}
