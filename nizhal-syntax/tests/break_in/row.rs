//! Random rows through the source's condition and through the model's: both must let the same ones through.

use crate::source::condition::{Comparison, Condition};
use crate::source::generate::{Set, Source};
use crate::source::random::Random;
use nizhal_syntax::model::{self, RuleSet, Terms};
use quote::ToTokens;
use std::collections::BTreeMap;

/// A column's value as tokens; absent is NULL.
type Row = BTreeMap<String, String>;

pub(crate) fn compare(random: &mut Random, set: &Set, model: &RuleSet, about: &str) {
    for (rule, lowered) in set.rules.iter().zip(&model.rules) {
        for (param, lowered) in rule.params.iter().zip(&lowered.params) {
            let (Source::Member { condition, .. }, model::Source::Member { terms, .. }) =
                (&param.source, &lowered.source)
            else {
                continue;
            };
            compare_rows(random, condition.as_ref(), terms, about);
        }
        for (table, lowered) in rule.tables.iter().zip(&lowered.tables) {
            compare_rows(random, table.condition.as_ref(), &lowered.terms, about);
        }
    }
}

fn compare_rows(random: &mut Random, condition: Option<&Condition>, terms: &Terms, about: &str) {
    let Some(condition) = condition else {
        assert!(terms.bound.is_empty() && terms.unbound.is_empty(), "{about}");
        return;
    };
    let compared: Vec<Comparison> = condition.clone().comparisons().into_iter().map(|one| one.clone()).collect();
    for _ in 0..12 {
        // Mostly what the condition asks for, so that rows pass often enough to tell.
        let mut row = Row::new();
        for comparison in &compared {
            match random.below(8) {
                0 => drop(row.insert(comparison.column.clone(), "other".to_owned())),
                1 => drop(row.remove(&comparison.column)),
                _ => drop(row.insert(comparison.column.clone(), comparison.value.replace(' ', ""))),
            }
        }
        let (source, lowered) = (passes(condition, &row), lets(terms, &row));
        assert_eq!(source, lowered, "the source and the model differ on {row:?}\n{about}");
        let in_bucket = compared.iter().filter(|one| one.binds).all(|one| row.get(&one.column) == Some(&one.value));
        assert!(in_bucket || !source, "the generator's sound set leaks {row:?}\n{about}");
    }
}

fn passes(condition: &Condition, row: &Row) -> bool {
    match condition {
        Condition::Is(Comparison { column, op, value, .. }) => holds(row.get(column), op == &"!=", value),
        Condition::And(parts) => parts.iter().all(|part| passes(part, row)),
        Condition::Or(parts) => parts.iter().any(|part| passes(part, row)),
        Condition::Wrapped(inner) => passes(inner, row),
        Condition::Raw(text) => panic!("{text} in a sound set"),
    }
}

fn lets(terms: &Terms, row: &Row) -> bool {
    terms.bound.iter().all(|filter| meets(filter, row))
        && terms.unbound.iter().all(|condition| lets_one(condition, row))
}

fn lets_one(condition: &model::Condition, row: &Row) -> bool {
    match condition {
        model::Condition::Is(filter) => meets(filter, row),
        model::Condition::All(parts) => parts.iter().all(|part| lets_one(part, row)),
        model::Condition::Any(branches) => branches.iter().any(|branch| lets_one(&branch.condition, row)),
    }
}

fn meets(filter: &model::Filter, row: &Row) -> bool {
    let value = match &filter.value {
        model::Value::Const(value) => match &**value {
            syn::Expr::Lit(lit) => lit.to_token_stream().to_string(),
            other => other.to_token_stream().to_string().replace(' ', ""),
        },
        other => other.to_token_stream().to_string().replace(' ', ""),
    };
    let column = nizhal_syntax::name::plain(&filter.column.ident);
    holds(row.get(&column), filter.negated(), &value)
}

/// SQL's way: a NULL is neither equal nor different.
fn holds(cell: Option<&String>, negated: bool, value: &str) -> bool {
    cell.is_some_and(|cell| (*cell == value.replace(' ', "")) != negated)
}
