//! The statements of a pull on SQLite: one for each table of each rule, however many buckets it is read in.
//!
//! SQLite has no lateral joins. But where the inner loop of a join goes by an index in the order of an `order by … limit`, SQLite
//! leaves it at the first row that is past the limit. So a join of the buckets with their rows reads of each bucket only what the
//! page takes of it, and one row more. Keys alone are put in order; the rows are looked up behind the limit.
//!
//! Decision: book/src/decisions/pulling.md#a-pull-on-sqlite-reads-all-buckets-by-one-statement-a-table

use super::encode;
use crate::schema::Schema;
use crate::store::{
    StoreError,
    read::{Change, Image, LAST, LaneRead, RowState},
    scope::ScopeSql,
    sql::{self, DELETED_AT, Dialect, VERSION, col, quote},
    text,
};
use futures_util::TryStreamExt;
use nizhal_core::{Bucket, ColumnDesc, RuleTable, SqlType, TableDesc};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row, Sqlite, SqliteConnection, ValueRef, query::Query, sqlite::SqliteArguments};
use std::sync::Arc;

const DIALECT: Dialect = Dialect::Sqlite;

/// The statements of a pull, written once from the rule set.
#[derive(Debug)]
pub(super) struct PullSql {
    pub(super) scope: ScopeSql,
    pub(super) schema: Arc<Schema>,
    pub(super) scans: Vec<Scan>,
    pub(super) tables: Vec<&'static TableDesc>,
    tombstones: String,
}

/// One table of one rule.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) rule: String,
    pub(super) slot: usize,
    /// For one bucket, whose rows the index has in order.
    one: String,
    /// For several.
    many: String,
    image: String,
    columns: Vec<(&'static str, SqlType)>,
    scope: Vec<SqlType>,
    keys: Vec<SqlType>,
}

impl PullSql {
    pub(super) fn new(schema: &Arc<Schema>) -> Self {
        let tables = schema.synced();
        let scans = schema
            .rules()
            .iter()
            .flat_map(|rule| rule.tables.iter().map(|synced| (rule.name, synced)))
            .map(|(rule, synced)| scan(rule, synced, &tables))
            .collect();
        let tombstones = tombstones_sql(&tables);
        Self { scope: ScopeSql::new(DIALECT, schema.rules()), schema: schema.clone(), scans, tables, tombstones }
    }
}

