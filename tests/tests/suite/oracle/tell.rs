//! A case as a person reads it: its rules, and its steps in SQL.

use super::{
    plain::{Change, Plain},
    script::{Mutation, Script, Step},
    shape::{Filter, Source, Synced, Table},
};
use std::fmt::Write;

pub(super) fn tell(script: &Script, plain: Plain<'_>) -> String {
    let mut out = String::new();
    write(&mut out, script, plain).expect("a String takes every write");
    out
}

fn write(out: &mut String, script: &Script, plain: Plain<'_>) -> std::fmt::Result {
    let shape = &script.shape;
    for table in &shape.tables {
        let column = |column: &super::shape::Column| {
            let private = if column.private { " private" } else { "" };
            format!("{} {:?}{private}", column.name, column.ty)
        };
        let columns: Vec<String> = table.columns.iter().map(column).collect();
        let keys: Vec<&str> = table.key.iter().map(|at| table.columns[*at].name).collect();
        writeln!(out, "table {} ({}) key ({})", table.name, columns.join(", "), keys.join(", "))?;
    }
    for rule in &shape.rules {
        writeln!(out, "rule {}:", rule.name)?;
        for (at, param) in rule.params.iter().enumerate() {
            match &param.source {
                Source::Claim(claim) => writeln!(out, "  p{at} = actor.{claim:?}")?,
                Source::Member { table, column, claims, filters } => {
                    let table = &shape.tables[*table];
                    let claims = claims.iter().map(|(at, claim)| format!("{} = {claim:?}", table.columns[*at].name));
                    let all: Vec<String> =
                        claims.chain(filters.iter().map(|filter| condition(table, filter))).collect();
                    let column = table.columns[*column].name;
                    writeln!(out, "  p{at} in {}.{column} where {}", table.name, all.join(" and "))?;
                }
            }
        }
        for synced in &rule.tables {
            let table = &shape.tables[synced.table];
            let places =
                synced.scope.iter().enumerate().map(|(at, column)| format!("{} = p{at}", table.columns[*column].name));
            let all: Vec<String> = places.chain(filters(table, synced)).collect();
            writeln!(out, "  {} where {}", table.name, all.join(" and "))?;
        }
    }
    for (at, actor) in shape.actors.iter().enumerate() {
        let devices = script.devices.iter().enumerate().filter(|(_, (of, _))| *of == at);
        let devices: Vec<String> = devices.map(|(at, (_, wire))| format!("{at} (wire {wire:?})")).collect();
        writeln!(out, "{actor:?}: devices {}", devices.join(", "))?;
    }
    for (at, step) in script.steps.iter().enumerate() {
        write!(out, "{at:>3} ")?;
        match step {
            Step::Ours(changes) => writeln!(out, "ours{}", statements(plain, changes))?,
            Step::Outside { changes, together } => {
                let how = if *together { "outside, together" } else { "outside" };
                writeln!(out, "{how}{}", statements(plain, changes))?;
            }
            Step::Hold(changes) => writeln!(out, "outside, held{}", statements(plain, changes))?,
            Step::Push { device, mutations } => {
                writeln!(out, "push of device {device}")?;
                for Mutation { id, name, place, depends_on, changes, rejects } in mutations {
                    let what = format!("{id} {name} {place:?} depends on {depends_on:?} rejects {rejects}");
                    writeln!(out, "      {what}{}", statements(plain, changes))?;
                }
            }
            other => writeln!(out, "{other:?}")?,
        }
    }
    Ok(())
}

fn filters(table: &Table, synced: &Synced) -> Vec<String> {
    let filters: Vec<String> = synced.filters.iter().map(|filter| condition(table, filter)).collect();
    if synced.any { vec![format!("({})", filters.join(" || "))] } else { filters }
}

fn condition(table: &Table, filter: &Filter) -> String {
    let operator = if filter.negated { "<>" } else { "=" };
    format!("{} {operator} {:?}", table.columns[filter.column].name, filter.value)
}

fn statements(plain: Plain<'_>, changes: &[Change]) -> String {
    plain.statements(changes).iter().map(|statement| format!("\n        {statement}")).collect()
}
