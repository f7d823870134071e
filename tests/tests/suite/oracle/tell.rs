//! A case as a person reads it: its rules, and its steps in SQL.

use super::{
    plain::{Change, Plain},
    script::{Mutation, Script, Step},
    shape::{Bound, Condition, Rule, Shape, Source, Table},
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
    match &shape.written {
        Some(text) => out.write_str(text)?,
        None => shape.rules.iter().try_for_each(|rule| write_rule(out, shape, rule))?,
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

fn write_rule(out: &mut String, shape: &Shape, rule: &Rule) -> std::fmt::Result {
    writeln!(out, "rule {}:", rule.name)?;
    for (at, param) in rule.params.iter().enumerate() {
        match &param.source {
            Source::Claim(claim) => writeln!(out, "  p{at} = actor.{claim:?}")?,
            Source::Member { table, column, condition: of } => {
                let table = &shape.tables[*table];
                writeln!(
                    out,
                    "  p{at} in {}.{} where {}",
                    table.name,
                    table.columns[*column].name,
                    condition(table, of)
                )?;
            }
        }
    }
    for synced in &rule.tables {
        let table = &shape.tables[synced.table];
        writeln!(out, "  {} where {}", table.name, condition(table, &synced.condition))?;
    }
    Ok(())
}

fn condition(table: &Table, of: &Condition) -> String {
    let joined = |parts: &[Condition], word: &str| {
        let parts: Vec<String> = parts.iter().map(|part| condition(table, part)).collect();
        format!("({})", parts.join(word))
    };
    match of {
        Condition::Is(filter) => {
            let operator = if filter.negated { "<>" } else { "=" };
            format!("{} {operator} {:?}", table.columns[filter.column].name, filter.value)
        }
        Condition::Bound { column, to: Bound::Param(at) } => format!("{} = p{at}", table.columns[*column].name),
        Condition::Bound { column, to: Bound::Claim(claim) } => {
            format!("{} = actor.{claim:?}", table.columns[*column].name)
        }
        Condition::All(parts) => joined(parts, " && "),
        Condition::Any(parts) => joined(parts, " || "),
    }
}

fn statements(plain: Plain<'_>, changes: &[Change]) -> String {
    plain.statements(changes).iter().map(|statement| format!("\n        {statement}")).collect()
}
