//! Judges table lines: every row must be in a bucket of every parameter, the heart of the no-leak check.

use super::condition::{check_constants, check_size, check_tears};
use crate::model::{Condition, Filter, Rule, TableLine, Value};
use crate::{Code, Errors, name};
use proc_macro2::Ident;

/// Whether the line compares a column with this parameter.
pub(super) fn scopes(line: &TableLine, param: &Ident) -> bool {
    line.terms.bound.iter().any(|filter| matches!(&filter.value, Value::Param(ident) if name::same(ident, param)))
}

/// Reports what is wrong with the table lines of a rule.
pub(super) fn check_tables(rule: &Rule, errors: &Errors) {
    for (at, line) in rule.tables.iter().enumerate() {
        check_repeated(rule, at, errors);
        for filter in line.terms.filters() {
            check_same_table(line, filter, errors);
            check_value(rule, filter, errors);
        }
        check_constants(&line.terms, errors);
        check_size(&line.terms, errors);
        check_bucket(rule, line, errors);
    }
}

fn check_repeated(rule: &Rule, at: usize, errors: &Errors) {
    let line = &rule.tables[at];
    if rule.tables[..at].iter().any(|other| other.table_ident() == line.table_ident()) {
        let what = format!("rule `{}` syncs this table already", rule.ident);
        errors.push(
            Code::TableTwice,
            &line.table,
            what,
            "take the line away, or write another rule: an actor sees what any rule gives",
        );
    }
}

fn check_same_table(line: &TableLine, filter: &Filter, errors: &Errors) {
    if let (Some(wanted), Some(found)) = (line.table_ident(), filter.column.table_ident())
        && wanted != found
    {
        let what = format!("this line is about `{wanted}`, not about `{found}`");
        errors.push(Code::OtherTable, &filter.column.table, what, format!("write `{wanted}.{}`", filter.column.ident));
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
                    None if is_constant(&name) => format!("write `self::{name}` if that is a constant"),
                    None if rule.public.is_some() => {
                        format!("a public rule has none: compare with a constant, `\"{name}\"` if it is a text")
                    }
                    None if known.is_empty() => format!("declare it: `rule {}({name})`", rule.ident),
                    None => format!(
                        "write {}, or put a text in quotes: `\"{name}\"`",
                        name::either(known.iter().map(String::as_str))
                    ),
                };
                errors.push(
                    Code::UnknownParameter,
                    ident,
                    format!("rule `{}` has no parameter `{name}`", rule.ident),
                    help,
                );
            } else if filter.negated() {
                let what = format!("`!=` would give the rows of every bucket but `{name}`");
                errors.push(Code::ScopeNegated, filter.op, what, format!("write `== {name}`"));
            }
        }
        Value::Claim(claim) => {
            let what = "a table line compares with parameters, not with the actor";
            let claim = &claim.ident;
            let help = format!("bind a parameter, `{claim} = actor.{claim};`, and write `== {claim}` here");
            errors.push(Code::ActorInTableLine, claim, what, help);
        }
        Value::Const(_) => {}
    }
}

fn check_bucket(rule: &Rule, line: &TableLine, errors: &Errors) {
    if line.broken || line.terms.filters().iter().any(|filter| is_unknown(rule, filter)) {
        return;
    }
    check_tears(
        &line.terms,
        &format!("has no bucket: its rows would reach every actor of rule `{}`", rule.ident),
        errors,
    );
    let missing: Vec<&Ident> = rule.header.iter().filter(|param| !scopes(line, param)).collect();
    let Some(table) = line.table_ident() else { return };
    // A parameter that no line uses is reported once, in the header.
    let used = |param: &&&Ident| rule.tables.iter().any(|line| scopes(line, param)) || rule.header.len() == 1;
    let wanted: Vec<String> = missing.iter().filter(used).map(|param| format!("{table}.{param} == {param}")).collect();
    if wanted.is_empty() {
        return;
    }
    let what = if rule.header.len() == missing.len() {
        format!("`{table}` has no bucket: every row of it would reach every actor of rule `{}`", rule.ident)
    } else {
        format!("`{table}` is not scoped by every parameter: rows would reach actors of another bucket")
    };
    let wanted = wanted.join(" && ");
    let help = match &line.terms.condition {
        Condition::All(all) if all.is_empty() => format!("add `where {wanted}`, with the column that holds it"),
        Condition::Any(_) => format!("write `where {wanted} && (…)`, with the column that holds it"),
        _ => format!("add `&& {wanted}`, with the column that holds it"),
    };
    errors.push(Code::NoBucket, &line.table, what, help);
}

/// Whether it is written as constants are.
fn is_constant(name: &str) -> bool {
    name.chars().all(|char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_')
}

fn is_unknown(rule: &Rule, filter: &Filter) -> bool {
    matches!(&filter.value, Value::Param(ident) if !declared(rule).contains(&name::plain(ident)))
        || matches!(filter.value, Value::Claim(_))
}

/// The parameters that a table line may name.
fn declared(rule: &Rule) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for ident in rule.header.iter().chain(rule.params.iter().map(|param| &param.ident)) {
        let name = name::plain(ident);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
