//! Change capture on SQLite: row triggers that stamp the version, note the buckets and leave tombstones.
//!
//! `_nizhal_control.txn` is the version of our transaction under way. A writer from outside finds it NULL, and each of its
//! rows advances the clock. The stamp is itself an update, which the update trigger passes over ([`own_update`]); it matches no row that
//! has this transaction's version and time already.

use super::{
    drift::Replacing,
    field,
    txn::{DRAWN_SIGN, NOW, SIGN, TIME},
};
use crate::store::{
    field::{META, merges},
    published_columns::published_columns,
    row_size,
    sql::{self, DELETED_AT, Dialect, UPDATED_AT, VERSION, col, quote, rowid},
    write_set,
};
use nizhal_core::{ColumnIndex, Merge, Rule, RuleTable, SqlType, TableDesc};
use std::collections::BTreeSet;

const DIALECT: Dialect = Dialect::Sqlite;

/// The bodies of a table's triggers: what follows `create trigger <name>`.
pub(super) fn triggers(table: &TableDesc, rules: &[Rule]) -> [(&'static str, String); 3] {
    let synced: Vec<(&str, &RuleTable)> = rules
        .iter()
        .flat_map(|rule| rule.tables.iter().map(|synced| (rule.name, synced)))
        .filter(|(_, synced)| synced.table.name == table.name)
        .collect();
    let (on, rowid) = (quote(table.name), rowid(table).unwrap_or_default());
    // A table that merges by column is read back: the row that fired the trigger may not be what stayed.
    let after = if merges(table) {
        After { row: "m", from: format!(" from {on} m"), and: format!(" m.{rowid} = new.{rowid} and") }
    } else {
        After { row: "new", from: String::new(), and: String::new() }
    };
    let is_published = published_columns(table, rules).map(|columns| is_published(&columns));
    let notes = |row: &str, from: &str, is_published: Option<&str>| -> String {
        synced
            .iter()
            .map(|(rule, synced)| noted(&write_set::line(DIALECT, rule, synced, row, is_published), from))
            .collect()
    };
    let notes_before = notes("old", "", None);
    let read = if merges(table) { format!("{} where m.{rowid} = new.{rowid}", after.from) } else { String::new() };
    let large = row_size::sqlite_line(table, &synced, after.row).map(|line| noted(&line, &read)).unwrap_or_default();
    let notes_after = notes(after.row, &read, None) + &large;
    let notes_updated =
        notes("old", "", is_published.as_deref()) + &notes(after.row, &read, is_published.as_deref()) + &large;
    let and_published = is_published.as_ref().map(|is_published| format!(" and {is_published}")).unwrap_or_default();
    let advance = format!("  update _nizhal_control set clock = clock + 1, {DRAWN_SIGN} where txn is null;\n");
    let advance_if_published = match &is_published {
        None => advance.clone(),
        Some(is_published) => {
            format!("  update _nizhal_control set clock = clock + {is_published}, {DRAWN_SIGN} where txn is null;\n")
        }
    };
    let stamp = |and_published: &str| {
        format!(
            "  update {on} set _nizhal_version = {NOW}, updated_at = {TIME} where {rowid} = new.{rowid} \
             and (_nizhal_version is not {NOW} or updated_at is not {TIME}){and_published};\n"
        )
    };
    let exits: String = synced
        .iter()
        .map(|(rule, synced)| {
            let differs = |at: &ColumnIndex| {
                let column = &table.columns[*at];
                format!("{} is not {}", col("old", column), col(after.row, column))
            };
            let changed: Vec<String> = synced.scope.iter().chain(table.key).map(differs).collect();
            let keys: Vec<String> = table.key.iter().map(differs).collect();
            let gone = Gone {
                kind: &format!(
                    "case when {} or {}.deleted_at is not null then 'delete' else 'exit' end",
                    keys.join(" or "),
                    after.row
                ),
                further: &format!(" and (not ({}) or {})", DIALECT.visible(synced, after.row), changed.join(" or ")),
                after: Some(&after),
            };
            tombstone(rule, synced, &gone)
        })
        .collect();
    let deletes: String = synced
        .iter()
        .map(|(rule, synced)| tombstone(rule, synced, &Gone { kind: "'delete'", further: "", after: None }))
        .collect();
    let (inserted, updated, deleted) = if merges(table) {
        (field::inserted(table), field::updated(table, is_published.as_deref()), field::deleted(table))
    } else {
        (stamp(""), stamp(&and_published), String::new())
    };
    // A row that gets its version back is as it was before others ran again.
    let net = if table.merge == Merge::Replay { " and not (select net from _nizhal_replay)" } else { "" };
    [
        ("insert", format!("after insert on {on} begin\n{advance}{inserted}{notes_after}end")),
        (
            "update",
            format!(
                "after update on {on} when not ({}){net} begin\n{advance_if_published}{updated}{notes_updated}{exits}end",
                own_update(table)
            ),
        ),
        ("delete", format!("after delete on {on} begin\n{advance}{notes_before}{deletes}{deleted}end")),
    ]
}

/// Whether an update changed one of these columns, compared byte by byte whatever their collation, or named the version.
fn is_published(columns: &BTreeSet<&str>) -> String {
    let differs = |name: &str| format!("new.{0} is not (old.{0} collate binary)", quote(name));
    let columns: Vec<String> = columns.iter().copied().chain([VERSION]).map(differs).collect();
    format!("({})", columns.join(" or "))
}

/// Whether an update is the engine's, as SQL: anybody may name its columns.
///
/// A stamp changes nothing but the version and the time, to those of now, so that whoever does the same changes no more than it would.
/// The merge of a table that merges by column writes others too: it is known by the sign, and what ends it by the sign before.
fn own_update(table: &TableDesc) -> String {
    let is_merged = merges(table);
    let declared = table.columns.iter().filter(|column| column.generated.is_none()).map(|column| column.name);
    let mut kept: Vec<&str> = declared.filter(|name| *name != UPDATED_AT).collect();
    kept.extend(table.column(DELETED_AT).is_none().then_some(DELETED_AT));
    kept.extend(is_merged.then_some(META));
    let kept: Vec<String> = kept.iter().map(|name| format!("new.{0} is old.{0}", quote(name))).collect();
    let kept = kept.join(" and ");
    if is_merged {
        return format!("new._nizhal_version is {SIGN} or (old._nizhal_version is {SIGN} and {kept})");
    }
    format!(
        "new._nizhal_version is {NOW} and new.updated_at is {TIME} \
         and (old._nizhal_version is not new._nizhal_version or old.updated_at is not new.updated_at) and {kept}"
    )
}

/// The bodies of the triggers that see what another program's `replace` takes away: SQLite fires no delete triggers for those rows
/// unless the connection asked for it (`recursive_triggers`, as ours do). They run before the statement, so a row that is only
/// updated then has a tombstone beside it, which a pull passes over because the row lives.
pub(super) fn replaced(table: &TableDesc, rules: &[Rule], lists: &BTreeSet<Replacing>) -> [(&'static str, String); 2] {
    let (on, rowid) = (quote(table.name), rowid(table).unwrap_or_default());
    let equal = |list: &Replacing| {
        let same = |(name, collation): (&String, &Option<String>)| {
            let collation = collation.as_ref().map(|name| format!(" collate {}", quote(name))).unwrap_or_default();
            format!("o.{0} = new.{0}{collation}", quote(name))
        };
        let same: Vec<String> = list.iter().map(same).collect();
        format!("({})", same.join(" and "))
    };
    let any = format!("({})", lists.iter().map(equal).collect::<Vec<_>>().join(" or "));
    ["insert", "update"].map(|verb| {
        let other = if verb == "update" { format!(" and o.{rowid} <> old.{rowid}") } else { String::new() };
        let from = format!("from {on} o where {any}{other}");
        let mut body = format!(
            "before {verb} on {on} when (select txn from _nizhal_control) is null and exists (select 1 {from}) begin\n\
             \x20 update _nizhal_control set clock = clock + 1;\n"
        );
        let all = rules.iter().flat_map(|rule| rule.tables.iter().map(move |synced| (rule.name, synced)));
        for (rule, synced) in all.filter(|(_, synced)| synced.table.name == table.name) {
            let bucket = DIALECT.bucket_key(synced, "o");
            body.push_str(&format!(
                "  insert into _nizhal_touched (note) select distinct line from (select {} as line {from}) where line is not null \
                 and line not in (select note from _nizhal_touched);\n\
                 \x20 insert into _nizhal_tombstones (rule, bucket, tbl, id, client_key, kind, version) select {}, {bucket}, {}, {}, {}, \
                 'delete', {NOW} {from} and {} and {bucket} is not null on conflict (rule, bucket, tbl, id) do update set \
                 client_key = excluded.client_key, kind = excluded.kind, version = excluded.version, at = excluded.at;\n",
                write_set::line(DIALECT, rule, synced, "o", None),
                sql::literal(rule),
                sql::literal(table.name),
                DIALECT.key_text(table, "o"),
                DIALECT.client_key(table, "o"),
                DIALECT.visible(synced, "o"),
            ));
        }
        body.push_str("end");
        (if verb == "insert" { "replace_insert" } else { "replace_update" }, body)
    })
}

/// The bodies of the triggers that refuse a UUID as a text: it holds 16 bytes, and rows are looked up by those.
pub(super) fn refused_texts(table: &TableDesc, columns: &BTreeSet<&'static str>) -> Vec<(&'static str, String)> {
    let uuids = table.columns.iter().filter(|column| column.sql == SqlType::Uuid && columns.contains(column.name));
    let bodies = uuids.flat_map(|column| {
        let (on, name) = (quote(table.name), quote(column.name));
        let message = sql::literal(&format!(
            "{}.{} holds a UUID as 16 bytes: write unhex(replace('…', '-', ''))",
            table.name, column.name
        ));
        [("uuid_insert", "insert"), ("uuid_update", "update")].map(|(prefix, verb)| {
            (
                prefix,
                format!(
                    "before {verb} on {on} when typeof(new.{name}) = 'text' begin select raise(abort, {message}); end"
                ),
            )
        })
    });
    bodies.collect()
}

/// The bodies of the triggers that refuse a row without a key: SQLite lets a key be NULL where the table does not forbid it, and
/// no device could tell such a row from another. They run after the write, when a row's number is known.
pub(super) fn refused_nulls(table: &TableDesc) -> [(&'static str, String); 2] {
    let is_null: Vec<String> = table.key_columns().map(|key| format!("new.{} is null", quote(key.name))).collect();
    let names: Vec<&str> = table.key_columns().map(|key| key.name).collect();
    let message =
        sql::literal(&format!("a row of {} has no key: NOT NULL constraint failed: {}", table.name, names.join(", ")));
    [("key_insert", "insert"), ("key_update", "update")].map(|(prefix, verb)| {
        let (on, when) = (quote(table.name), is_null.join(" or "));
        (prefix, format!("after {verb} on {on} when {when} begin select raise(abort, {message}); end"))
    })
}

/// Where the row after a write is found.
struct After {
    row: &'static str,
    /// ` from …`, when it must be read.
    from: String,
    /// What finds it there, before further conditions.
    and: String,
}

/// The bodies of a membership table's triggers: whom a change concerns, before and after.
pub(super) fn membership_triggers(table: &TableDesc, rules: &[Rule]) -> [(&'static str, String); 3] {
    let notes = |row: &str| -> String {
        write_set::memberships(rules, table)
            .map(|source| noted(&write_set::membership_line(DIALECT, source, table, row), ""))
            .collect()
    };
    let on = quote(table.name);
    [
        ("member_insert", format!("after insert on {on} begin\n{}end", notes("new"))),
        ("member_update", format!("after update on {on} begin\n{}{}end", notes("old"), notes("new"))),
        ("member_delete", format!("after delete on {on} begin\n{}end", notes("old"))),
    ]
}

/// Notes a line once. Not `insert or ignore`: the conflict policy of the statement that fires a trigger overrides the trigger's own.
fn noted(line: &str, from: &str) -> String {
    format!(
        "  insert into _nizhal_touched (note) select line from (select {line} as line{from}) \
         where line is not null and line not in (select note from _nizhal_touched);\n"
    )
}

/// What makes a tombstone of the row before.
struct Gone<'a> {
    kind: &'a str,
    further: &'a str,
    after: Option<&'a After>,
}

fn tombstone(rule: &str, synced: &RuleTable, gone: &Gone<'_>) -> String {
    let table = synced.table;
    let (from, and) = gone.after.map_or(("", ""), |after| (after.from.as_str(), after.and.as_str()));
    format!(
        "  insert into _nizhal_tombstones (rule, bucket, tbl, id, client_key, kind, version) select {}, {bucket}, {}, {}, {}, \
         {}, {NOW}{from} where{and} {} and {bucket} is not null{} on conflict (rule, bucket, tbl, id) do update set \
         client_key = excluded.client_key, kind = excluded.kind, version = excluded.version, at = excluded.at;\n",
        sql::literal(rule),
        sql::literal(table.name),
        DIALECT.key_text(table, "old"),
        DIALECT.client_key(table, "old"),
        gone.kind,
        DIALECT.visible(synced, "old"),
        gone.further,
        bucket = DIALECT.bucket_key(synced, "old"),
    )
}
