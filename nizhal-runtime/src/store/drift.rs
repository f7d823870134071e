//! What declarations promise and a database does not hold: told at the start, all together, each with what to run.

use super::{StoreError, blob_reference::blob_columns};
use crate::schema::Schema;
use nizhal_core::{ColumnDesc, MemberFilter, ParamSource, TableDesc};
use std::collections::BTreeSet;

/// The complaints about a database, sentence by sentence.
#[derive(Debug, Default)]
pub(super) struct Complaints(Vec<String>);

impl Complaints {
    /// One thing more; `run` is the remedy.
    pub(super) fn push(&mut self, table: &str, what: &str, run: &str) {
        self.0.push(format!("table `{table}`: {what}: {run}"));
    }

    /// All of them as one error.
    pub(super) fn into_result(self) -> Result<(), StoreError> {
        match self.0.len() {
            0 => Ok(()),
            _ => Err(StoreError::Schema(format!(
                "the database does not hold what is declared\n  {}",
                self.0.join("\n  ")
            ))),
        }
    }
}

/// The tables whose writes triggers of ours must see: those that rules sync, those that rules read memberships from, and those that
/// name blobs.
pub(super) fn watched(schema: &Schema) -> BTreeSet<&'static str> {
    let rules = schema.rules();
    let synced = rules.iter().flat_map(|rule| &rule.tables).map(|synced| synced.table.name);
    let members = rules.iter().flat_map(|rule| &rule.params).filter_map(|param| match &param.source {
        ParamSource::Member { table, .. } => Some(table.name),
        ParamSource::Claim(_) => None,
    });
    let blobs = blob_columns(schema).map(|(table, _)| table.name);
    synced.chain(members).chain(blobs).collect()
}

/// The columns of this table whose values are compared byte by byte: its key, what names buckets, and what memberships are found by.
pub(super) fn exact_columns(schema: &Schema, table: &TableDesc) -> BTreeSet<&'static str> {
    let synced = schema.synced().iter().any(|synced| synced.name == table.name);
    let mut names: BTreeSet<&'static str> = table.key_columns().filter(|_| synced).map(|column| column.name).collect();
    for rule in schema.rules() {
        for line in rule.tables.iter().filter(|line| line.table.name == table.name) {
            names.extend(line.scope.iter().map(|&at| line.table.columns[at].name));
        }
        for param in &rule.params {
            let ParamSource::Member { table: source, column, filters } = &param.source else { continue };
            if source.name == table.name {
                names.insert(source.columns[*column].name);
                names.extend(filters.iter().filter_map(|filter| match filter {
                    MemberFilter::Claim { column, .. } => Some(source.columns[*column].name),
                    MemberFilter::Const(_) => None,
                }));
            }
        }
    }
    names
}

/// Column lists that the database must keep unique: the key, and each column that says so.
pub(super) fn unique_lists(table: &TableDesc) -> Vec<BTreeSet<&'static str>> {
    let key = table.key_columns().map(|column| column.name).collect();
    let single = |column: &ColumnDesc| column.unique.then(|| BTreeSet::from([column.name]));
    std::iter::once(key).chain(table.columns.iter().filter_map(single)).collect()
}
