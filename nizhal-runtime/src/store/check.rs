//! What holds a column of an enum to its texts, whoever writes: a constraint on Postgres, triggers on SQLite.
//!
//! SQLite cannot change the constraints of a table that exists, and an enum gets new texts in time.

use super::StoreError;
use super::sql::{literal, quote, stamped};
use crate::schema::Schema;
use nizhal_core::{ColumnDesc, SqlType, TableDesc};

/// Begins the names of constraints and triggers that check.
pub(crate) const PREFIX: &str = "_nizhal_enum";

/// One column that holds only some texts.
pub(crate) struct Check {
    /// The table.
    pub(crate) table: &'static str,
    column: &'static str,
    texts: String,
}

/// The checks of all tables.
pub(crate) fn checks(schema: &Schema) -> Vec<Check> {
    let of = |table: &'static TableDesc| {
        let columns = table.columns.iter().filter(|column| !column.texts.is_empty());
        columns.map(move |column| Check { table: table.name, column: column.name, texts: list(column) })
    };
    schema.tables().iter().copied().flat_map(of).collect()
}

fn list(column: &ColumnDesc) -> String {
    column.texts.iter().map(|text| literal(text)).collect::<Vec<_>>().join(", ")
}

impl Check {
    /// The constraint's name; other texts have another name.
    pub(crate) fn name(&self) -> String {
        stamped(PREFIX, &format!("{}\n{}\n{}", self.table, self.column, self.texts))
    }

    /// Adds the constraint, on Postgres.
    pub(crate) fn constraint(&self) -> String {
        let (on, column) = (quote(self.table), quote(self.column));
        format!("alter table {on} add constraint {} check ({column} in ({}))", self.name(), self.texts)
    }

    /// The bodies of the triggers, on SQLite: what follows `create trigger <name>`.
    pub(crate) fn triggers(&self) -> [(&'static str, String); 2] {
        let (on, column) = (quote(self.table), quote(self.column));
        let message = literal(&format!("{}.{} is none of {}", self.table, self.column, self.texts));
        ["insert", "update"].map(|verb| {
            let body = format!(
                "before {verb} on {on} when new.{column} not in ({}) begin select raise(abort, {message}); end",
                self.texts
            );
            (verb, body)
        })
    }
}

/// Refuses, at the start, what SQLite cannot hold.
///
/// # Errors
/// When a table has an array.
pub(crate) fn check_sqlite(schema: &Schema) -> Result<(), StoreError> {
    let all = schema.tables().iter().flat_map(|table| table.columns.iter().map(move |column| (table.name, column)));
    let Some((table, column)) = all.into_iter().find(|(_, column)| matches!(column.sql, SqlType::Array(_))) else {
        return Ok(());
    };
    Err(StoreError::Schema(format!(
        "column `{}` of table `{table}` is an array ({}), which SQLite has not: make it a Json<Vec<…>>, or run on Postgres",
        column.name,
        column.sql.postgres(),
    )))
}
