//! Judges what is replayed: a mutator, a table, and, of what one crate says of both and of its rules, whether they go together. The latter
//! is told by names, so it sees the plain cases; the server judges the rules when it starts, and each write.

use super::member_write::write_in;
use crate::ast::{Default, Merge, RuleName};
use crate::model::{Mutator, Rule, RuleSet, Table, ty};
use crate::{Code, Errors, name};

/// A mutator that could not do the same again.
pub(super) fn check_replay(mutator: &Mutator, errors: &Errors) {
    let Some(replay) = mutator.replay.as_ref().filter(|_| mutator.server) else { return };
    errors.push(
        Code::ReplayServer,
        &replay.word,
        "a mutator that is replayed cannot be the server's alone: what it asks of others, it would ask again",
        "take `server` away, and file a job in a mutator that is not replayed",
    );
}

/// Columns of a replayed table whose values do not follow from the mutations and their order.
pub(super) fn check_replayed(table: &Table, errors: &Errors) {
    if table.merge != Merge::Replay {
        return;
    }
    for column in &table.columns {
        let (field, name) = (&column.field, column.name.value());
        let document = ty::name(ty::without_option(&column.ty)).filter(|name| ty::CRDT_TYPES.contains(&name.as_str()));
        if let Some(document) = document {
            errors.push(
                Code::ReplayDocument,
                &column.ty,
                format!("a `{document}` merges by itself, and the table is replayed"),
                format!("keep `{field}` in a table of its own, or take `merge = \"replay\"` away"),
            );
        }
        // The engine itself writes when a row was changed.
        if let Some(Default::Now(now)) = column.default.as_ref().filter(|_| name != "updated_at") {
            errors.push(
                Code::ReplayNow,
                now,
                "in a replayed table this would be another moment each time that a mutation runs again",
                format!(
                    "write `{field}: Set(ctx.now())` in the mutator: it is the time at which the mutation was made"
                ),
            );
        }
    }
}

/// Reports mutators that are replayed in no rule of these, and those that write past the order of replayed mutations.
pub fn check_replays(rules: &[RuleSet], tables: &[Table], mutators: &[Mutator], errors: &Errors) {
    let rules: Vec<&Rule> = rules.iter().flat_map(|set| &set.rules).filter(|rule| !rule.broken).collect();
    for mutator in mutators {
        if !rules.is_empty() {
            check_rule(&rules, mutator, errors);
        }
        for table in tables {
            check_write(table, mutator, errors);
        }
    }
}

fn check_rule(rules: &[&Rule], mutator: &Mutator, errors: &Errors) {
    let Some(replay) = &mutator.replay else { return };
    let wire = replay.rule.wire().value();
    let (at, found) = match &replay.rule {
        RuleName::Declared(ident) => (name::plain(ident), rules.iter().find(|rule| name::same(&rule.ident, ident))),
        RuleName::Wire(text) => (text.value(), rules.iter().find(|rule| rule.name.value() == wire)),
    };
    let (what, help) = match found {
        Some(rule) if rule.header.len() != 1 => {
            let count = rule.header.len();
            (format!("rule `{at}` has {count} parameters"), "name a rule with one parameter".to_owned())
        }
        Some(rule) if rule.name.value() != wire => {
            let name = rule.name.value();
            (format!("rule `{at}` is called \"{name}\" on the wire"), format!("write `replay(\"{name}\" = …)`"))
        }
        Some(_) => return,
        None => {
            let known = rules.iter().map(|rule| name::plain(&rule.ident)).collect::<Vec<_>>();
            let help = match name::similar(&at, known.iter().map(String::as_str)) {
                Some(near) => format!("write `{near}`"),
                None => "name a rule with one parameter".to_owned(),
            };
            (format!("there is no rule `{at}`"), help)
        }
    };
    errors.push(Code::ReplayRule, replay.rule.wire(), what, help);
}

fn check_write(table: &Table, mutator: &Mutator, errors: &Errors) {
    let (ident, is_replayed) = (&table.item.ident, table.merge == Merge::Replay);
    if is_replayed == mutator.replay.is_some() {
        return;
    }
    let body = &mutator.function.item.block;
    let Some(written) = write_in(&ident.to_string(), quote::ToTokens::to_token_stream(body)) else { return };
    let mutator = mutator.function.ident();
    let (what, help) = match is_replayed {
        true => (
            format!("`{mutator}` writes `{ident}`, whose mutations take effect in the order they were made"),
            "write `#[mutator(replay(…))]` with the rule and its bucket",
        ),
        false => (
            format!("`{mutator}` is replayed and writes `{ident}`, which is not"),
            "write it in another mutator, or give the table `merge = \"replay\"`",
        ),
    };
    errors.push(Code::ReplayWrite, written, what, help);
}
