//! The statements that merge column by column on SQLite; what they promise is told in `store/field.rs`.
//!
//! SQLite's triggers cannot change the row that fires them, so the merge is an update of its own, after the user's. It takes the
//! version through the transaction's sign: that is how the update trigger knows its own work.

use super::txn::{NOW, SIGN as OWN, TIME};
use crate::store::{
    field::{self, BASE, MAX_AHEAD_S, META, NOBODY, SIGN},
    sql::{DELETED_AT, Dialect, UPDATED_AT, VERSION, literal, quote, rowid},
};
use nizhal_core::TableDesc;

const DIALECT: Dialect = Dialect::Sqlite;
/// The stamp of the mutation under way; NULL when it brought none.
const MINE: &str = "(select hlc from _nizhal_control)";

/// The time as a stamp begins with it, so many seconds from now.
fn time(seconds: i64) -> String {
    format!("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '{seconds} seconds')")
}

/// The stamp of a writer that has none.
fn nobody() -> String {
    format!("{} || '{NOBODY}'", time(0))
}

/// A stored stamp as it counts.
fn capped(stored: &str) -> String {
    format!("case when {stored} > {} then {} || '{NOBODY}' else {stored} end", time(MAX_AHEAD_S), time(-MAX_AHEAD_S))
}

/// A column's stamp before the write; empty when no device has stamped it yet. (Databases of before have a stamp of nobody's there.)
fn stamp(column: &str) -> String {
    format!("({})", capped(&stored_stamp(column)))
}

/// The same as it is stored.
fn stored_stamp(column: &str) -> String {
    let own = format!("$.\"{}\"", column.replace('"', "\"\""));
    let base = format!("old.{META} ->> '$.\"{BASE}\"'");
    format!("coalesce(old.{META} ->> {}, case when {base} not like '%{NOBODY}' then {base} end, '')", literal(&own))
}

fn changed(column: &str) -> String {
    format!("new.{0} is not old.{0}", quote(column))
}

/// Never NULL: who has no stamp does not lose.
fn loses(column: &str) -> String {
    format!("({} and coalesce({MINE} < {}, false))", changed(column), stamp(column))
}

/// Writes these columns into the row that fired the trigger, and its version; the row keeps the one that it has, where devices are not told
/// of the write.
fn write(table: &TableDesc, sets: &str, is_published: Option<&str>) -> String {
    let (on, version, rowid) = (quote(table.name), quote(VERSION), rowid(table).unwrap_or_default());
    let if_published = |value: &str, kept: &str| match is_published {
        Some(is_published) => format!("case when {is_published} then {value} else {kept} end"),
        None => value.to_owned(),
    };
    format!(
        "  update {on} set {sets}, {version} = {OWN}, updated_at = {} where {rowid} = new.{rowid};\n\
         \x20 update {on} set {version} = {} where {rowid} = new.{rowid};\n",
        if_published(TIME, &quote(UPDATED_AT)),
        if_published(NOW, &format!("old.{version}")),
    )
}

/// After an insert: the row's stamp; and its deletion, when it was deleted after it was made.
pub(super) fn inserted(table: &TableDesc) -> String {
    let key = DIALECT.key_text(table, "new");
    let of_key = format!("from _nizhal_deletes d where d.tbl = {} and d.id = {key}", literal(table.name));
    let counts = capped("d.stamp");
    let late = format!("(select {counts} {of_key} and {counts} > {MINE})");
    let ahead = passed(table, "new", DELETED_AT, &format!("(select d.stamp {of_key})"), &format!("{MINE} is not null"));
    let conflict = noted(table, "new", DELETED_AT, &late, &format!("{late} is not null"));
    let sets = format!(
        "{meta} = json_patch('{{}}', json_object('{BASE}', {MINE}, '{DELETED_AT}', {late})), \
         {deleted} = coalesce(substr({late}, 1, 23) || '+00:00', new.{deleted})",
        meta = quote(META),
        deleted = quote(DELETED_AT),
    );
    ahead + &conflict + &write(table, &sets, None)
}

/// After an update: what was late goes back to what it was, and what was not is stamped. `is_published`: whether the update is
/// published to devices, where not all are.
pub(super) fn updated(table: &TableDesc, is_published: Option<&str>) -> String {
    let columns = field::columns(table);
    let conflicts: String =
        columns.iter().map(|column| noted(table, "old", column, &stamp(column), &loses(column))).collect();
    let ahead: String =
        columns.iter().map(|column| passed(table, "old", column, &stored_stamp(column), &changed(column))).collect();
    let stamps: Vec<String> = columns
        .iter()
        .map(|column| {
            let was = stamp(column);
            format!(
                "{}, case when {} and not {} then coalesce({MINE}, case when {was} <> '' then max({was}, {}) end) \
                 else old.{META} ->> {} end",
                literal(column),
                changed(column),
                loses(column),
                nobody(),
                literal(&format!("$.\"{}\"", column.replace('"', "\"\""))),
            )
        })
        .collect();
    let kept: String = columns
        .iter()
        .map(|column| format!("{0} = case when {1} then old.{0} else new.{0} end, ", quote(column), loses(column)))
        .collect();
    let sets = format!("{kept}{} = json_patch(old.{META}, json_object({}))", quote(META), stamps.join(", "));
    ahead + &conflicts + &write(table, &sets, is_published) + &moved(table)
}

/// After a delete: its stamp.
pub(super) fn deleted(table: &TableDesc) -> String {
    remember(table, "true")
}

/// A row whose key changed was deleted where it was.
fn moved(table: &TableDesc) -> String {
    let keys: Vec<String> = table.key_columns().map(|column| changed(column.name)).collect();
    remember(table, &keys.join(" or "))
}

fn remember(table: &TableDesc, when: &str) -> String {
    format!(
        "  insert into _nizhal_deletes (tbl, id, stamp) select {}, {}, coalesce({MINE}, {}) where {when} \
         on conflict (tbl, id) do update set stamp = max(case when stamp <= {} then stamp else '' end, excluded.stamp), \
         at = excluded.at;\n",
        literal(table.name),
        DIALECT.key_text(table, "old"),
        nobody(),
        time(MAX_AHEAD_S),
    )
}

/// Notes a stamp that is passed over.
fn passed(table: &TableDesc, row: &str, column: &str, stored: &str, when: &str) -> String {
    format!(
        "  insert into _nizhal_touched (note) select line from (select '{SIGN}' || json_array({}, {}, {}, {stored}) as line \
         where {when} and {stored} > {}) where line not in (select note from _nizhal_touched);\n",
        literal(table.name),
        DIALECT.key_text(table, row),
        literal(column),
        time(MAX_AHEAD_S),
    )
}

/// Notes a conflict, when there is one.
fn noted(table: &TableDesc, row: &str, column: &str, kept: &str, when: &str) -> String {
    format!(
        "  insert into _nizhal_touched (note) select line from (select '{SIGN}' || json_array({}, {}, {}, {kept}, {MINE}) as line \
         where {when}) where line not in (select note from _nizhal_touched);\n",
        literal(table.name),
        DIALECT.key_text(table, row),
        literal(column),
    )
}