/// The parameters are: `$1` a JSON array of `[rule, bucket]`, `$2` version, table and id to read after, `$5` to, `$6` limit. By
/// `_nizhal_tombstones (rule, bucket, version, tbl, id)`.
fn tombstones_sql(tables: &[&'static TableDesc]) -> String {
    let names: Vec<String> = tables.iter().map(|table| sql::literal(table.name)).collect();
    format!(
        "select t.version, t.tbl, t.id, t.kind = 'delete', t.client_key from json_each($1) p cross join _nizhal_tombstones t \
         where t.rule = json_extract(p.value, '$[0]') and t.bucket = json_extract(p.value, '$[1]') \
         and (t.version, t.tbl, t.id) > ($2, $3, $4) and t.version <= $5 and +t.tbl in ({}) \
         order by t.version, t.tbl, t.id limit $6",
        names.join(", "),
    )
}

/// The parameters are: `$1` to, `$2` limit, `$3` a JSON array of the buckets' parameters, `$4` version and then key parts to read
/// after. Relies on the `(scope, version, key)` index.
fn scan(rule: &str, synced: &RuleTable, tables: &[&'static TableDesc]) -> Scan {
    let table = synced.table;
    let name = quote(table.name);
    let keys: Vec<String> =
        table.key_columns().map(|column| DIALECT.sort_text(&col("c", column), column.sql)).collect();
    let version = format!("c.{}", quote(VERSION));
    let columns = sql::wire_columns(table);
    let scope: Vec<SqlType> = synced.scope.iter().map(|&index| table.columns[index].sql).collect();
    let after: Vec<String> = (0..=keys.len()).map(|index| format!("${}", 4 + index)).collect();
    let order = format!("{version}, {}", keys.join(", "));
    let conditions = |json: &str, path: &str| {
        let columns = synced.scope.iter().map(|&column| &table.columns[column]).enumerate();
        let mut conditions: Vec<String> = columns
            .map(|(index, column)| {
                format!("{} = {}", col("c", column), value_of(json, &format!("{path}[{index}]"), column.sql))
            })
            .collect();
        conditions.push(format!("({order}) > ({})", after.join(", ")));
        conditions.push(format!("{version} <= $1"));
        conditions.push(format!("c.{} is null", quote(DELETED_AT)));
        conditions.extend(synced.filters.iter().map(|filter| DIALECT.filter(table, filter, "c")));
        conditions.join(" and ")
    };
    // A key that has other spellings comes as the text that its tombstone has.
    let spelled = |name: &str| {
        let key = table.key_columns().find(|key| key.name == name)?;
        (text::is_spelled(key.sql) && key.sql != SqlType::Bool).then(|| DIALECT.text_of(&col("c", key), key.sql))
    };
    let selected: Vec<String> =
        columns.iter().map(|(name, _)| spelled(name).unwrap_or_else(|| format!("c.{}", quote(name)))).collect();
    let selected = selected.join(", ");
    let one = format!(
        "select {order}, {selected} from {name} c where {} order by {order} limit $2",
        conditions("$3", "$[0]")
    );
    // Such a table has a row number: provisioning takes no other.
    let row = format!("c.{}", sql::rowid(table).unwrap_or_default());
    let named = |prefix: &str| -> String {
        let names = (0..keys.len()).map(|part| format!(", {prefix}k{part}"));
        format!("{prefix}v{}", names.collect::<String>())
    };
    let many = format!(
        "with first(r, {}) as materialized (select {row}, {order} from json_each($3) p cross join {name} c where {} \
         order by {order} limit $2) select {}, {selected} from first f cross join {name} c on {row} = f.r",
        named(""),
        conditions("p.value", "$"),
        named("f."),
    );
    let key_types: Vec<SqlType> = table
        .key_columns()
        .map(|column| if text::is_spelled(column.sql) { SqlType::Text } else { column.sql })
        .collect();
    let found_by = |column: &ColumnDesc| {
        if text::is_spelled(column.sql) { DIALECT.text_of(&col("c", column), column.sql) } else { col("c", column) }
    };
    let same: Vec<String> = table
        .key_columns()
        .zip(&key_types)
        .enumerate()
        .map(|(index, (column, sql))| {
            format!("{} = {}", found_by(column), value_of("g.value", &format!("$[{index}]"), *sql))
        })
        .collect();
    let image = format!(
        "select g.key, {}, {version}, {selected} from json_each($1) g cross join {name} c where {} and {}",
        DIALECT.bucket_key(synced, "c"),
        same.join(" and "),
        DIALECT.visible(synced, "c"),
    );
    Scan { rule: rule.to_owned(), slot: slot_of(tables, table), one, many, image, columns, scope, keys: key_types }
}

/// The value at a path of a JSON that [`json`] made, as the column stores it, so that the index serves the comparison.
pub(in crate::store) fn value_of(json: &str, path: &str, sql: SqlType) -> String {
    let value = format!("json_extract({json}, '{path}')");
    match sql {
        // What is no UUID may have been written by another program, as text.
        SqlType::Uuid => format!("coalesce(case when length({value}) = 36 then unhex({value}, '-') end, {value})"),
        _ => value,
    }
}

/// Texts as JSON values of these types.
fn json<'t>(texts: impl IntoIterator<Item = &'t String>, types: &[SqlType]) -> Value {
    let value = |(text, sql): (&String, &SqlType)| match sql {
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => Value::from(text.parse::<i64>().unwrap_or_default()),
        SqlType::Uuid => match text.parse::<uuid::Uuid>() {
            Ok(id) => Value::from(id.hyphenated().to_string()),
            Err(_) => Value::from(text.as_str()),
        },
        _ => Value::from(text.as_str()),
    };
    texts.into_iter().zip(types).map(value).collect()
}

fn slot_of(tables: &[&'static TableDesc], table: &TableDesc) -> usize {
    tables.iter().position(|candidate| candidate.name == table.name).unwrap_or_default()
}

/// The first changes in order, and the version of the next, where there is one behind the limit or enough bytes.
pub(super) type First = (Vec<Change>, Option<i64>);

/// The first changes of the rule's table in these buckets, of which there is one at least.
pub(super) async fn rows(
    db: &mut SqliteConnection,
    scan: &Scan,
    buckets: &[&Bucket],
    read: &LaneRead<'_>,
    (to, max_bytes): (i64, usize),
) -> Result<First, StoreError> {
    let (version, parts) = read.rows_after(scan.slot);
    let sql = if buckets.len() == 1 { &scan.one } else { &scan.many };
    let params: Value = buckets.iter().map(|bucket| json(&bucket.params, &scan.scope)).collect();
    let mut query =
        sqlx::query(AssertSqlSafe(sql.as_str())).bind(to).bind(limit(read)).bind(params.to_string()).bind(version);
    for index in 0..scan.keys.len() {
        query = query.bind(parts.get(index).map_or(LAST, String::as_str));
    }
    let mut rows = query.fetch(&mut *db);
    let (mut changes, mut bytes, mut last) = (Vec::new(), 0, 0);
    while let Some(row) = rows.try_next().await? {
        let version = row.try_get(0)?;
        // A scan keeps the order of what it scans, but SQL does not promise it, and a page that is cut out of order skips rows.
        if version < last {
            return Err(sqlx::Error::Protocol("changes came out of order".to_owned()).into());
        }
        last = version;
        if changes.len() == read.limit || bytes >= max_bytes {
            return Ok((changes, Some(version)));
        }
        let mut out = Vec::with_capacity(256);
        let unreadable = encode::object(&mut out, &scan.columns, &row, 1 + scan.keys.len())?;
        let mut key = Vec::with_capacity(scan.keys.len());
        for index in 0..scan.keys.len() {
            key.push(encode::name(&row, 1 + index)?);
        }
        let state = unreadable.map_or(RowState::Row(out), RowState::Unreadable);
        let change = Change { version, slot: scan.slot, key, state };
        bytes += change.bytes();
        changes.push(change);
    }
    Ok((changes, None))
}

/// The first tombstones of these buckets.
pub(super) async fn tombstones(
    db: &mut SqliteConnection,
    sql: &PullSql,
    buckets: &[Bucket],
    read: &LaneRead<'_>,
    to: i64,
) -> Result<First, StoreError> {
    let tables = &sql.tables;
    let (version, table, id) = match read.tombstones_after(tables) {
        (version, ..) if version <= read.floor => (read.floor, LAST, LAST),
        after => after,
    };
    let buckets: Value = buckets.iter().map(|bucket| Value::from(vec![bucket.rule.clone(), bucket.key()])).collect();
    let found = sqlx::query(AssertSqlSafe(sql.tombstones.as_str()))
        .bind(buckets.to_string())
        .bind(version)
        .bind(table)
        .bind(id)
        .bind(to)
        .bind(limit(read))
        .fetch_all(&mut *db)
        .await?;
    let mut changes = Vec::with_capacity(found.len());
    for (index, row) in found.iter().enumerate() {
        let version = row.try_get(0)?;
        if index == read.limit {
            return Ok((changes, Some(version)));
        }
        let table: String = row.try_get(1)?;
        let Some(slot) = tables.iter().position(|candidate| candidate.name == table) else { continue };
        let client_key = if row.try_get_raw(4)?.is_null() { None } else { Some(encode::name(row, 4)?) };
        let state = RowState::Gone { deleted: row.try_get_unchecked::<i64, _>(3)? == 1, client_key };
        let key = vec![encode::name(row, 2)?];
        changes.push(Change { version, slot: tables.len() + slot, key, state });
    }
    Ok((changes, None))
}

/// The living rows of these keys that this rule shows; by primary key, or by the index on the texts of a key that has other spellings.
pub(super) async fn images(db: &mut SqliteConnection, scan: &Scan, ids: &[&str]) -> Result<Vec<Image>, StoreError> {
    let key_of = |id: &&str| match scan.keys.len() {
        1 => Some(vec![(*id).to_owned()]),
        _ => serde_json::from_str::<Vec<String>>(id).ok(),
    };
    let keys: Vec<_> = ids.iter().filter_map(|id| Some((*id, key_of(id)?))).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let texts: Value = keys.iter().map(|(_, key)| json(key, &scan.keys)).collect();
    let query = sqlx::query(AssertSqlSafe(scan.image.as_str())).bind(texts.to_string());
    let mut images = Vec::new();
    for row in query.fetch_all(&mut *db).await? {
        let index = usize::try_from(row.try_get_unchecked::<i64, _>(0)?).ok();
        let Some((id, key)) = index.and_then(|index| keys.get(index)) else { continue };
        let Ok(params) = serde_json::from_slice(row.try_get_unchecked(1)?) else { continue };
        let mut out = Vec::with_capacity(256);
        // What cannot be told is of no help against a tombstone.
        if encode::object(&mut out, &scan.columns, &row, 3)?.is_some() {
            continue;
        }
        let change = Change { version: row.try_get(2)?, slot: scan.slot, key: key.clone(), state: RowState::Row(out) };
        images.push(Image { bucket: Bucket::new(scan.rule.as_str(), params), id: (*id).to_owned(), change });
    }
    Ok(images)
}

fn limit(read: &LaneRead<'_>) -> i64 {
    i64::try_from(read.limit + 1).unwrap_or(i64::MAX)
}

/// Binds a text as the type that the column stores, so that the index serves the comparison.
pub(super) fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    text: &str,
    sql: SqlType,
) -> Query<'q, Sqlite, SqliteArguments> {
    match sql {
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => query.bind(text.parse::<i64>().unwrap_or_default()),
        SqlType::Uuid => match text.parse::<uuid::Uuid>() {
            Ok(id) => query.bind(id),
            Err(_) => query.bind(text.to_owned()),
        },
        _ => query.bind(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{Store, StoreSettings, database::Backend, sqlite::store::SqliteStore},
        testing,
    };

    /// The steps of a statement's plan.
    async fn plan(store: &SqliteStore, sql: &str) -> Vec<String> {
        let explained = AssertSqlSafe(format!("explain query plan {sql}"));
        let plan = sqlx::query(explained).fetch_all(&store.writer).await.unwrap();
        plan.iter().map(|row| row.get(3)).collect()
    }

    #[tokio::test]
    async fn inv29_every_scan_uses_its_index() {
        let settings = StoreSettings { url: "sqlite::memory:".to_owned(), pool: 1 };
        let store = Store::connect(&settings, Arc::new(testing::schema())).await.unwrap();
        store.provision().await.unwrap();
        let Backend::Sqlite(sqlite) = &store.backend else { unreachable!("the URL says SQLite") };
        let [scan] = sqlite.sql.scans.as_slice() else { panic!("one table of one rule: {:?}", sqlite.sql.scans) };

        // In order as it comes, from the position on, not by the bucket alone.
        let steps = plan(sqlite, &scan.one).await;
        let [step] = steps.as_slice() else { panic!("something is put in order: {steps:?}") };
        assert!(step.contains("USING INDEX _nizhal_ix") && step.contains("version"), "{step}");

        let first = ["MATERIALIZE first", "SCAN p VIRTUAL TABLE", "_nizhal_ix", "USE TEMP B-TREE FOR ORDER BY"];
        let many = [&first[..], &["SCAN f", "SEARCH c USING INTEGER PRIMARY KEY"]].concat();
        let gone = ["SCAN p VIRTUAL TABLE", "_nizhal_ix", "USE TEMP B-TREE FOR ORDER BY"];
        let image = ["SCAN g VIRTUAL TABLE", "USING INDEX sqlite_autoindex_notes_1"];
        for (sql, wanted) in [(&scan.many, &many[..]), (&sqlite.sql.tombstones, &gone), (&scan.image, &image)] {
            let steps = plan(sqlite, sql).await;
            let fit = steps.iter().zip(wanted).all(|(step, part)| {
                step.contains(part) && (*part != "_nizhal_ix" || step.contains("USING") && step.contains("version"))
            });
            assert!(steps.len() == wanted.len() && fit, "{sql}: {steps:?}");
        }
        // At the first row past the limit the program goes on behind the end of the inner loop, so with the next bucket.
        for sql in [&scan.many, &sqlite.sql.tombstones] {
            let program = sqlx::query(AssertSqlSafe(format!("explain {sql}"))).fetch_all(&sqlite.writer).await.unwrap();
            let of_opcode = |opcode| program.iter().filter(move |row| row.get::<&str, _>(1) == opcode);
            let (is_past, leaves_to): (i64, i64) = of_opcode("IdxLE")
                .map(|row| (row.get(0), row.get(3)))
                .next()
                .unwrap_or_else(|| panic!("no limit: {sql}"));
            let inner_end: Option<i64> = of_opcode("Next").map(|row| row.get(0)).find(|end| *end > is_past);
            assert!(inner_end.is_some_and(|end| leaves_to > end), "{sql}: {leaves_to}, {inner_end:?}");
        }
    }
}
