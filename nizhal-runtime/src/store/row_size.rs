//! The size of a row on the wire, as SQL: the triggers note the largest row of each table that a transaction of ours writes, so that
//! its end can be refused without a further round trip.
//!
//! A row is noted by a line `%<table>:<bytes>`. The bytes are those of its JSON as the database spells it: the wire leaves out the
//! spaces of Postgres' JSON and writes no number longer, so that it never has more. Small rows are told from large ones by the lengths
//! of their values, which cost next to nothing; what is large alone is measured.

use super::{
    error::StoreError,
    sql::{Dialect, col, literal, wire_columns},
};
use crate::settings::MIN_ROW_LIMIT_BYTES;
use nizhal_core::{ColumnDesc, RuleTable, SqlType, TableDesc};

/// Begins the note's line of a large row; no rule's name does.
pub(crate) const SIGN: char = '%';
/// The longest that one byte of a text becomes in JSON: `\u0001`.
const ESCAPED_BYTES: usize = 6;
/// What is longer is not measured but taken for what it is: JSON of it might be longer than the database can hold.
const MEASURED_BYTES: usize = 64 * 1024 * 1024;
/// What a value takes beside its length, and at most where its type has none: a timestamp with its quotes, the digits of a float.
const FIXED_BYTES: usize = 40;

/// The largest row of a table that a transaction wrote, where it was large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeRow {
    /// The table.
    pub table: String,
    /// The size of its JSON in bytes.
    pub bytes: u64,
}

/// A SELECT of the line for the largest of these rows, which `r` names; it has one row, and NULL where none is large or the
/// transaction is not ours. Nothing where no row can be large.
pub(crate) fn postgres_line(table: &TableDesc, synced: &[(&str, &RuleTable)], rows: &str) -> Option<String> {
    let Size { is_large, bytes } = Size::of(Dialect::Postgres, synced, "r")?;
    // Asked once a statement: a transaction of ours begins its note with a seal.
    let ours = "left(current_setting('nizhal.touched', true), 1) = '$'";
    Some(format!("select {} || max({bytes}) as line from {rows} r where {ours} and {is_large}", sign(table)))
}

/// The line of this row on SQLite; NULL where it is not large or the transaction is not ours.
pub(crate) fn sqlite_line(table: &TableDesc, synced: &[(&str, &RuleTable)], row: &str) -> Option<String> {
    let Size { is_large, bytes } = Size::of(Dialect::Sqlite, synced, row)?;
    let ours = "(select txn from _nizhal_control where id = 1) is not null";
    Some(format!("case when {is_large} and {ours} then {} || ({bytes}) end", sign(table)))
}

fn sign(table: &TableDesc) -> String {
    literal(&format!("{SIGN}{}:", table.name))
}

/// The size of a row, as SQL.
struct Size {
    /// Whether it may be large, and shows in a bucket.
    is_large: String,
    /// Its bytes on the wire; NULL where it is not large after all.
    bytes: String,
}

impl Size {
    /// None where no row can be large.
    fn of(dialect: Dialect, synced: &[(&str, &RuleTable)], row: &str) -> Option<Self> {
        let (_, first) = synced.first()?;
        let sent = first.table.columns.iter().filter(|column| !column.private);
        let lengths: Vec<Length> = sent.filter_map(|column| Length::of(dialect, column, row)).collect();
        if lengths.is_empty() {
            return None;
        }
        let raw: Vec<&str> = lengths.iter().map(|length| &*length.raw).collect();
        // Of one value SQLite's `max` is an aggregate.
        let longest = match dialect {
            Dialect::Postgres => format!("greatest({})", raw.join(", ")),
            Dialect::Sqlite => format!("max(0, {})", raw.join(", ")),
        };
        let columns = wire_columns(first.table);
        let names: usize = columns.iter().map(|(name, _)| name.len() + "\"\":,".len() + FIXED_BYTES).sum();
        // Where all together are no longer than this, the row is not large; nor where none is longer than its part of it.
        let short = MIN_ROW_LIMIT_BYTES.saturating_sub(names) / ESCAPED_BYTES;
        let part = short / lengths.len();
        let shown: Vec<String> =
            synced.iter().map(|(_, synced)| format!("({})", dialect.visible(synced, row))).collect();
        let int8 = if dialect == Dialect::Postgres { "::int8" } else { "" };
        let stored: String = raw.iter().map(|raw| format!(" + coalesce({raw}, 0)")).collect();
        let sent: String = lengths.iter().map(|length| format!(" + {}", length.sent)).collect();
        Some(Self {
            is_large: format!("{longest} > {part} and ({})", shown.join(" or ")),
            bytes: format!(
                "case when {longest} > {MEASURED_BYTES} then {longest} when 0{int8}{stored} > {short} then {names}{int8}{sent} end"
            ),
        })
    }
}

/// The length of a column's value, as SQL.
struct Length {
    /// In the database: on the wire it is at most [`ESCAPED_BYTES`] times as much. NULL of a NULL on Postgres.
    raw: String,
    /// On the wire.
    sent: String,
}

impl Length {
    /// None for a type whose values are all short.
    fn of(dialect: Dialect, column: &ColumnDesc, row: &str) -> Option<Self> {
        let value = col(row, column);
        let (length, text) = match dialect {
            Dialect::Postgres => {
                ((|value| format!("octet_length({value})")) as fn(&str) -> String, format!("{value}::text"))
            }
            Dialect::Sqlite => {
                ((|value| format!("coalesce(length(cast({value} as blob)), 0)")) as fn(&str) -> String, value.clone())
            }
        };
        let known = |length: String| match dialect {
            Dialect::Postgres => format!("coalesce({length}, 0)"),
            Dialect::Sqlite => length,
        };
        let same = |raw: String| Self { sent: known(raw.clone()), raw };
        Some(match column.sql {
            SqlType::Text => {
                let quoted = match dialect {
                    Dialect::Postgres => format!("to_json({text})::text"),
                    // Another program may have written bytes, which are no JSON.
                    Dialect::Sqlite => format!("json_quote(cast({text} as text))"),
                };
                Self { raw: length(&text), sent: known(length(&quoted)) }
            }
            SqlType::Bytes => Self { raw: length(&value), sent: format!("({} + 2) / 3 * 4", known(length(&value))) },
            SqlType::Json | SqlType::Numeric => same(length(&text)),
            SqlType::Array(_) => same(length(&format!("to_json({value})::text"))),
            _ => return None,
        })
    }
}

/// Reads a line of the note, without its sign.
///
/// # Errors
/// When it is not ours.
pub(crate) fn parse(line: &str) -> Result<LargeRow, StoreError> {
    let read = line.rsplit_once(':').and_then(|(table, bytes)| Some((table.to_owned(), bytes.parse().ok()?)));
    let (table, bytes) =
        read.ok_or_else(|| StoreError::Schema(format!("the note has a large row that is not ours: {line:?}")))?;
    Ok(LargeRow { table, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_back() {
        assert_eq!(parse("a:b:70000").unwrap(), LargeRow { table: "a:b".to_owned(), bytes: 70_000 });
        assert!(parse("a").is_err() && parse("a:-1").is_err());
    }
}
