//! The row trigger of tables that merge column by column; what it promises is told in `store/field.rs`.

use super::clock::{definer, unless_published};
use crate::store::{
    field::{self, BASE, MAX_AHEAD_S, META, NOBODY, SIGN},
    sql::{DELETED_AT, Dialect, VERSION, literal, quote},
};
use nizhal_core::TableDesc;
use std::collections::BTreeSet;

const DIALECT: Dialect = Dialect::Postgres;

/// The time as a stamp begins with it, so many seconds from now.
fn time(seconds: i64) -> String {
    format!(
        "to_char((clock_timestamp() + interval '{seconds} s') at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
    )
}

/// The body of the function that runs before each row is written. A note that spilled takes no more conflicts: they are for people
/// to read. `published`: the columns whose change is published to devices, where that is not any.
pub(super) fn function_body(schema: &str, table: &TableDesc, published: Option<&BTreeSet<&str>>) -> String {
    let name = literal(table.name);
    // As it was sent: where another column lost against a later write, its device gets the row again.
    let (declared, check, end) = match published {
        None => (String::new(), String::new(), String::new()),
        Some(published) => (
            "\n  is_told boolean := true;".to_owned(),
            format!("{} is_told := false; end if;\n  ", unless_published(published)),
            "\n  if not is_told then return new; end if;".to_owned(),
        ),
    };
    let key = |row: &str| DIALECT.key_text(table, row);
    let conflict = |row: &str, column: &str| {
        format!(
            "if coalesce(current_setting('nizhal.spilled', true), '') = '' then
          perform {schema}._nizhal_note('{SIGN}' || jsonb_build_array({name}, {}, {}, late, mine)::text);
        end if;",
            key(row),
            literal(column),
        )
    };
    let capped = |row: &str, column: &str| {
        format!(
            "if late > far then
          if coalesce(current_setting('nizhal.spilled', true), '') = '' then
            perform {schema}._nizhal_note('{SIGN}' || jsonb_build_array({name}, {}, {}, late)::text);
          end if;
          late := recent;
        end if;",
            key(row),
            literal(column),
        )
    };
    let columns: String = field::columns(table)
        .into_iter()
        .map(|column| {
            let (text, quoted) = (literal(column), quote(column));
            format!(
                "    if new.{quoted} is distinct from old.{quoted} then
      late := coalesce(stamps ->> {text}, base, '') collate \"C\";
      {}
      if mine < late then
        new.{quoted} := old.{quoted};
        {}
      elsif mine is not null or late <> '' then
        stamps := stamps || jsonb_build_object({text}, coalesce(mine, greatest(late, nobody)));
      end if;
    end if;
",
                capped("old", column),
                conflict("old", column)
            )
        })
        .collect();
    format!(
        "returns trigger language plpgsql volatile {definer} as $nizhal$
declare
  mine text collate \"C\" := nullif(current_setting('nizhal.hlc', true), '');
  nobody text collate \"C\" := {now} || '{NOBODY}';
  far text collate \"C\" := {far};
  recent text collate \"C\" := {recent} || '{NOBODY}';
  late text collate \"C\";
  base text;
  stamps jsonb;{declared}
begin
  {check}if tg_op = 'INSERT' then
    stamps := case when mine is null then '{{}}' else jsonb_build_object('{BASE}', mine) end;
    if mine is not null then
      select d.stamp into late from {schema}._nizhal_deletes d where d.tbl = {name} and d.id = {new_key};
      {capped}
      if late > mine then
        new.{deleted_at} := substr(late, 1, 24)::timestamptz;
        stamps := stamps || jsonb_build_object('{DELETED_AT}', late);
        {dead}
      end if;
    end if;
  else
    stamps := old.{meta};
    base := stamps ->> '{BASE}';
    -- As databases of before have it: no device's.
    if base like '%{NOBODY}' then
      base := null;
    end if;
{columns}  end if;
  new.{meta} := stamps;{end}
  new.{version} := {schema}._nizhal_version();
  new.updated_at := now();
  return new;
end $nizhal$",
        definer = definer(schema),
        now = time(0),
        far = time(MAX_AHEAD_S),
        recent = time(-MAX_AHEAD_S),
        capped = capped("new", DELETED_AT),
        new_key = key("new"),
        deleted_at = quote(DELETED_AT),
        dead = conflict("new", DELETED_AT),
        meta = quote(META),
        version = quote(VERSION),
    )
}

/// Remembers when the rows of `rows`, which `o` names, were deleted.
pub(super) fn deletes(schema: &str, table: &TableDesc, rows: &str) -> String {
    format!(
        "insert into {schema}._nizhal_deletes (tbl, id, stamp) select {}, {}, coalesce(nullif(current_setting('nizhal.hlc', true), ''), \
         {} || '{NOBODY}') from {rows} \
         on conflict (tbl, id) do update set stamp = greatest(case when _nizhal_deletes.stamp <= {} then _nizhal_deletes.stamp end, \
         excluded.stamp), at = now();",
        literal(table.name),
        DIALECT.key_text(table, "o"),
        time(0),
        time(MAX_AHEAD_S),
    )
}
