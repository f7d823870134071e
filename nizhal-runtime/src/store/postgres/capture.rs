//! Change capture on Postgres: statement-level triggers that see every write, whoever makes it.
//!
//! What a line of the note says is told in `store/note.rs`.

use super::field;
use crate::store::{
    field::merges,
    note,
    sql::{self, Dialect, col, quote},
};
use nizhal_core::{ColumnDesc, Rule, RuleTable, SqlType, TableDesc};

const DIALECT: Dialect = Dialect::Postgres;

/// The body of a table's capture function.
pub(super) fn function_body(schema: &str, table: &TableDesc, rules: &[Rule]) -> String {
    let synced: Vec<(&str, &RuleTable)> = rules
        .iter()
        .flat_map(|rule| rule.tables.iter().map(|synced| (rule.name, synced)))
        .filter(|(_, synced)| synced.table.name == table.name)
        .collect();
    let all = |write: &dyn Fn(&str, &RuleTable) -> String| -> String {
        synced.iter().map(|(rule, synced)| write(rule, synced)).collect::<Vec<_>>().join("\n    ")
    };
    let lines = |rows: &str| -> String {
        synced.iter().map(|(rule, synced)| note_lines(rule, synced, rows)).collect::<Vec<_>>().join(" union all ")
    };
    let table_rows = format!("{schema}.{}", quote(table.name));
    let remembered = |rows: &str| if merges(table) { field::deletes(schema, table, rows) } else { String::new() };
    format!(
        "returns trigger language plpgsql volatile as $nizhal$
begin
  if tg_op = 'INSERT' then
    perform {schema}._nizhal_note((select string_agg(distinct line, E'\\n') from ({inserted}) l));
  elsif tg_op = 'UPDATE' then
    perform {schema}._nizhal_note((select string_agg(distinct line, E'\\n') from ({old} union all {new}) l));
    {exits}
    {moved}
  elsif tg_op = 'DELETE' then
    perform {schema}._nizhal_note((select string_agg(distinct line, E'\\n') from ({old}) l));
    {deletes}
    {deleted}
  else
    perform {schema}._nizhal_note((select string_agg(distinct line, E'\\n') from ({truncated}) l));
    {truncates}
  end if;
  return null;
end $nizhal$",
        inserted = lines("new_rows"),
        old = lines("old_rows"),
        new = lines("new_rows"),
        truncated = lines(&table_rows),
        exits = all(&|rule, synced| exits(schema, rule, synced)),
        deletes = all(&|rule, synced| deletes(schema, rule, synced, "old_rows")),
        moved = remembered(&format!("old_rows o where {}", no_longer(table))),
        deleted = remembered("old_rows o"),
        truncates = all(&|rule, synced| deletes(schema, rule, synced, &table_rows)),
    )
}

/// The body of a membership table's function: whom a change concerns, before and after.
pub(super) fn membership_body(schema: &str, table: &TableDesc, rules: &[Rule]) -> String {
    let lines = |rows: &str| -> String {
        note::memberships(rules, table)
            .map(|source| note::membership_line(DIALECT, source, table, "r"))
            .map(|line| format!("select {line} as line from {rows} r"))
            .collect::<Vec<_>>()
            .join(" union all ")
    };
    format!(
        "returns trigger language plpgsql volatile as $nizhal$
begin
  if tg_op = 'TRUNCATE' then
    perform {schema}._nizhal_note((select string_agg(distinct line, E'\\n') from ({}) l));
    return null;
  end if;
  if tg_op <> 'DELETE' then
    perform {schema}._nizhal_note((select string_agg(distinct line, E'\\n') from ({}) l));
  end if;
  if tg_op <> 'INSERT' then
    perform {schema}._nizhal_note((select string_agg(distinct line, E'\\n') from ({}) l));
  end if;
  return null;
end $nizhal$",
        lines(&format!("{schema}.{}", quote(table.name))),
        lines("new_rows"),
        lines("old_rows"),
    )
}

fn note_lines(rule: &str, synced: &RuleTable, rows: &str) -> String {
    format!("select {} as line from {rows} r", note::line(DIALECT, rule, synced, "r"))
}

/// Whether no row has the key of `o` any more.
fn no_longer(table: &TableDesc) -> String {
    format!("not exists (select 1 from new_rows n where {})", same_key(table))
}

/// Whether `o` and `n` are one row.
fn same_key(table: &TableDesc) -> String {
    let same = |column: &ColumnDesc| {
        let (old, new) = (col("o", column), col("n", column));
        match column.sql {
            // 1.5 and 1.50 are equal, and two keys on devices.
            SqlType::Numeric => {
                format!("{} = {}", DIALECT.text_of(&old, column.sql), DIALECT.text_of(&new, column.sql))
            }
            _ => format!("{old} = {new}"),
        }
    };
    table.key_columns().map(same).collect::<Vec<_>>().join(" and ")
}

const REPLACE: &str = "on conflict (rule, bucket, tbl, id) do update set client_key = excluded.client_key, \
    kind = excluded.kind, version = excluded.version, at = now()";

/// Rows that showed in a bucket and do not any more.
fn exits(schema: &str, rule: &str, synced: &RuleTable) -> String {
    let table = synced.table;
    let key = table.columns[table.key[0]];
    let moved: Vec<String> = synced
        .scope
        .iter()
        .map(|&at| &table.columns[at])
        .map(|column| format!("{} is distinct from {}", col("o", column), col("n", column)))
        .collect();
    format!(
        "insert into {schema}._nizhal_tombstones (rule, bucket, tbl, id, client_key, kind, version) select {}, {}, {}, {}, {}, case when {n_key} is null or n.deleted_at is not null then 'delete' \
         else 'exit' end, {schema}._nizhal_version() from old_rows o left join new_rows n on {} where {} and ({n_key} is null \
         or not ({}) or {}) and {} is not null {REPLACE};",
        sql::literal(rule),
        DIALECT.bucket_key(synced, "o"),
        sql::literal(table.name),
        DIALECT.key_text(table, "o"),
        DIALECT.client_key(table, "o"),
        same_key(table),
        DIALECT.visible(synced, "o"),
        DIALECT.visible(synced, "n"),
        if moved.is_empty() { "false".to_owned() } else { moved.join(" or ") },
        DIALECT.bucket_key(synced, "o"),
        n_key = col("n", &key),
    )
}

/// Rows that were deleted while they showed in a bucket.
fn deletes(schema: &str, rule: &str, synced: &RuleTable, rows: &str) -> String {
    let table = synced.table;
    format!(
        "insert into {schema}._nizhal_tombstones (rule, bucket, tbl, id, client_key, kind, version) select {}, {}, {}, {}, {}, 'delete', {schema}._nizhal_version() from {rows} r where {} and {} is not null \
         {REPLACE};",
        sql::literal(rule),
        DIALECT.bucket_key(synced, "r"),
        sql::literal(table.name),
        DIALECT.key_text(table, "r"),
        DIALECT.client_key(table, "r"),
        DIALECT.visible(synced, "r"),
        DIALECT.bucket_key(synced, "r"),
    )
}
