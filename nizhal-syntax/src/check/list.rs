//! Judges column lists: a device keeps one row of a table, so every rule must give the same columns of it.

use crate::model::{RuleSet, TableLine};
use crate::{Code, Errors, name};
use quote::ToTokens;
use std::collections::{BTreeSet, HashMap};

/// Reports lists that say nothing, say a column twice, or contradict each other.
pub(super) fn check_lists(set: &RuleSet, errors: &Errors) {
    let mut first: HashMap<String, (&TableLine, String)> = HashMap::new();
    for rule in &set.rules {
        for line in &rule.tables {
            check_list(line, errors);
            let path = line.table.to_token_stream().to_string();
            match first.get(&path) {
                Some((other, of)) if column_set(other) != column_set(line) => {
                    let table = line.table_ident().map_or_else(String::new, ToString::to_string);
                    let what = format!("rule `{of}` gives other columns of `{table}`");
                    let help = match &other.columns {
                        Some(columns) => {
                            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
                            format!(
                                "write `{table} {{ {} }}` in both: a device keeps one row, whichever rule gave it",
                                columns.join(", ")
                            )
                        }
                        None => {
                            "write the same list in both: a device keeps one row, whichever rule gave it".to_owned()
                        }
                    };
                    errors.push(Code::ListsDiffer, &line.table, what, help);
                }
                Some(_) => {}
                None => {
                    first.insert(path, (line, rule.ident.to_string()));
                }
            }
        }
    }
}

fn check_list(line: &TableLine, errors: &Errors) {
    let Some(columns) = &line.columns else { return };
    if columns.is_empty() {
        let what = "this list names no column";
        errors.push(
            Code::EmptyList,
            &line.table,
            what,
            "list the key and what devices may see, or take the braces away for all columns",
        );
    }
    for (at, column) in columns.iter().enumerate() {
        if columns[..at].iter().any(|other| name::plain(other) == name::plain(column)) {
            errors.push(Code::ListedTwice, column, format!("`{column}` is listed twice"), "take one of them away");
        }
    }
}

fn column_set(line: &TableLine) -> Option<BTreeSet<String>> {
    line.columns.as_ref().map(|columns| columns.iter().map(name::plain).collect())
}
