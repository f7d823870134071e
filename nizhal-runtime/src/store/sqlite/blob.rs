//! The triggers of blob columns on SQLite: what a row names is a reference to a blob that is stored.

use crate::{
    schema::Schema,
    store::{
        StoreError,
        blob_reference::blob_columns,
        sql::{Dialect, literal, quote},
    },
};
use nizhal_core::{ColumnDesc, TableDesc};
use sqlx::{AssertSqlSafe, SqliteConnection};

const DIALECT: Dialect = Dialect::Sqlite;

/// The bodies of a column's triggers, which look up the blob by its primary key, and take the mark of collection off: the grace begins
/// anew however soon the row names it no more. A file has one writer, so a blob that is found stays until the transaction ends.
pub(super) fn triggers(table: &TableDesc, column: &ColumnDesc) -> [(&'static str, String); 2] {
    let (on, name) = (quote(table.name), quote(column.name));
    let value = format!("new.{name}");
    let refuse = |message: String, unless: String| {
        format!("  select raise(abort, {}) where not ({unless});\n", literal(&message))
    };
    let stored = format!("select 1 from _nizhal_blobs b where b.sha256 = {}", DIALECT.blob_hash(&value));
    let checks = [
        refuse(Dialect::no_blob_reference(table, column), DIALECT.is_blob_reference(&value)),
        refuse(Dialect::blob_not_stored(table, column), format!("exists ({stored})")),
        refuse(
            Dialect::blob_of_other_size(table, column),
            format!("exists ({stored} and b.size = json_extract({value}, '$.size'))"),
        ),
        format!(
            "  update _nizhal_blobs set unreferenced_ms = null where sha256 = {} and unreferenced_ms is not null;\n",
            DIALECT.blob_hash(&value)
        ),
    ]
    .concat();
    let changed = format!("{value} is not (old.{name} collate binary)");
    [
        ("blob_insert", format!("before insert on {on} when {value} is not null begin\n{checks}end")),
        (
            "blob_update",
            format!("before update of {name} on {on} when {value} is not null and {changed} begin\n{checks}end"),
        ),
    ]
}

/// Refuses a file whose rows name blobs that are not stored: they were written before a trigger looked.
///
/// # Errors
/// When there are such rows, with what to do; or when the database fails.
pub(super) async fn check_rows(
    db: &mut SqliteConnection,
    schema: &Schema,
    exists: &impl Fn(&str, &str) -> bool,
    is_watched: impl Fn(&TableDesc, &ColumnDesc) -> bool,
) -> Result<(), StoreError> {
    for (table, column) in blob_columns(schema) {
        if is_watched(table, column) || !exists(table.name, column.name) {
            continue;
        }
        let value = format!("r.{}", quote(column.name));
        let is_stored = match exists("_nizhal_blobs", "sha256") {
            true => format!("exists (select 1 from _nizhal_blobs b where b.sha256 = {})", DIALECT.blob_hash(&value)),
            false => "0".to_owned(),
        };
        let sql = format!(
            "select 1 from {} r where {value} is not null and not case when {} then {is_stored} else 0 end limit 1",
            quote(table.name),
            DIALECT.is_blob_reference(&value)
        );
        if sqlx::query(AssertSqlSafe(sql)).fetch_optional(&mut *db).await?.is_some() {
            return Err(Dialect::unstored_rows(table, column));
        }
    }
    Ok(())
}
