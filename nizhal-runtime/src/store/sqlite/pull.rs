//! Pulls on SQLite: one read transaction is the snapshot; the clock's value in it is the horizon.

use super::encode;
use crate::engine::Bucket;
use crate::schema::Schema;
use crate::store::{
    StoreError,
    read::{Body, Change, Frame, Image, LAST, LaneRead, ScopeArg},
    scope::ScopeSql,
    sql::{self, DELETED_AT, Dialect, VERSION, col, quote},
};
use nizhal_core::{RuleTable, SqlType, TableDesc};
use sqlx::{
    AssertSqlSafe, Row, Sqlite, SqlitePool, Transaction,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

const DIALECT: Dialect = Dialect::Sqlite;

/// The statements of a pull, written once from the rule set.
#[derive(Debug)]
pub(super) struct PullSql {
    pub(super) scope: ScopeSql,
    scans: Vec<Scan>,
    tables: Vec<&'static TableDesc>,
}

/// One table of one rule, for one bucket.
#[derive(Debug)]
struct Scan {
    rule: String,
    slot: usize,
    sql: String,
    columns: Vec<(&'static str, SqlType)>,
    scope: Vec<SqlType>,
    keys: usize,
}

const TOMBSTONES: &str = "select version, tbl, id, kind = 'delete', client_key from _nizhal_tombstones \
    where rule = $1 and bucket = $2 and (version, tbl, id) > ($3, $4, $5) and version <= $6 and version > $7 \
    order by version, tbl, id limit $8";

impl PullSql {
    pub(super) fn new(schema: &Schema) -> Self {
        let tables = schema.synced();
        let scans = schema
            .rules()
            .iter()
            .flat_map(|rule| rule.tables.iter().map(|synced| (rule.name, synced)))
            .map(|(rule, synced)| scan(rule, synced, &tables))
            .collect();
        Self { scope: ScopeSql::new(DIALECT, schema.rules()), scans, tables }
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
    let after: Vec<String> = (0..=keys.len()).map(|at| format!("${}", 3 + at)).collect();
    let mut conditions: Vec<String> = synced
        .scope
        .iter()
        .enumerate()
        .map(|(at, &column)| format!("{} = ${}", col("c", &table.columns[column]), 4 + keys.len() + at))
        .collect();
    conditions.push(format!("({version}, {}) > ({})", keys.join(", "), after.join(", ")));
    conditions.push(format!("{version} <= $1"));
    conditions.push(format!("c.{} is null", quote(DELETED_AT)));
    conditions.extend(synced.filters.iter().map(|filter| DIALECT.filter(table, filter, "c")));
    let selected: Vec<String> = columns.iter().map(|(name, _)| format!("c.{}", quote(name))).collect();
    let sql = format!(
        "select {version}, {}, {} from {} c where {} order by {version}, {} limit $2",
        keys.join(", "),
        selected.join(", "),
        quote(table.name),
        conditions.join(" and "),
        keys.join(", "),
    );
    Scan {
        rule: rule.to_owned(),
        slot: slot_of(tables, table),
        sql,
        columns,
        scope: synced.scope.iter().map(|&at| table.columns[at].sql).collect(),
        keys: keys.len(),
    }
}

fn slot_of(tables: &[&'static TableDesc], table: &TableDesc) -> usize {
    tables.iter().position(|candidate| candidate.name == table.name).unwrap_or_default()
}

/// One snapshot of the file.
pub struct Snapshot<'a> {
    sql: &'a PullSql,
    tx: Transaction<'static, Sqlite>,
}

impl<'a> Snapshot<'a> {
    pub(super) async fn open(readers: &SqlitePool, sql: &'a PullSql) -> Result<Self, StoreError> {
        Ok(Self { sql, tx: readers.begin().await? })
    }

    /// The frame, with the actor's memberships.
    pub(crate) async fn frame(&mut self, args: &[ScopeArg]) -> Result<Frame, StoreError> {
        let clock: i64 =
            sqlx::query_scalar("select clock from _nizhal_control where id = 1").fetch_one(&mut *self.tx).await?;
        let mut query = sqlx::query(AssertSqlSafe(self.sql.scope.sql.as_str()));
        for arg in args {
            query = match &arg.text {
                Some(text) => bind(query, text, arg.sql),
                None => query.bind(None::<String>),
            };
        }
        let mut frame = Frame::at(clock, clock, super::HOME.to_owned());
        for row in query.fetch_all(&mut *self.tx).await? {
            frame.take(row.try_get(0)?, row.try_get(1)?, row.try_get_unchecked(2)?, row.try_get(3)?);
        }
        Ok(frame)
    }

    /// The lane's changes in order, and the version of the first that was left out.
    ///
    /// SQLite has no lateral joins, so each bucket is a statement of its own; what is over the limit is dropped as it
    /// comes, so memory stays at two pages.
    pub(crate) async fn lane(&mut self, read: &LaneRead<'_>) -> Result<(Vec<Change>, Option<i64>), StoreError> {
        let (mut changes, mut left) = (Vec::new(), Left::default());
        for bucket in read.buckets {
            for scan in self.sql.scans.iter().filter(|scan| scan.rule == bucket.rule) {
                changes.extend(rows(&mut self.tx, scan, bucket, read).await?);
                left.note(keep_first(&mut changes, read, read.limit * 2));
            }
            changes.extend(tombstones(&mut self.tx, &self.sql.tables, bucket, read).await?);
            left.note(keep_first(&mut changes, read, read.limit * 2));
        }
        left.note(keep_first(&mut changes, read, read.limit));
        Ok((changes, left.0))
    }

    /// The living rows among these keys, once for each bucket that shows them.
    pub(crate) async fn images(
        &mut self,
        synced: &[(&str, &RuleTable)],
        ids: &[Vec<String>],
    ) -> Result<Vec<Image>, StoreError> {
        let mut images = Vec::new();
        for (rule, synced) in synced {
            let table = synced.table;
            let slot = slot_of(&self.sql.tables, table);
            let keys: Vec<_> = table.key_columns().collect();
            let columns = sql::wire_columns(table);
            let same: Vec<String> =
                keys.iter().enumerate().map(|(at, column)| format!("{} = ${}", col("c", column), at + 1)).collect();
            let selected: Vec<String> = columns.iter().map(|(name, _)| format!("c.{}", quote(name))).collect();
            let statement = format!(
                "select {}, c.{}, {} from {} c where {} and {}",
                DIALECT.bucket_key(synced, "c"),
                quote(VERSION),
                selected.join(", "),
                quote(table.name),
                same.join(" and "),
                DIALECT.visible(synced, "c"),
            );
            for id in ids {
                let mut query = sqlx::query(AssertSqlSafe(statement.as_str()));
                for (part, column) in id.iter().zip(&keys) {
                    query = bind(query, part, column.sql);
                }
                let Some(row) = query.fetch_optional(&mut *self.tx).await? else { continue };
                let Ok(params) = serde_json::from_str(row.try_get(0)?) else { continue };
                let mut out = Vec::with_capacity(256);
                encode::object(&mut out, &columns, &row, 2)?;
                let change = Change { version: row.try_get(1)?, slot, key: id.clone(), body: Body::Row(out) };
                images.push(Image { bucket: Bucket::new(*rule, params), change });
            }
        }
        Ok(images)
    }

    /// The connection, for statements that both databases share.
    pub(crate) fn connection(&mut self) -> &mut sqlx::SqliteConnection {
        &mut self.tx
    }

    /// Ends the snapshot. Dropping it does so too, a little later.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}

async fn rows(
    tx: &mut Transaction<'static, Sqlite>,
    scan: &Scan,
    bucket: &Bucket,
    read: &LaneRead<'_>,
) -> Result<Vec<Change>, StoreError> {
    let (version, parts) = read.rows_after(scan.slot);
    let mut query = sqlx::query(AssertSqlSafe(scan.sql.as_str())).bind(read.to).bind(limit(read)).bind(version);
    for at in 0..scan.keys {
        query = query.bind(parts.get(at).map_or(LAST, String::as_str));
    }
    for (param, sql) in bucket.params.iter().zip(&scan.scope) {
        query = bind(query, param, *sql);
    }
    let found: Vec<SqliteRow> = query.fetch_all(&mut **tx).await?;
    let mut changes = Vec::with_capacity(found.len());
    for row in found {
        let mut out = Vec::with_capacity(256);
        encode::object(&mut out, &scan.columns, &row, 1 + scan.keys)?;
        let mut key = Vec::with_capacity(scan.keys);
        for at in 0..scan.keys {
            key.push(row.try_get_unchecked(1 + at)?);
        }
        changes.push(Change { version: row.try_get(0)?, slot: scan.slot, key, body: Body::Row(out) });
    }
    Ok(changes)
}

async fn tombstones(
    tx: &mut Transaction<'static, Sqlite>,
    tables: &[&'static TableDesc],
    bucket: &Bucket,
    read: &LaneRead<'_>,
) -> Result<Vec<Change>, StoreError> {
    let (version, table, id) = read.tombstones_after(tables);
    let found = sqlx::query(TOMBSTONES)
        .bind(bucket.rule.as_str())
        .bind(bucket.key())
        .bind(version)
        .bind(table)
        .bind(id)
        .bind(read.to)
        .bind(read.floor)
        .bind(limit(read))
        .fetch_all(&mut **tx)
        .await?;
    let mut changes = Vec::with_capacity(found.len());
    for row in found {
        let table: String = row.try_get(1)?;
        let Some(at) = tables.iter().position(|candidate| candidate.name == table) else { continue };
        let body = Body::Gone { deleted: row.try_get_unchecked::<i64, _>(3)? == 1, client_key: row.try_get(4)? };
        changes.push(Change { version: row.try_get(0)?, slot: tables.len() + at, key: vec![row.try_get(2)?], body });
    }
    Ok(changes)
}

fn limit(read: &LaneRead<'_>) -> i64 {
    i64::try_from(read.limit + 1).unwrap_or(i64::MAX)
}

/// The lowest version that was left out; what is left out later may come before what was left out first.
#[derive(Default)]
struct Left(Option<i64>);

impl Left {
    fn note(&mut self, version: Option<i64>) {
        self.0 = self.0.into_iter().chain(version).min();
    }
}

/// Keeps the first changes in order once there are more than `over`; the version of the first that was dropped.
fn keep_first(changes: &mut Vec<Change>, read: &LaneRead<'_>, over: usize) -> Option<i64> {
    if changes.len() <= over && over > read.limit {
        return None;
    }
    changes.sort_by(order);
    let mut dropped = Left::default();
    dropped.note(cut(changes, read.limit));
    dropped.note(bytes_end(changes, read.max_bytes).and_then(|at| cut(changes, at)));
    dropped.0
}

fn cut(changes: &mut Vec<Change>, at: usize) -> Option<i64> {
    let version = changes.get(at)?.version;
    changes.truncate(at);
    Some(version)
}

fn order(a: &Change, b: &Change) -> std::cmp::Ordering {
    (a.version, a.slot, &a.key).cmp(&(b.version, b.slot, &b.key))
}

/// The first change that is past the bytes allowed; never the very first.
fn bytes_end(changes: &[Change], max_bytes: usize) -> Option<usize> {
    let mut bytes = 0;
    for (at, change) in changes.iter().enumerate() {
        if at > 0 && bytes >= max_bytes {
            return Some(at);
        }
        if let Body::Row(row) = &change.body {
            bytes += row.len();
        }
    }
    None
}

/// Binds a text as the type that the column stores, so that the index serves the comparison.
fn bind<'q>(query: Query<'q, Sqlite, SqliteArguments>, text: &str, sql: SqlType) -> Query<'q, Sqlite, SqliteArguments> {
    match sql {
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => query.bind(text.parse::<i64>().unwrap_or_default()),
        SqlType::Uuid => match text.parse::<uuid::Uuid>() {
            Ok(id) => query.bind(id),
            Err(_) => query.bind(text.to_owned()),
        },
        _ => query.bind(text.to_owned()),
    }
}
