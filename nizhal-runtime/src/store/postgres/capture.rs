//! Change capture on Postgres: statement-level triggers that see every write, whoever makes it.
//!
//! What a line of the note says is told in `store/write_set.rs`.

use super::{clock::definer, field};
use crate::store::{
    field::merges,
    published_columns::published_columns,
    row_size,
    sql::{self, Dialect, VERSION, col, quote},
    write_set::{self, DRAWN},
};
use nizhal_core::{ColumnDesc, Rule, RuleTable, SqlType, TableDesc};

const DIALECT: Dialect = Dialect::Postgres;

/// How the triggers of a table see its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Once a statement, from its transition tables.
    Statement,
    /// Once a row: what a partitioned table hands down to each of its partitions, also to those that are made or attached later,
    /// so that a write straight into one is seen.
    Row,
    /// Once a row that a worker of logical replication applies, which fires no triggers of statements.
    Applied,
}

impl Level {
    fn old_rows(self) -> &'static str {
        if self == Self::Statement { "old_rows" } else { "(select old.*)" }
    }

    fn new_rows(self) -> &'static str {
        if self == Self::Statement { "new_rows" } else { "(select new.*)" }
    }

    /// What the function says of itself. The plan of a join over transition tables is kept from the session's first statement; were
    /// that a small one, a nested loop would be kept for an update of any size.
    fn attributes(self, schema: &str) -> String {
        format!("returns trigger language plpgsql volatile {} set enable_nestloop = off", definer(schema))
    }
}

/// The body of a table's capture function.
///
/// `relation` is the table or the partition of it that a truncate empties.
pub(super) fn function_body(schema: &str, table: &TableDesc, rules: &[Rule], level: Level, relation: &str) -> String {
    let (old_rows, new_rows) = (level.old_rows(), level.new_rows());
    let synced: Vec<(&str, &RuleTable)> = rules
        .iter()
        .flat_map(|rule| rule.tables.iter().map(|synced| (rule.name, synced)))
        .filter(|(_, synced)| synced.table.name == table.name)
        .collect();
    let all = |write: &dyn Fn(&str, &RuleTable) -> String| -> String {
        synced.iter().map(|(rule, synced)| write(rule, synced)).collect::<Vec<_>>().join("\n    ")
    };
    let lines_published = |rows: &str, is_published: Option<&str>| -> String {
        let line = |(rule, synced): &(&str, &RuleTable)| {
            format!("select {} as line from {rows}", write_set::line(DIALECT, rule, synced, "r", is_published))
        };
        synced.iter().map(line).collect::<Vec<_>>().join(" union all ")
    };
    let lines = |rows: &str| lines_published(&format!("{rows} r"), None);
    let (old, new) = match published_columns(table, rules) {
        None => (lines(old_rows), lines(new_rows)),
        Some(_) => {
            let joined = format!("{old_rows} r left join {new_rows} n on {}", same_key(table, "r"));
            let stays = format!("n.{} is null", quote(table.columns[table.key[0]].name));
            (
                lines_published(&joined, Some(&format!("({stays} or {})", is_stamped("n")))),
                lines_published(&format!("{new_rows} r"), Some(&is_stamped("r"))),
            )
        }
    };
    let with_size = |lines: String| match row_size::postgres_line(table, &synced, new_rows) {
        Some(large) => format!("{lines} union all {large}"),
        None => lines,
    };
    let table_rows = format!("{schema}.{}", quote(relation));
    let remembered = |rows: &str| if merges(table) { field::deletes(schema, table, rows) } else { String::new() };
    format!(
        "{attributes} as $nizhal$
begin
  {remember}if tg_op = 'INSERT' then
    perform {schema}._nizhal_note((select string_agg(distinct line, E'\\n') from ({inserted}) l));
  elsif tg_op = 'UPDATE' then
    perform {schema}._nizhal_note((select string_agg(distinct line, E'\\n') from ({old} union all {new}) l));
    {exits}
    {moved}
  elsif tg_op = 'DELETE' then
    perform {schema}._nizhal_note((select string_agg(distinct line, E'\\n') from ({gone}) l));
    {deletes}
    {deleted}
  else
    perform {schema}._nizhal_note((select string_agg(distinct line, E'\\n') from ({truncated}) l));
    {truncates}
  end if;
  return null;
end $nizhal$",
        attributes = level.attributes(schema),
        remember = remember(schema, table, level),
        inserted = with_size(lines(new_rows)),
        new = with_size(new),
        gone = lines(old_rows),
        truncated = lines(&table_rows),
        exits = all(&|rule, synced| exits(schema, rule, synced, level)),
        deletes = all(&|rule, synced| deletes(schema, rule, synced, old_rows)),
        moved = remembered(&format!("{old_rows} o where {}", no_longer(table, level))),
        deleted = remembered(&format!("{old_rows} o")),
        truncates = all(&|rule, synced| deletes(schema, rule, synced, &table_rows)),
    )
}

/// What remembers the partition that a row is written in: one that is newer than the last look may be gone or emptied before the
/// next, and then only this tells that it had rows.
fn remember(schema: &str, table: &TableDesc, level: Level) -> String {
    if level != Level::Row {
        return String::new();
    }
    let (partitions, name) = (format!("{schema}._nizhal_partitions"), sql::literal(table.name));
    format!(
        "if tg_level = 'ROW' and not exists (select 1 from {partitions} p where p.tbl = {name} and p.part = tg_relid::int8) then
    insert into {partitions} (tbl, part, file) values ({name}, tg_relid::int8, pg_relation_filenode(tg_relid)) on conflict do nothing;
  end if;
  "
    )
}

/// The body of a membership table's function: whom a change concerns, before and after.
pub(super) fn membership_body(schema: &str, table: &TableDesc, rules: &[Rule], level: Level) -> String {
    let lines = |rows: &str| -> String {
        write_set::memberships(rules, table)
            .map(|source| write_set::membership_line(DIALECT, source, table, "r"))
            .map(|line| format!("select {line} as line from {rows} r"))
            .collect::<Vec<_>>()
            .join(" union all ")
    };
    format!(
        "{} as $nizhal$
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
        level.attributes(schema),
        lines(&format!("{schema}.{}", quote(table.name))),
        lines(level.new_rows()),
        lines(level.old_rows()),
    )
}

/// Whether this row of after has the transaction's version, which it has not where no column was changed that devices are told of.
fn is_stamped(row: &str) -> String {
    format!("{row}.{} = {DRAWN}", quote(VERSION))
}

/// Whether no row has the key of `o` any more.
fn no_longer(table: &TableDesc, level: Level) -> String {
    format!("not exists (select 1 from {} n where {})", level.new_rows(), same_key(table, "o"))
}

/// Whether this row of before and `n` are one row.
fn same_key(table: &TableDesc, row: &str) -> String {
    let same = |column: &ColumnDesc| {
        let (old, new) = (col(row, column), col("n", column));
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
fn exits(schema: &str, rule: &str, synced: &RuleTable, level: Level) -> String {
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
         else 'exit' end, {schema}._nizhal_version() from {} o left join {} n on {} where {} and ({n_key} is null \
         or not ({}) or {}) and {} is not null {REPLACE};",
        sql::literal(rule),
        DIALECT.bucket_key(synced, "o"),
        sql::literal(table.name),
        DIALECT.key_text(table, "o"),
        DIALECT.client_key(table, "o"),
        level.old_rows(),
        level.new_rows(),
        same_key(table, "o"),
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
