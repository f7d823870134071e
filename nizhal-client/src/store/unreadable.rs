//! Rows that were left out, since the app's types cannot read a cell of them.

use super::{SqliteStore, StoreError};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

/// A row of the server's that is not shown here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreadable {
    /// Its table.
    pub table: String,
    /// Its key as the server names it.
    pub key: String,
    /// The column whose cell cannot be read, …
    pub column: String,
    /// … and why.
    pub reason: String,
}

impl SqliteStore {
    pub(super) async fn left_out(&self) -> Result<Vec<Unreadable>, StoreError> {
        let sql = "select tbl, id, col, reason from _nizhal_unreadable order by tbl, id";
        let rows = self.reads.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
        let read = |row: &sea_orm::QueryResult| {
            Ok(Unreadable {
                table: row.try_get("", "tbl")?,
                key: row.try_get("", "id")?,
                column: row.try_get("", "col")?,
                reason: row.try_get("", "reason")?,
            })
        };
        rows.iter().map(read).collect()
    }
}
