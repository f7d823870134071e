//! Judges rules: names, and that parameters are declared, bound and used.

use super::list::check_lists;
use super::membership::check_membership;
use super::scope::check_tables;
use crate::model::{Rule, RuleSet, Source, duration_s};
use crate::{Code, Errors, name, symbol};
use proc_macro2::Ident;
use quote::ToTokens;
use std::collections::HashMap;

/// The most buckets of a rule that may be asked for: a pull names each of them.
const MAX_BUCKETS: u32 = 100_000;
/// The longest time that a bucket is kept which nobody asks for any more, in seconds: ten years.
const MAX_TTL_S: u64 = 3_650 * 24 * 60 * 60;

/// Reports what is wrong with a rule set.
pub fn check_rules(set: &RuleSet, errors: &Errors) {
    check_rule_names(set, errors);
    check_lists(set, errors);
    for rule in &set.rules {
        check_header(rule, errors);
        check_public(rule, errors);
        check_max_buckets(rule, errors);
        check_priority(rule, errors);
        check_on_demand(rule, errors);
        check_bindings(rule, errors);
        for param in &rule.params {
            if let Source::Member { column, terms } = &param.source {
                check_membership(param, column, terms, errors);
            }
        }
        check_tables(rule, errors);
        check_unused(rule, errors);
        check_empty(rule, errors);
    }
}

fn check_rule_names(set: &RuleSet, errors: &Errors) {
    let mut seen: HashMap<String, &Ident> = HashMap::new();
    for rule in &set.rules {
        let name = rule.name.value();
        let default = name == name::camel(&name::plain(&rule.ident));
        if name.trim().is_empty() {
            errors.push(
                Code::RuleNameEmpty,
                &rule.name,
                "a rule's name on the wire cannot be empty",
                "write a name, or take `#[name = …]` away",
            );
        } else if let Some(first) = seen.get(&name) {
            let what = format!("there are two rules named \"{name}\" on the wire; the first is `{first}`");
            let help = "give this one another name, or move its lines into the first";
            let at: &dyn ToTokens = if default { &rule.ident } else { &rule.name };
            errors.push(Code::RuleTwice, at, what, help);
        }
        seen.entry(name).or_insert(&rule.ident);
    }
}

fn check_header(rule: &Rule, errors: &Errors) {
    for (at, param) in rule.header.iter().enumerate() {
        if param == symbol::ACTOR {
            errors.push(
                Code::ParameterActor,
                param,
                "`actor` is the one who asks, not a parameter",
                "give the parameter another name",
            );
        }
        if rule.header[..at].iter().any(|other| name::same(other, param)) {
            errors.push(
                Code::ParameterTwice,
                param,
                format!("parameter `{param}` is declared twice"),
                "take one of them away",
            );
        }
    }
    if rule.header.is_empty() && !rule.broken && rule.params.is_empty() && rule.public.is_none() {
        let what = format!("rule `{}` has no parameter, so its rows would reach everyone", rule.ident);
        let help = format!(
            "write `rule {0}(user_id)` and `user_id = actor.user_id;`, or `public rule {0}()` if everyone may see them",
            rule.ident
        );
        errors.push(Code::RuleForEveryone, &rule.ident, what, help);
    }
}

fn check_public(rule: &Rule, errors: &Errors) {
    if let Some(public) = &rule.public
        && !(rule.header.is_empty() && rule.params.is_empty())
    {
        let what = format!("rule `{}` has a parameter, so it is not everyone's", rule.ident);
        errors.push(
            Code::PublicWithParameter,
            public,
            what,
            format!("take `public` away, or write `public rule {}()`", rule.ident),
        );
    }
}

fn check_max_buckets(rule: &Rule, errors: &Errors) {
    let Some(number) = &rule.max_buckets else { return };
    if rule.public.is_some() {
        let what = "a `public` rule has one bucket";
        errors.push(Code::PublicMaxBuckets, number, what, "take `#[max_buckets = …]` away");
    } else if !number.base10_parse::<u32>().is_ok_and(|most| (1..=MAX_BUCKETS).contains(&most))
        || !number.suffix().is_empty()
    {
        let what = "an actor cannot have this many buckets of a rule";
        errors.push(
            Code::MaxBucketsRange,
            number,
            what,
            format!("write a whole number between 1 and {MAX_BUCKETS}, without a suffix"),
        );
    }
}

