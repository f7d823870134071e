//! Images: the rows of one bucket at one version, as a SQLite file whose tables are those of a device.

use crate::{
    Random, RuleTable, SqlType,
    local::{LocalColumn, LocalTable},
};
use serde_json::json;

/// The format of the file; a device lays no other.
pub const FORMAT: i64 = 1;

/// The table that says what the file is. `seal` is the same in the server's words, for a device that offers the file as a seed.
pub const CREATE_META: &str = "create table _nizhal_image (format integer not null, bucket text not null, \
    version integer not null, epoch text not null, tag text not null, shape text not null, seal text not null, \
    rows integer not null)";

/// The table of rows that the tables cannot hold, since a cell is none of its column's type: as the lines of a pull have them.
pub const CREATE_UNREAD: &str = "create table _nizhal_unread (tbl text not null, rows text not null)";

/// A name for the tables of a rule as devices keep them, the same where a row that one has is a row that the other can have. None where
/// a device cannot keep them.
pub fn shape(tables: &[RuleTable]) -> Option<String> {
    let mut all: Vec<_> = tables.iter().map(|synced| LocalTable::new(synced.table)).collect();
    all.sort_by_key(|table| table.desc.name);
    if all.iter().flat_map(|table| &table.columns).any(|column| matches!(column.sql, SqlType::Array(_))) {
        return None;
    }
    let column = |column: &LocalColumn| {
        let LocalColumn { name, sql, nullable, texts, definition, .. } = column;
        json!([name, format!("{sql:?}"), nullable, texts, definition])
    };
    let table = |table: &LocalTable| {
        let columns: Vec<_> = table.columns.iter().map(column).collect();
        json!([table.desc.name, table.key, columns])
    };
    let text = json!([FORMAT, all.iter().map(table).collect::<Vec<_>>()]).to_string();
    Some(format!("{:016x}", Random::of(&text).next_u64()))
}
