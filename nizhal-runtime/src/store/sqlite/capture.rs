//! Change capture on SQLite: row triggers that stamp the version, note the buckets and leave tombstones.
//!
//! `_nizhal_control.txn` is the version of our transaction under way. A writer from outside finds it NULL, and each of its
//! rows advances the clock. The stamp is itself an update; it ends the recursion by changing the version, or by matching
//! no row when the row has this transaction's version already.

use crate::store::{
    note,
    sql::{self, Dialect, col, quote},
};
use nizhal_core::{Rule, RuleTable, TableDesc};

const DIALECT: Dialect = Dialect::Sqlite;
const NOW: &str = "coalesce((select txn from _nizhal_control), (select clock from _nizhal_control))";
const TIME: &str = "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '+00:00'";

/// The bodies of a table's triggers: what follows `create trigger <name>`.
pub(super) fn triggers(table: &TableDesc, rules: &[Rule]) -> [(&'static str, String); 3] {
    let synced: Vec<(&str, &RuleTable)> = rules
        .iter()
        .flat_map(|rule| rule.tables.iter().map(|synced| (rule.name, synced)))
        .filter(|(_, synced)| synced.table.name == table.name)
        .collect();
    // Not `insert or ignore`: the conflict policy of the statement that fires a trigger overrides the trigger's own.
    let notes = |row: &str| -> String {
        synced.iter().map(|(rule, synced)| noted(&note::line(DIALECT, rule, synced, row))).collect()
    };
    let tombstones = |gone: &dyn Fn(&RuleTable) -> (String, String)| -> String {
        synced.iter().map(|(rule, synced)| tombstone(rule, synced, gone(synced))).collect()
    };
    let on = quote(table.name);
    let advance = "  update _nizhal_control set clock = clock + 1 where txn is null;\n";
    let stamp = format!(
        "  update {on} set _nizhal_version = {NOW}, updated_at = {TIME} where rowid = new.rowid and _nizhal_version is not {NOW};\n"
    );
    let exits = tombstones(&|synced| {
        let changed: Vec<String> = synced
            .scope
            .iter()
            .chain(table.key)
            .map(|&at| &table.columns[at])
            .map(|column| format!("{} is not {}", col("old", column), col("new", column)))
            .collect();
        let keys: Vec<String> =
            table.key_columns().map(|column| format!("{} is not {}", col("old", column), col("new", column))).collect();
        let kind =
            format!("case when {} or new.deleted_at is not null then 'delete' else 'exit' end", keys.join(" or "));
        (kind, format!(" and (not ({}) or {})", DIALECT.visible(synced, "new"), changed.join(" or ")))
    });
    let deletes = tombstones(&|_| ("'delete'".to_owned(), String::new()));
    [
        ("insert", format!("after insert on {on} begin\n{advance}{stamp}{}end", notes("new"))),
        (
            "update",
            format!(
                "after update on {on} when new._nizhal_version is old._nizhal_version begin\n{advance}{stamp}{}{}{exits}end",
                notes("old"),
                notes("new"),
            ),
        ),
        ("delete", format!("after delete on {on} begin\n{advance}{}{deletes}end", notes("old"))),
    ]
}

/// The bodies of a membership table's triggers: whom a change concerns, before and after.
pub(super) fn membership_triggers(table: &TableDesc, rules: &[Rule]) -> [(&'static str, String); 3] {
    let notes = |row: &str| -> String {
        note::memberships(rules, table)
            .map(|source| noted(&note::membership_line(DIALECT, source, table, row)))
            .collect()
    };
    let on = quote(table.name);
    [
        ("member_insert", format!("after insert on {on} begin\n{}end", notes("new"))),
        ("member_update", format!("after update on {on} begin\n{}{}end", notes("old"), notes("new"))),
        ("member_delete", format!("after delete on {on} begin\n{}end", notes("old"))),
    ]
}

/// Notes a line once.
fn noted(line: &str) -> String {
    format!(
        "  insert into _nizhal_touched (note) select line from (select {line} as line) \
         where line is not null and line not in (select note from _nizhal_touched);\n"
    )
}

fn tombstone(rule: &str, synced: &RuleTable, (kind, further): (String, String)) -> String {
    let table = synced.table;
    format!(
        "  insert into _nizhal_tombstones (rule, bucket, tbl, id, client_key, kind, version) select {}, {bucket}, {}, {}, {}, \
         {kind}, {NOW} where {} and {bucket} is not null{further} on conflict (rule, bucket, tbl, id) do update set \
         client_key = excluded.client_key, kind = excluded.kind, version = excluded.version, at = excluded.at;\n",
        sql::literal(rule),
        sql::literal(table.name),
        DIALECT.key_text(table, "old"),
        DIALECT.client_key(table, "old"),
        DIALECT.visible(synced, "old"),
        bucket = DIALECT.bucket_key(synced, "old"),
    )
}
