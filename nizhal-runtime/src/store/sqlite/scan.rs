//! The statements of a pull on SQLite: one for each table of each rule, for one bucket at a time.

use super::encode;
use crate::schema::Schema;
use crate::store::{
    StoreError,
    read::{Change, Image, LAST, LaneRead, RowState},
    scope::ScopeSql,
    sql::{self, DELETED_AT, Dialect, VERSION, col, quote},
    text,
};
use nizhal_core::{Bucket, ColumnDesc, RuleTable, SqlType, TableDesc};
use sqlx::{
    AssertSqlSafe, Row, Sqlite, SqliteConnection, ValueRef,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};
use std::sync::Arc;

const DIALECT: Dialect = Dialect::Sqlite;

/// By `_nizhal_tombstones (rule, bucket, version, tbl, id)`.
const TOMBSTONES: &str = "select version, tbl, id, kind = 'delete', client_key from _nizhal_tombstones \
    where rule = $1 and bucket = $2 and (version, tbl, id) > ($3, $4, $5) and version <= $6 and version > $7 \
    order by version, tbl, id limit $8";

/// The statements of a pull, written once from the rule set.
#[derive(Debug)]
pub(super) struct PullSql {
    pub(super) scope: ScopeSql,
    pub(super) schema: Arc<Schema>,
    pub(super) scans: Vec<Scan>,
    pub(super) tables: Vec<&'static TableDesc>,
}

/// One table of one rule, for one bucket.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) rule: String,
    pub(super) slot: usize,
    sql: String,
    image: String,
    columns: Vec<(&'static str, SqlType)>,
    scope: Vec<SqlType>,
    keys: Vec<SqlType>,
}

/// By `_nizhal_tombstones (rule, bucket, version, tbl, id)`.
impl PullSql {
    pub(super) fn new(schema: &Arc<Schema>) -> Self {
        let tables = schema.synced();
        let scans = schema
            .rules()
            .iter()
            .flat_map(|rule| rule.tables.iter().map(|synced| (rule.name, synced)))
            .map(|(rule, synced)| scan(rule, synced, &tables))
            .collect();
        Self { scope: ScopeSql::new(DIALECT, schema.rules()), schema: schema.clone(), scans, tables }
    }
}