fn check_priority(rule: &Rule, errors: &Errors) {
    let Some(number) = &rule.priority else { return };
    if number.base10_parse::<u8>().is_err() || !number.suffix().is_empty() {
        let help = "write a whole number between 0 and 255, without a suffix; a rule without a priority has 128";
        errors.push(Code::PriorityRange, number, "there is no such priority", help);
    }
}

fn check_on_demand(rule: &Rule, errors: &Errors) {
    let Some(ttl) = &rule.on_demand else { return };
    if duration_s(&ttl.value()).is_none_or(|seconds| seconds > MAX_TTL_S) {
        let help = "write a number and a unit: `90s`, `30m`, `12h` or `7d`, and at most `3650d`";
        errors.push(Code::OnDemandTtl, ttl, "this is no such time", help);
    }
}

fn check_bindings(rule: &Rule, errors: &Errors) {
    for (at, param) in rule.params.iter().enumerate() {
        let ident = &param.ident;
        if rule.params[..at].iter().any(|other| name::same(&other.ident, ident)) {
            errors.push(
                Code::BoundTwice,
                ident,
                format!("parameter `{ident}` is bound twice"),
                "take one of the lines away",
            );
        }
        // Said once of a public rule, at `public`.
        if !rule.header.iter().any(|param| name::same(param, ident)) && rule.public.is_none() {
            let known: Vec<String> = rule.header.iter().map(name::plain).collect();
            let help = match name::similar(&name::plain(ident), known.iter().map(String::as_str)) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => format!(
                    "write it in the header: `rule {}({})`",
                    rule.ident,
                    [known, vec![ident.to_string()]].concat().join(", ")
                ),
            };
            errors.push(
                Code::BoundUndeclared,
                ident,
                format!("rule `{}` has no parameter `{ident}`", rule.ident),
                help,
            );
        }
    }
    for ident in &rule.header {
        if !rule.broken && !rule.params.iter().any(|param| is_meant(&param.ident, ident, rule)) {
            let what = format!("parameter `{ident}` is not bound to the actor");
            let help = format!(
                "add `{ident} = actor.claim;`, or `{ident} in Table.column where Table.user == actor.user_id;` for many"
            );
            errors.push(Code::Unbound, ident, what, help);
        }
    }
}

/// Whether a bound name is this parameter, or was probably meant to be.
fn is_meant(bound: &Ident, param: &Ident, rule: &Rule) -> bool {
    let bound_name = name::plain(bound);
    name::same(bound, param)
        || !rule.header.iter().any(|known| name::same(known, bound))
            && name::similar(&bound_name, [name::plain(param).as_str()]).is_some()
}

fn check_unused(rule: &Rule, errors: &Errors) {
    if rule.broken || rule.tables.is_empty() {
        return;
    }
    for ident in &rule.header {
        let used = rule.tables.iter().any(|line| line.broken || super::scope::scopes(line, ident));
        // Where only some lines lack it, each of those lines is reported instead.
        if !used && rule.header.len() > 1 && rule.params.iter().any(|param| name::same(&param.ident, ident)) {
            let what = format!("parameter `{ident}` is not used by any table of rule `{}`", rule.ident);
            errors.push(
                Code::ParameterUnused,
                ident,
                what,
                format!("compare a column with it in every table line, or take `{ident}` away"),
            );
        }
    }
}

fn check_empty(rule: &Rule, errors: &Errors) {
    if rule.tables.is_empty() && !rule.broken {
        let what = format!("rule `{}` syncs no table", rule.ident);
        let help = match rule.header.first() {
            _ if rule.public.is_some() => "add `Table;`, or take the rule away".to_owned(),
            Some(param) => format!("add `Table where Table.column == {param};`, or take the rule away"),
            None => "add `Table where Table.column == parameter;`, or take the rule away".to_owned(),
        };
        errors.push(Code::RuleEmpty, &rule.ident, what, help);
    }
}
