//! What a device knows of its app: the synced tables, the rules that name buckets, the mutators.

use nizhal_core::{MutatorEntry, Rule, SqlType, TableDesc, local::LocalTable};
use std::collections::HashMap;

/// Why the parts of an app do not make a device.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaError {
    /// Two mutators share a wire name.
    #[error("mutator `{0}` is listed twice in .mutators(...)")]
    DuplicateMutator(&'static str),
    /// A rule names a table that the app does not list.
    #[error("rule `{rule}` uses table `{table}`: add it to .tables(...)")]
    UnknownTable {
        /// The rule.
        rule: &'static str,
        /// The table.
        table: &'static str,
    },
    /// SQLite has no arrays.
    #[error(
        "column `{column}` of table `{table}` is an array, which a device's SQLite has not: make it a Json<Vec<…>>"
    )]
    Array {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
}

/// All of it.
#[derive(Debug)]
pub struct Schema {
    tables: Vec<LocalTable>,
    rules: Vec<Rule>,
    mutators: HashMap<&'static str, MutatorEntry>,
    absent: Vec<&'static str>,
    replayed: Vec<&'static str>,
}

impl Schema {
    /// Puts together what the server is given too: tables that no rule syncs stay on the server.
    ///
    /// # Errors
    /// When names collide, a rule uses a table that is not listed, or a column cannot be kept.
    pub fn new(
        tables: &[&'static TableDesc],
        rules: Vec<Rule>,
        mutators: Vec<MutatorEntry>,
    ) -> Result<Self, SchemaError> {
        let mut synced: Vec<&'static TableDesc> = Vec::new();
        for rule in &rules {
            for table in rule.tables.iter().map(|line| line.table) {
                if tables.iter().all(|known| known.name != table.name) {
                    return Err(SchemaError::UnknownTable { rule: rule.name, table: table.name });
                }
                if synced.iter().all(|known| known.name != table.name) {
                    synced.push(table);
                }
            }
        }
        synced.sort_by_key(|table| table.name);
        for table in &synced {
            if let Some(column) = table.columns.iter().find(|column| matches!(column.sql, SqlType::Array(_))) {
                return Err(SchemaError::Array { table: table.name, column: column.name });
            }
        }
        let mut by_name = HashMap::new();
        for entry in mutators {
            if by_name.insert(entry.desc.name, entry).is_some() {
                return Err(SchemaError::DuplicateMutator(entry.desc.name));
            }
        }
        let is_synced = |table: &&&'static TableDesc| synced.iter().any(|known| known.name == table.name);
        let absent = tables.iter().filter(|table| !is_synced(table)).map(|table| table.name).collect();
        let mut replayed: Vec<_> = by_name.values().filter(|entry| entry.desc.replay.is_some()).collect();
        replayed.sort_by_key(|entry| entry.desc.name);
        let replayed = replayed.into_iter().map(|entry| entry.desc.name).collect();
        let tables = synced.into_iter().map(LocalTable::new).collect();
        Ok(Self { tables, rules, mutators: by_name, absent, replayed })
    }

    pub(crate) fn tables(&self) -> &[LocalTable] {
        &self.tables
    }

    pub(crate) fn table(&self, name: &str) -> Option<&LocalTable> {
        self.tables.iter().find(|table| table.desc.name == name)
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether some rule gives its buckets on demand.
    pub(crate) fn has_demand(&self) -> bool {
        self.rules.iter().any(|rule| rule.on_demand.is_some())
    }

    pub(crate) fn mutator(&self, name: &str) -> Option<&MutatorEntry> {
        self.mutators.get(name)
    }

    /// The tables that only the server has.
    pub(crate) fn absent(&self) -> &[&'static str] {
        &self.absent
    }

    /// The names of the mutators whose mutations the server may run again.
    pub(crate) fn replayed(&self) -> &[&'static str] {
        &self.replayed
    }

    /// The names of the synced tables, sorted.
    pub fn table_names(&self) -> Vec<&'static str> {
        self.tables.iter().map(|table| table.desc.name).collect()
    }
}
