//! The columns whose change is published to devices: those that they get, and those that decide which of them get the row.
//!
//! An update that changes none of them gives the row no new version and pings nobody, else devices would learn when something that is
//! kept from them was written. It is noted as one of a hidden row is: the write scope judges it, and the audit log has it.

use super::sql::{DELETED_AT, UPDATED_AT, VERSION};
use nizhal_core::{Rule, TableDesc};
use std::collections::BTreeSet;

/// The columns of a synced table whose change is published; `None` where any is. A column that the database generates may follow from a
/// private one, and has no value yet when a trigger looks at the row: a table with such a column that devices get publishes all.
pub(super) fn published_columns(table: &TableDesc, rules: &[Rule]) -> Option<BTreeSet<&'static str>> {
    let mut published = BTreeSet::from([VERSION, UPDATED_AT, DELETED_AT]);
    published.extend(table.columns.iter().filter(|column| !column.private).map(|column| column.name));
    for synced in rules.iter().flat_map(|rule| &rule.tables).filter(|synced| synced.table.name == table.name) {
        let filters = synced.filters.iter().flat_map(|filter| filter.comparisons()).map(|filter| &filter.column);
        published.extend(synced.scope.iter().chain(filters).map(|&index| table.columns[index].name));
    }
    let is_published = |name: &str| published.contains(name);
    let publishes_all = table.columns.iter().all(|column| is_published(column.name))
        || table.columns.iter().any(|column| column.generated.is_some() && is_published(column.name));
    (!publishes_all).then_some(published)
}
