//! The statements of a page of rows: for each table its rows, and where a page ends among several tables.

use crate::store::{
    postgres::statement::{KEY_PARTS, due, in_bucket, sort_keys},
    read::LAST,
    sql::{self, VERSION, col, quote},
};
use nizhal_core::{Rule, RuleTable, TableDesc};

/// The parameters of a table's statement before those of the buckets: to, version and key to read after, limit.
const TABLE_PARAMS: usize = 3 + KEY_PARTS;
/// The parameters before those of the buckets where a page's end is looked for: to, version to read after, limit.
const END_PARAMS: usize = 3;

/// The columns of a device, then the version and the key's parts as text.
fn selected(table: &TableDesc) -> (String, String) {
    let columns = sql::wire_columns(table).into_iter().map(|(name, _)| format!("c.{}", quote(name)));
    let keys = sort_keys(table).into_iter().enumerate().map(|(part, key)| format!("{key} as _nizhal_k{part}"));
    let version = format!("c.{} as _nizhal_v", quote(VERSION));
    let selected: Vec<String> = columns.chain([version]).chain(keys).collect();
    let order: Vec<String> = std::iter::once(format!("c.{}", quote(VERSION))).chain(sort_keys(table)).collect();
    (selected.join(", "), order.join(", "))
}

/// The rows of a table that are to be read, by its index `(scope, version, key)`.
fn scan(synced: &RuleTable, mut conditions: Vec<String>) -> String {
    let after: Vec<String> = (0..synced.table.key.len()).map(|part| hidden(3 + part, "text")).collect();
    conditions.extend(due(synced, &hidden(2, "int8"), &after, &hidden(1, "int8")));
    let (selected, order) = selected(synced.table);
    let name = quote(synced.table.name);
    format!(
        "select {selected} from {name} c where {} order by {order} limit {}",
        conditions.join(" and "),
        hidden(TABLE_PARAMS, "int8"),
    )
}

/// The rows of a table in one bucket, which the index has in order.
pub(super) fn one(synced: &RuleTable) -> String {
    let held = synced.scope.iter().map(|&column| &synced.table.columns[column]).enumerate().map(|(param, column)| {
        format!("{} = ({})[1]::{}", col("c", column), hidden(TABLE_PARAMS + 1 + param, "text[]"), column.sql.postgres())
    });
    scan(synced, held.collect())
}

/// The rows of a table in several buckets.
pub(super) fn many(rule: &Rule, synced: &RuleTable) -> String {
    let keys = (0..synced.table.key.len()).map(|part| format!(", x._nizhal_k{part} collate \"C\""));
    format!(
        "select x.* from {} cross join lateral ({}) x order by x._nizhal_v{} limit {}",
        buckets(rule.params.len(), TABLE_PARAMS),
        scan(synced, in_bucket(synced)),
        keys.collect::<String>(),
        hidden(TABLE_PARAMS, "int8"),
    )
}

/// A parameter whose value the planner cannot see: it might take a bucket for a small one, and read it to its end to sort it.
fn hidden(param: usize, sql: &str) -> String {
    format!("(select ${param}::{sql})")
}

/// The buckets, each a row of parameters, whose arrays come behind the parameters before them.
fn buckets(params: usize, before: usize) -> String {
    if params == 0 {
        // A public rule's one bucket.
        return "(select) p".to_owned();
    }
    let (arrays, names): (Vec<_>, Vec<_>) =
        (0..params).map(|param| (hidden(before + 1 + param, "text[]"), format!("p{param}"))).unzip();
    format!("unnest({}) as p({})", arrays.join(", "), names.join(", "))
}

/// Looks for the end of a page among several tables, of which versions alone are read.
pub(super) fn end(rules: &[Rule]) -> String {
    let (mut parts, mut before) = (Vec::new(), END_PARAMS);
    for rule in rules {
        for synced in &rule.tables {
            let mut conditions = in_bucket(synced);
            // After all of the version.
            let after = vec![sql::literal(LAST); synced.table.key.len()];
            conditions.extend(due(synced, &hidden(2, "int8"), &after, &hidden(1, "int8")));
            let (_, order) = selected(synced.table);
            parts.push(format!(
                "select x.v from {} cross join lateral (select c.{} as v from {} c where {} order by {order} limit {}) x",
                buckets(rule.params.len(), before),
                quote(VERSION),
                quote(synced.table.name),
                conditions.join(" and "),
                hidden(END_PARAMS, "int8"),
            ));
        }
        before += rule.params.len();
    }
    let parts = parts.join(" union all ");
    format!(
        "select min(v), max(v), count(*) from (select u.v from ({parts}) u order by u.v limit {}) u",
        hidden(END_PARAMS, "int8")
    )
}
