//! The trigger of replayed tables on Postgres, which keeps the images of rows and refuses writes past their order.

use super::clock::definer;
use crate::store::{replay::Images, sql::literal};

/// How the names of these functions and triggers begin.
pub(super) const PREFIX: &str = "_nizhal_replay";

/// The partitions `p` of replayed tables, at every depth, that were made or attached since and lack the trigger `t` which refuses that they
/// are emptied: a partition gets those of rows by itself, and not those of statements. As SQL.
macro_rules! unguarded {
    () => {
        " from pg_trigger t join pg_class c on c.oid = t.tgrelid cross join lateral pg_partition_tree(c.oid) r join pg_class p on p.oid = r.relid \
         where c.relkind = 'p' and c.relnamespace = quote_ident(current_schema())::regnamespace and p.oid <> c.oid \
         and t.tgname like '\\_nizhal\\_replay\\_%\\_truncate' \
         and not exists (select 1 from pg_trigger o where o.tgrelid = p.oid and o.tgname = t.tgname)"
    };
}

/// Whether a partition of a replayed table may be emptied.
pub(super) const IS_UNGUARDED: &str = concat!("select exists (select 1", unguarded!(), ")");

/// Has each refuse that; a partition that is another role's stays as it is.
pub(super) const GUARD: &str = concat!(
    "do $nizhal$
declare g record;
begin
  for g in select p.oid::regclass as part, t.tgname as name, t.tgfoid::regproc as called",
    unguarded!(),
    " loop
    begin
      execute format('create trigger %I before truncate on %s for each statement execute function %s()', g.name, g.part, g.called);
      execute format('alter table %s enable always trigger %I', g.part, g.name);
    exception when insufficient_privilege then
      raise warning 'a partition of a replayed table may be emptied: %', g.part;
    end;
  end loop;
end $nizhal$"
);

/// The body of a table's function: for each row, so that it sees what a statement wrote in its order.
///
/// Where a space is set and no place, the engine takes rows back.
pub(super) fn function_body(schema: &str, images: &Images<'_>) -> String {
    let kept = |row: &str, is_present| format!("{};", images.keep(row, is_present, "(select space, place as pos) p"));
    let settled = |row: &str| -> String {
        let spaces = images.spaces_of(row);
        let settle = |space: &String| {
            format!(
                "update _nizhal_spaces s set settled = s.head where s.space = {space} and s.settled < s.head;\n      "
            )
        };
        spaces.iter().map(settle).collect()
    };
    format!(
        "returns trigger language plpgsql volatile {definer} as $nizhal$
declare
  space text := nullif(current_setting('nizhal.space', true), '');
  place text := nullif(current_setting('nizhal.place', true), '');
begin
  if tg_op = 'TRUNCATE' then
    raise exception using message = {refusal};
  end if;
  if space is null then
    if coalesce(current_setting('nizhal.checkpoint', true), '') <> 'on' then
      raise exception using message = {refusal};
    end if;
    if tg_op <> 'INSERT' then
      {settled_old}
    end if;
    if tg_op <> 'DELETE' then
      {settled_new}
    end if;
    return null;
  end if;
  if place is null then return null; end if;
  if tg_op = 'INSERT' then
    {absent}
  else
    {present}
    if tg_op = 'UPDATE' and {other_key} then
      {absent}
    end if;
  end if;
  return null;
end $nizhal$",
        definer = definer(schema),
        refusal = literal(&images.refusal()),
        settled_old = settled("old"),
        settled_new = settled("new"),
        absent = kept("new", false),
        present = kept("old", true),
        other_key = images.other_key("new", "old"),
    )
}
