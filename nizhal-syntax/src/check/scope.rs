//! Judges table lines: every row must be in a bucket of every parameter, the heart of the no-leak check.

use super::rules::declared;
use crate::model::{Filter, Rule, TableLine, Value};
use crate::{Errors, name};
use proc_macro2::Ident;
use quote::ToTokens;

/// Whether the line compares a column with this parameter.
pub(super) fn scopes(line: &TableLine, param: &Ident) -> bool {
    line.filters.iter().any(|filter| matches!(&filter.value, Value::Param(ident) if ident == param))
}

/// Reports what is wrong with the table lines of a rule.
pub(super) fn check_tables(rule: &Rule, errors: &Errors) {
    for (at, line) in rule.tables.iter().enumerate() {
        check_repeated(rule, at, errors);
        for filter in &line.filters {
            check_same_table(line, filter, errors);
            check_value(rule, filter, errors);
        }
        check_compared_once(line, errors);
        check_constants(line, errors);
        check_bucket(rule, line, errors);
    }
}

fn check_repeated(rule: &Rule, at: usize, errors: &Errors) {
    let line = &rule.tables[at];
    if rule.tables[..at].iter().any(|other| other.table_ident() == line.table_ident()) {
        let what = format!("rule `{}` syncs this table already", rule.ident);
        errors.push(&line.table, what, "take the line away, or write another rule: an actor sees what any rule gives");
    }
}

fn check_same_table(line: &TableLine, filter: &Filter, errors: &Errors) {
    if let (Some(wanted), Some(found)) = (line.table_ident(), filter.column.table_ident())
        && wanted != found
    {
        let what = format!("this line is about `{wanted}`, not about `{found}`");
        errors.push(&filter.column.table, what, format!("write `{wanted}.{}`", filter.column.ident));
    }
}

fn check_value(rule: &Rule, filter: &Filter, errors: &Errors) {
    match &filter.value {
        Value::Param(ident) => {
            let known = declared(rule);
            let name = name::plain(ident);
            if !known.contains(&name) {
                let help = match name::similar(&name, known.iter().map(String::as_str)) {
                    Some(similar) => format!("did you mean `{similar}`?"),
                    None if known.is_empty() => format!("declare it: `rule {}({name})`", rule.ident),
                    None => format!(
                        "write {}, or put a text in quotes: `\"{name}\"`",
                        name::either(known.iter().map(String::as_str))
                    ),
                };
                errors.push(ident, format!("rule `{}` has no parameter `{name}`", rule.ident), help);
            } else if filter.negated() {
                let what = format!("`!=` would give the rows of every bucket but `{name}`");
                errors.push(filter.op, what, format!("write `== {name}`"));
            }
        }
        Value::Claim(claim) => {
            let what = "a table line compares with parameters, not with the actor";
            let help = format!("bind a parameter, `{claim} = actor.{claim};`, and write `== {claim}` here");
            errors.push(claim, what, help);
        }
        Value::Const(_) => {}
    }
}

fn check_compared_once(line: &TableLine, errors: &Errors) {
    let mut seen: Vec<&Ident> = Vec::new();
    for filter in &line.filters {
        if let Value::Param(ident) = &filter.value {
            if seen.contains(&ident) {
                let what = format!("`{ident}` is compared twice in this line");
                errors.push(ident, what, "keep the column that says to whom the row belongs");
            }
            seen.push(ident);
        }
    }
}

fn check_constants(line: &TableLine, errors: &Errors) {
    let constants: Vec<(String, String, &Filter)> = line
        .filters
        .iter()
        .filter_map(|filter| match &filter.value {
            Value::Const(value) => Some((filter.column.ident.to_string(), value.to_token_stream().to_string(), filter)),
            _ => None,
        })
        .collect();
    for (at, (column, value, filter)) in constants.iter().enumerate() {
        for (other_column, other_value, other) in &constants[..at] {
            let same = value == other_value;
            if column != other_column {
                continue;
            }
            if same && filter.negated() == other.negated() {
                errors.push(&filter.column, "this condition is there already", "take it away");
            } else if same || !filter.negated() && !other.negated() {
                errors.push(&filter.column, "these conditions are never true together", "take one of them away");
            }
        }
    }
}

fn check_bucket(rule: &Rule, line: &TableLine, errors: &Errors) {
    if line.broken || line.filters.iter().any(|filter| is_unknown(rule, filter)) {
        return;
    }
    let missing: Vec<&Ident> = rule.header.iter().filter(|param| !scopes(line, param)).collect();
    let Some(table) = line.table_ident() else { return };
    // A parameter that no line uses is reported once, in the header.
    let used = |param: &&&Ident| rule.tables.iter().any(|line| scopes(line, param)) || rule.header.len() == 1;
    let wanted: Vec<String> = missing.iter().filter(used).map(|param| format!("{table}.{param} == {param}")).collect();
    if wanted.is_empty() {
        return;
    }
    let join = if line.filters.is_empty() { "where" } else { "&&" };
    let what = if rule.header.len() == missing.len() {
        format!("`{table}` has no bucket: every row of it would reach every actor of rule `{}`", rule.ident)
    } else {
        format!("`{table}` is not scoped by every parameter: rows would reach actors of another bucket")
    };
    errors.push(&line.table, what, format!("add `{join} {}`, with the column that holds it", wanted.join(" && ")));
}

fn is_unknown(rule: &Rule, filter: &Filter) -> bool {
    matches!(&filter.value, Value::Param(ident) if !declared(rule).contains(&name::plain(ident)))
        || matches!(filter.value, Value::Claim(_))
}