/// Relies on the `(scope, version, key)` index. `$1` to, `$2` limit, `$3` version and then key parts to read after, then
/// the bucket's parameters.
fn scan(rule: &str, synced: &RuleTable, tables: &[&'static TableDesc]) -> Scan {
    let table = synced.table;
    let keys: Vec<String> =
        table.key_columns().map(|column| DIALECT.sort_text(&col("c", column), column.sql)).collect();
    let version = format!("c.{}", quote(VERSION));
    let columns = sql::wire_columns(table);
    let after: Vec<String> = (0..=keys.len()).map(|index| format!("${}", 3 + index)).collect();
    let mut conditions: Vec<String> = synced
        .scope
        .iter()
        .enumerate()
        .map(|(index, &column)| format!("{} = ${}", col("c", &table.columns[column]), 4 + keys.len() + index))
        .collect();
    conditions.push(format!("({version}, {}) > ({})", keys.join(", "), after.join(", ")));
    conditions.push(format!("{version} <= $1"));
    conditions.push(format!("c.{} is null", quote(DELETED_AT)));
    conditions.extend(synced.filters.iter().map(|filter| DIALECT.filter(table, filter, "c")));
    // A key that has other spellings comes as the text that its tombstone has.
    let spelled = |name: &str| {
        let key = table.key_columns().find(|key| key.name == name)?;
        (text::is_spelled(key.sql) && key.sql != SqlType::Bool).then(|| DIALECT.text_of(&col("c", key), key.sql))
    };
    let selected: Vec<String> =
        columns.iter().map(|(name, _)| spelled(name).unwrap_or_else(|| format!("c.{}", quote(name)))).collect();
    let sql = format!(
        "select {version}, {}, {} from {} c where {} order by {version}, {} limit $2",
        keys.join(", "),
        selected.join(", "),
        quote(table.name),
        conditions.join(" and "),
        keys.join(", "),
    );
    let found_by = |column: &ColumnDesc| {
        if text::is_spelled(column.sql) { DIALECT.text_of(&col("c", column), column.sql) } else { col("c", column) }
    };
    let same: Vec<String> = table
        .key_columns()
        .enumerate()
        .map(|(index, column)| format!("{} = ${}", found_by(column), index + 1))
        .collect();
    let image = format!(
        "select {}, {version}, {} from {} c where {} and {}",
        DIALECT.bucket_key(synced, "c"),
        selected.join(", "),
        quote(table.name),
        same.join(" and "),
        DIALECT.visible(synced, "c"),
    );
    Scan {
        rule: rule.to_owned(),
        image,
        slot: slot_of(tables, table),
        sql,
        columns,
        scope: synced.scope.iter().map(|&index| table.columns[index].sql).collect(),
        keys: table
            .key_columns()
            .map(|column| if text::is_spelled(column.sql) { SqlType::Text } else { column.sql })
            .collect(),
    }
}

fn slot_of(tables: &[&'static TableDesc], table: &TableDesc) -> usize {
    tables.iter().position(|candidate| candidate.name == table.name).unwrap_or_default()
}

pub(super) async fn rows(
    db: &mut SqliteConnection,
    scan: &Scan,
    bucket: &Bucket,
    read: &LaneRead<'_>,
    to: i64,
) -> Result<Vec<Change>, StoreError> {
    let (version, parts) = read.rows_after(scan.slot);
    let mut query = sqlx::query(AssertSqlSafe(scan.sql.as_str())).bind(to).bind(limit(read)).bind(version);
    for index in 0..scan.keys.len() {
        query = query.bind(parts.get(index).map_or(LAST, String::as_str));
    }
    for (param, sql) in bucket.params.iter().zip(&scan.scope) {
        query = bind(query, param, *sql);
    }
    let found: Vec<SqliteRow> = query.fetch_all(&mut *db).await?;
    let mut changes = Vec::with_capacity(found.len());
    for row in found {
        let mut out = Vec::with_capacity(256);
        let unreadable = encode::object(&mut out, &scan.columns, &row, 1 + scan.keys.len())?;
        let mut key = Vec::with_capacity(scan.keys.len());
        for index in 0..scan.keys.len() {
            key.push(encode::name(&row, 1 + index)?);
        }
        changes.push(Change {
            version: row.try_get(0)?,
            slot: scan.slot,
            key,
            state: unreadable.map_or(RowState::Row(out), RowState::Unreadable),
        });
    }
    Ok(changes)
}

pub(super) async fn tombstones(
    db: &mut SqliteConnection,
    tables: &[&'static TableDesc],
    bucket: &Bucket,
    read: &LaneRead<'_>,
    to: i64,
) -> Result<Vec<Change>, StoreError> {
    let (version, table, id) = read.tombstones_after(tables);
    let found = sqlx::query(TOMBSTONES)
        .bind(bucket.rule.as_str())
        .bind(bucket.key())
        .bind(version)
        .bind(table)
        .bind(id)
        .bind(to)
        .bind(read.floor)
        .bind(limit(read))
        .fetch_all(&mut *db)
        .await?;
    let mut changes = Vec::with_capacity(found.len());
    for row in found {
        let table: String = row.try_get(1)?;
        let Some(index) = tables.iter().position(|candidate| candidate.name == table) else { continue };
        let client_key = if row.try_get_raw(4)?.is_null() { None } else { Some(encode::name(&row, 4)?) };
        let state = RowState::Gone { deleted: row.try_get_unchecked::<i64, _>(3)? == 1, client_key };
        let key = vec![encode::name(&row, 2)?];
        changes.push(Change { version: row.try_get(0)?, slot: tables.len() + index, key, state });
    }
    Ok(changes)
}

/// The living row of this key, if this rule shows it; by primary key, or by the index on the texts of a key that has other spellings.
pub(super) async fn image(db: &mut SqliteConnection, scan: &Scan, id: &str) -> Result<Option<Image>, StoreError> {
    let key: Vec<String> = match scan.keys.len() {
        1 => vec![id.to_owned()],
        _ => match serde_json::from_str(id) {
            Ok(parts) => parts,
            Err(_) => return Ok(None),
        },
    };
    let mut query = sqlx::query(AssertSqlSafe(scan.image.as_str()));
    for (part, sql) in key.iter().zip(&scan.keys) {
        query = bind(query, part, *sql);
    }
    let Some(row) = query.fetch_optional(&mut *db).await? else { return Ok(None) };
    let Ok(params) = serde_json::from_slice(row.try_get_unchecked(0)?) else { return Ok(None) };
    let mut out = Vec::with_capacity(256);
    // What cannot be told is of no help against a tombstone.
    if encode::object(&mut out, &scan.columns, &row, 2)?.is_some() {
        return Ok(None);
    }
    let change = Change { version: row.try_get(1)?, slot: scan.slot, key, state: RowState::Row(out) };
    Ok(Some(Image { bucket: Bucket::new(scan.rule.as_str(), params), id: id.to_owned(), change }))
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
        store::{Store, StoreSettings, database::Backend},
        testing,
    };

    #[tokio::test]
    async fn inv29_every_scan_uses_its_index() {
        let settings = StoreSettings { url: "sqlite::memory:".to_owned(), pool: 1 };
        let store = Store::connect(&settings, Arc::new(testing::schema())).await.unwrap();
        store.provision().await.unwrap();
        let Backend::Sqlite(sqlite) = &store.backend else { unreachable!("the URL says SQLite") };
        let sql = &sqlite.sql;
        let scans = sql.scans.iter().map(|scan| (scan.sql.as_str(), "USING INDEX _nizhal_ix"));
        let images = sql.scans.iter().map(|scan| (scan.image.as_str(), "USING INDEX sqlite_autoindex_notes_1"));
        let all: Vec<_> = scans.chain(images).chain([(TOMBSTONES, "USING INDEX _nizhal_ix")]).collect();
        assert_eq!(all.len(), 3);
        for (sql, index) in all {
            let explained = AssertSqlSafe(format!("explain query plan {sql}"));
            let plan = sqlx::query(explained).fetch_all(&sqlite.writer).await.unwrap();
            let steps: Vec<String> = plan.iter().map(|row| row.get(3)).collect();
            let [step] = steps.as_slice() else { panic!("{sql}: {steps:?}, so something is put in order") };
            assert!(step.starts_with("SEARCH") && step.contains(index), "{sql}: {step}");
            // From the position on, not by the bucket alone.
            assert!(!index.contains("_nizhal_ix") || step.contains("version"), "{sql}: {step}");
        }
    }
}
