//! The trigger of blob columns on Postgres: what a row names is a reference to a blob that is stored, and stays so until the
//! transaction ends.
//!
//! Decision: book/src/decisions/blobs.md#a-trigger-demands-that-a-blob-is-stored

use super::{clock::definer, found::Found};
use crate::{
    schema::Schema,
    store::{
        StoreError,
        blob_reference::{STORED, blob_columns},
        sql::{Dialect, literal, quote},
    },
};
use nizhal_core::{ColumnDesc, TableDesc};
use sqlx::{AssertSqlSafe, PgConnection};

const DIALECT: Dialect = Dialect::Postgres;

/// How the names of these functions and triggers begin.
pub(super) const PREFIX: &str = "_nizhal_blob";

/// The body of a table's function. It locks each blob that a row names as a foreign key would, so that collection waits for the end
/// of the transaction, by the primary key of the blobs; and takes the mark of collection off, so that the grace begins anew however soon
/// the row names it no more.
pub(super) fn function_body(schema: &str, table: &TableDesc) -> String {
    let checks: String = table.blob_columns().map(|column| check(schema, table, column)).collect();
    format!(
        "returns trigger language plpgsql volatile {} as $nizhal$
declare stored bigint;
begin
{checks}  return null;
end $nizhal$",
        definer(schema)
    )
}

fn check(schema: &str, table: &TableDesc, column: &ColumnDesc) -> String {
    let value = format!("new.{}", quote(column.name));
    let raise = |message: String, code: &str, constraint: &str, detail: &str| {
        format!(
            "raise exception using message = {}, errcode = '{code}', constraint = '{constraint}', table = {}, column = {}{detail};",
            literal(&message),
            literal(table.name),
            literal(column.name),
        )
    };
    let hash = DIALECT.blob_hash(&value);
    format!(
        "  if {value} is not null and {changed} then
    if not {is_reference} then {malformed} end if;
    select b.size into stored from {schema}._nizhal_blobs b where b.sha256 = {hash} for key share;
    if not found then {missing} end if;
    update {schema}._nizhal_blobs b set unreferenced_ms = null where b.sha256 = {hash} and b.unreferenced_ms is not null;
    if stored <> ({value} ->> 'size')::bigint then {other_size} end if;
  end if;
",
        changed = changed(column),
        is_reference = DIALECT.is_blob_reference(&value),
        malformed = raise(Dialect::no_blob_reference(table, column), "23514", "_nizhal_blob_reference", ""),
        missing = raise(Dialect::blob_not_stored(table, column), "23503", STORED, &format!(", detail = {hash}")),
        other_size = raise(Dialect::blob_of_other_size(table, column), "23514", "_nizhal_blob_size", ""),
    )
}

/// Whether this column is other than before; of a row that is inserted, nothing was before.
fn changed(column: &ColumnDesc) -> String {
    format!("new.{0}::text is distinct from old.{0}::text", quote(column.name))
}

/// When a table's triggers run: for rows that name a blob which they did not name before.
pub(super) fn fires(table: &TableDesc) -> [(&'static str, String); 2] {
    let on = quote(table.name);
    let any = |of: &dyn Fn(&ColumnDesc) -> String| table.blob_columns().map(of).collect::<Vec<_>>().join(" or ");
    let named = any(&|column| format!("new.{} is not null", quote(column.name)));
    let renamed = any(&changed);
    [
        ("insert", format!("after insert on {on} for each row when ({named})")),
        ("update", format!("after update on {on} for each row when ({renamed})")),
    ]
}

/// Refuses a database whose rows name blobs that are not stored: they were written before a trigger looked.
///
/// # Errors
/// When there are such rows, with what to do; or when the database fails.
pub(super) async fn check_rows(db: &mut PgConnection, schema: &Schema, found: &Found) -> Result<(), StoreError> {
    for (table, column) in blob_columns(schema) {
        let is_ours = |(on, trigger): &&(String, String)| on == table.name && trigger.starts_with(PREFIX);
        let is_watched = found.triggers.iter().filter(is_ours).any(|trigger| !found.disabled.contains(trigger));
        if is_watched || !found.has(table.name, column.name) {
            continue;
        }
        let value = format!("r.{}", quote(column.name));
        let is_stored = match found.columns.contains_key("_nizhal_blobs") {
            true => format!("exists (select 1 from _nizhal_blobs b where b.sha256 = {})", DIALECT.blob_hash(&value)),
            false => "false".to_owned(),
        };
        let sql = format!(
            "select 1 from {} r where {value} is not null and not ({} and {is_stored}) limit 1",
            quote(table.name),
            DIALECT.is_blob_reference(&value)
        );
        if sqlx::query(AssertSqlSafe(sql)).fetch_optional(&mut *db).await?.is_some() {
            return Err(Dialect::unstored_rows(table, column));
        }
    }
    Ok(())
}
