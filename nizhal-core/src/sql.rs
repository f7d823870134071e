//! The few words of SQL that a server and a device write alike.

use crate::{ColumnDefault, ColumnDesc};

/// An identifier in double quotes.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What SQLite writes when an insert leaves a column out.
pub fn sqlite_default(default: ColumnDefault) -> String {
    match default {
        // The driver's own spelling of a time, so that stored times compare as text.
        ColumnDefault::Now => "(strftime('%Y-%m-%dT%H:%M:%f', 'now') || '+00:00')".to_owned(),
        ColumnDefault::Text(text) => literal(text),
        ColumnDefault::Int(number) => number.to_string(),
        ColumnDefault::Bool(value) => i32::from(value).to_string(),
    }
}

/// A column of a SQLite table.
pub fn sqlite_column(column: &ColumnDesc) -> String {
    let mut sql = format!("{} {}", quote(column.name), column.sql.sqlite());
    if let Some(expression) = column.generated {
        sql.push_str(&format!(" generated always as ({expression}) stored"));
    }
    if !column.nullable {
        sql.push_str(" not null");
    }
    if let Some(value) = column.default {
        sql.push_str(" default ");
        sql.push_str(&sqlite_default(value));
    }
    if column.unique {
        sql.push_str(" unique");
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_literals_cannot_break_out() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("o'clock"), "'o''clock'");
    }
}
