//! What is replayed, and whether it can be.

use super::{Schema, SchemaError};
use nizhal_core::{Merge, MutatorEntry, Rule, RuleTable, SqlType, TableDesc};

/// A table whose mutations take effect in the order they were made.
#[derive(Debug)]
pub(crate) struct Replayed<'a> {
    pub(crate) table: &'static TableDesc,
    /// The rules in whose buckets that is, and the line of each that syncs the table.
    pub(crate) buckets: Vec<(&'static str, &'a RuleTable)>,
}

impl Schema {
    /// The tables whose mutations take effect in the order they were made, by name.
    pub(crate) fn replayed(&self) -> Vec<Replayed<'_>> {
        let is_replayed = |rule: &Rule| self.mutators.values().any(|entry| entry.desc.replay == Some(rule.name));
        let buckets = |table: &'static TableDesc| -> Vec<(&'static str, &RuleTable)> {
            let rules = self.rules.iter().filter(|rule| is_replayed(rule));
            let lines = rules.flat_map(|rule| rule.tables.iter().map(move |synced| (rule.name, synced)));
            lines.filter(|(_, synced)| synced.table.name == table.name).collect()
        };
        let tables = self.tables.iter().filter(|table| table.merge == Merge::Replay);
        let replayed = tables.map(|&table| Replayed { table, buckets: buckets(table) });
        replayed.filter(|replayed| !replayed.buckets.is_empty()).collect()
    }

    /// The rule in whose buckets a table is replayed.
    pub(crate) fn replayed_in(&self, table: &str) -> Option<&'static str> {
        let replayed = self.replayed();
        replayed.iter().find(|replayed| replayed.table.name == table).map(|replayed| replayed.buckets[0].0)
    }

    /// Whether what is replayed can be: each mutator in buckets of a rule with one parameter, each table by some mutator.
    pub(super) fn check_replay(&self) -> Result<(), SchemaError> {
        for entry in self.mutators().into_iter().filter(|entry| entry.desc.replay.is_some()) {
            self.check_replayed_mutator(entry)?;
        }
        let replayed = self.replayed();
        for &table in self.tables.iter().filter(|table| table.merge == Merge::Replay) {
            let name = table.name;
            if let Some(column) = table.columns.iter().find(|column| column.crdt.is_some()) {
                return Err(SchemaError::ReplayedDocument { table: name, column: column.name });
            }
            if self.gives_buckets(name) {
                return Err(SchemaError::ReplayedMembers(name));
            }
            let Some(replayed) = replayed.iter().find(|replayed| replayed.table.name == name) else {
                return Err(SchemaError::NeverReplayed(name));
            };
            // What one order takes back, the other would not run again.
            if let [(one, _), (other, _), ..] = replayed.buckets[..] {
                return Err(SchemaError::ReplayedTwice { table: name, one, other });
            }
        }
        Ok(())
    }

    fn check_replayed_mutator(&self, entry: &MutatorEntry) -> Result<(), SchemaError> {
        let (mutator, rule) = (entry.desc.name, entry.desc.replay.unwrap_or_default());
        let declared = self.rules.iter().find(|declared| declared.name == rule);
        let Some([param]) = declared.map(|rule| &rule.params[..]) else {
            return Err(SchemaError::ReplayRule { mutator, rule });
        };
        if let Some(value) = entry.replay.sql.filter(|value| bucket_type(*value) != bucket_type(param.sql)) {
            let (value, param) = (value.postgres(), param.sql.postgres());
            return Err(SchemaError::ReplayValue { mutator, rule, value, param });
        }
        for &table in entry.desc.privileged {
            if self.gives_buckets(table) {
                return Err(SchemaError::ReplayedMembership { mutator, table });
            }
            if self.tables.iter().any(|declared| declared.name == table && declared.merge != Merge::Replay) {
                return Err(SchemaError::ReplayedPrivilege { mutator, table });
            }
        }
        Ok(())
    }
}

/// The type of what a value is in a bucket's name: whole numbers of all sizes are one there.
fn bucket_type(sql: SqlType) -> SqlType {
    match sql {
        SqlType::Int2 | SqlType::Int4 => SqlType::Int8,
        other => other,
    }
}
