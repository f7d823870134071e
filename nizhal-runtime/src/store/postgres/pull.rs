//! Pulls on Postgres: the horizon, then one repeatable-read snapshot for everything an answer says.

use super::encode;
use crate::store::{
    StoreError,
    read::{Body, Change, Frame, Image, LAST, LaneRead, ScopeArg},
    scope::ScopeSql,
    sql::{self, DELETED_AT, Dialect, VERSION, col, quote},
};
use crate::{engine::Bucket, schema::Schema};
use futures_util::TryStreamExt;
use nizhal_core::{Rule, RuleTable, TableDesc};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row, Transaction, postgres::PgRow};

const DIALECT: Dialect = Dialect::Postgres;
/// The most key parts a table may have; the lane statement carries as many a slot.
const KEY_PARTS: usize = 4;

/// The statements of a pull, written once from the rule set.
#[derive(Debug)]
pub(super) struct PullSql {
    pub(super) scope: ScopeSql,
    lane: String,
    tables: Vec<&'static TableDesc>,
    names: Vec<Vec<&'static str>>,
    /// `(rule, number of arrays)` in the order the lane statement takes them.
    rules: Vec<(String, usize)>,
}

impl PullSql {
    pub(super) fn new(schema: &Schema) -> Self {
        let tables = schema.synced();
        let names =
            tables.iter().map(|table| sql::wire_columns(table).into_iter().map(|(name, _)| name).collect()).collect();
        let rules = schema.rules().iter().map(|rule| (rule.name.to_owned(), arrays(rule))).collect();
        let lane = lane_sql(schema.rules(), &tables);
        Self { scope: ScopeSql::new(DIALECT, schema.rules()), lane, tables, names, rules }
    }
}

/// Reads each bucket by its `(scope, version, key)` index and tombstones by `(rule, bucket, version, tbl, id)`.
///
/// `$1`, `$2`: for each slot the version and key parts to read after; `$3` to; `$4` limit; `$5` rules and `$6` bucket
/// keys for tombstones; `$7`, `$8`, `$9` the tombstone to read after; `$10` the floor; then an array for each parameter.
fn lane_sql(rules: &[Rule], tables: &[&'static TableDesc]) -> String {
    let mut branches = Vec::new();
    let mut next = 11;
    for rule in rules {
        let places: Vec<usize> = (0..arrays(rule)).map(|at| next + at).collect();
        next += arrays(rule);
        for synced in &rule.tables {
            branches.push(rows_sql(slot_of(tables, synced.table), synced, &places));
        }
    }
    branches.push(tombstones_sql(tables));
    format!(
        "select u.slot, u.v, u.k, u.r, u.deleted, u.client_key from (\n{}\n) u order by u.v, u.slot, u.k collate \"C\" limit $4",
        branches.join("\nunion all\n")
    )
}

/// The arrays that name a rule's buckets: one a parameter, and one all the same where there is none.
fn arrays(rule: &Rule) -> usize {
    rule.params.len().max(1)
}

fn rows_sql(slot: usize, synced: &RuleTable, places: &[usize]) -> String {
    let table = synced.table;
    let keys: Vec<String> =
        table.key_columns().map(|column| DIALECT.sort_text(&col("c", column), column.sql)).collect();
    let version = format!("c.{}", quote(VERSION));
    let columns: Vec<String> = sql::wire_columns(table).iter().map(|(name, _)| format!("c.{}", quote(name))).collect();
    let after: Vec<String> = (0..keys.len()).map(|at| format!("$2[{}]", slot * KEY_PARTS + at + 1)).collect();
    let arrays: Vec<String> = places.iter().map(|place| format!("${place}::text[]")).collect();
    let names: Vec<String> = (0..places.len()).map(|at| format!("p{at}")).collect();
    let mut conditions: Vec<String> = synced
        .scope
        .iter()
        .zip(&names)
        .map(|(&at, name)| (&table.columns[at], name))
        .map(|(column, name)| format!("{} = p.{name}::{}", col("c", column), column.sql.postgres()))
        .collect();
    conditions.push(format!("({version}, {}) > ($1[{}], {})", keys.join(", "), slot + 1, after.join(", ")));
    conditions.push(format!("{version} <= $3"));
    conditions.push(format!("c.{} is null", quote(DELETED_AT)));
    conditions.extend(synced.filters.iter().map(|filter| DIALECT.filter(table, filter, "c")));
    let keys_text = keys.join(", ");
    format!(
        "select {slot}::int4 as slot, x.v, x.k, x.r, null::bool as deleted, null::text as client_key \
         from unnest({}) as p({}) cross join lateral (select {version} as v, array[{keys_text}] as k, row({}) as r \
         from {} c where {} order by {version}, {keys_text} limit $4) x",
        arrays.join(", "),
        names.join(", "),
        columns.join(", "),
        quote(table.name),
        conditions.join(" and "),
    )
}

fn tombstones_sql(tables: &[&'static TableDesc]) -> String {
    let names: Vec<String> = tables.iter().map(|table| sql::literal(table.name)).collect();
    let names = format!("array[{}]::text[]", names.join(", "));
    format!(
        "select ({} + array_position({names}, x.tbl) - 1)::int4, x.v, x.k, row(), x.kind = 'delete', x.client_key \
         from unnest($5::text[], $6::text[]) as p(rule, bucket) cross join lateral (select t.version as v, t.tbl, \
         array[t.id] as k, t.kind, t.client_key from _nizhal_tombstones t where t.rule = p.rule and t.bucket = p.bucket \
         and (t.version, t.tbl, t.id) > ($7, $8, $9) and t.version <= $3 and t.version > $10 and t.tbl = any({names}) \
         order by t.version, t.tbl, t.id limit $4) x",
        tables.len()
    )
}

/// Looks rows up by primary key; an array for each key part.
fn images_sql(synced: &RuleTable) -> String {
    let table = synced.table;
    let keys: Vec<_> = table.key_columns().collect();
    let arrays: Vec<String> = (1..=keys.len()).map(|at| format!("${at}::text[]")).collect();
    let names: Vec<String> = (0..keys.len()).map(|at| format!("k{at}")).collect();
    let same: Vec<String> = keys
        .iter()
        .zip(&names)
        .map(|(column, name)| format!("{} = k.{name}::{}", col("c", column), column.sql.postgres()))
        .collect();
    let columns: Vec<String> = sql::wire_columns(table).iter().map(|(name, _)| format!("c.{}", quote(name))).collect();
    format!(
        "select {}, c.{}, array[{}], row({}) from unnest({}) as k({}) join {} c on {} where {}",
        DIALECT.bucket_key(synced, "c"),
        quote(VERSION),
        names.iter().map(|name| format!("k.{name}")).collect::<Vec<_>>().join(", "),
        columns.join(", "),
        arrays.join(", "),
        names.join(", "),
        quote(table.name),
        same.join(" and "),
        DIALECT.visible(synced, "c"),
    )
}

fn slot_of(tables: &[&'static TableDesc], table: &TableDesc) -> usize {
    tables.iter().position(|candidate| candidate.name == table.name).unwrap_or_default()
}

/// The record in this column as a JSON object.
fn row_json(row: &PgRow, at: usize, names: &[&str]) -> Result<Vec<u8>, sqlx::Error> {
    let bytes = row.try_get_raw(at)?.as_bytes().map_err(sqlx::Error::Decode)?;
    let mut out = Vec::with_capacity(256);
    encode::record(&mut out, names, bytes).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(out)
}

/// One snapshot of the database, and what was known of the clock before it was taken.
pub struct Snapshot<'a> {
    sql: &'a PullSql,
    tx: Transaction<'static, Postgres>,
    clock: i64,
    horizon: i64,
    lives: String,
}

impl<'a> Snapshot<'a> {
    /// Reads the horizon *before* it takes the snapshot; the order is what the version clock rests on (`clock.rs`).
    pub(super) async fn open(pool: &PgPool, sql: &'a PullSql) -> Result<Self, StoreError> {
        let (clock, horizon, lives) =
            sqlx::query_as("select clock, horizon, lives from _nizhal_horizon()").fetch_one(pool).await?;
        let tx = pool.begin_with("begin isolation level repeatable read read only").await?;
        Ok(Self { sql, tx, clock, horizon, lives })
    }

    /// The frame, with the actor's memberships; the first statement, so the snapshot is taken here.
    pub(crate) async fn frame(&mut self, args: &[ScopeArg]) -> Result<Frame, StoreError> {
        let mut query = sqlx::query(AssertSqlSafe(self.sql.scope.sql.as_str()));
        for arg in args {
            query = query.bind(arg.text.as_deref());
        }
        let mut frame = Frame::at(self.clock, self.horizon, self.lives.clone());
        for row in query.fetch_all(&mut *self.tx).await? {
            let (rule, param): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
            frame.take(rule.into(), param.into(), row.try_get(2)?, row.try_get(3)?);
        }
        Ok(frame)
    }

    /// The lane's changes in order, and the version of the first that was left out.
    pub(crate) async fn lane(&mut self, read: &LaneRead<'_>) -> Result<(Vec<Change>, Option<i64>), StoreError> {
        let tables = &self.sql.tables;
        let (mut versions, mut keys) = (Vec::new(), Vec::new());
        for slot in 0..tables.len() {
            let (version, parts) = read.rows_after(slot);
            versions.push(version);
            keys.extend(parts.iter().map(String::as_str).chain(std::iter::repeat(LAST)).take(KEY_PARTS));
        }
        let gone = read.tombstones_after(tables);
        let limit = i64::try_from(read.limit + 1).unwrap_or(i64::MAX);
        let rules: Vec<&str> = read.buckets.iter().map(|bucket| bucket.rule.as_str()).collect();
        let buckets: Vec<String> = read.buckets.iter().map(|bucket| bucket.key()).collect();
        let mut query = sqlx::query(AssertSqlSafe(self.sql.lane.as_str()))
            .bind(versions)
            .bind(keys)
            .bind(read.to)
            .bind(limit)
            .bind(rules)
            .bind(buckets)
            .bind(gone.0)
            .bind(gone.1)
            .bind(gone.2)
            .bind(read.floor);
        for (rule, params) in &self.sql.rules {
            for at in 0..*params {
                let of_rule = read.buckets.iter().filter(|bucket| bucket.rule == *rule);
                query = query
                    .bind(of_rule.map(|bucket| bucket.params.get(at).cloned().unwrap_or_default()).collect::<Vec<_>>());
            }
        }
        let mut rows = query.fetch(&mut *self.tx);
        let (mut changes, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await? {
            if changes.len() == read.limit || bytes >= read.max_bytes {
                return Ok((changes, Some(row.try_get(1)?)));
            }
            let slot: i32 = row.try_get(0)?;
            let slot = usize::try_from(slot).map_err(|_| sqlx::Error::RowNotFound)?;
            let body = match row.try_get::<Option<bool>, _>(4)? {
                Some(deleted) => Body::Gone { deleted, client_key: row.try_get(5)? },
                None => {
                    let json = row_json(&row, 3, &self.sql.names[slot])?;
                    bytes += json.len();
                    Body::Row(json)
                }
            };
            changes.push(Change { version: row.try_get(1)?, slot, key: row.try_get(2)?, body });
        }
        Ok((changes, None))
    }

    /// The living rows among these keys, once for each bucket that shows them.
    pub(crate) async fn images(
        &mut self,
        synced: &[(&str, &RuleTable)],
        ids: &[Vec<String>],
    ) -> Result<Vec<Image>, StoreError> {
        let mut images = Vec::new();
        for (rule, synced) in synced {
            let slot = slot_of(&self.sql.tables, synced.table);
            let keys = synced.table.key.len();
            let statement = images_sql(synced);
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for at in 0..keys {
                query = query.bind(ids.iter().filter_map(|id| id.get(at).cloned()).collect::<Vec<String>>());
            }
            for row in query.fetch_all(&mut *self.tx).await? {
                let Ok(params) = serde_json::from_str(row.try_get(0)?) else { continue };
                let body = Body::Row(row_json(&row, 3, &self.sql.names[slot])?);
                let change = Change { version: row.try_get(1)?, slot, key: row.try_get(2)?, body };
                images.push(Image { bucket: Bucket::new(*rule, params), change });
            }
        }
        Ok(images)
    }

    /// Lets the snapshot stay open for this long between two statements.
    pub(crate) async fn hold(&mut self, seconds: u64) -> Result<(), StoreError> {
        let sql = format!("set local idle_in_transaction_session_timeout = '{seconds}s'");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// The connection, for statements that both databases share.
    pub(crate) fn connection(&mut self) -> &mut sqlx::PgConnection {
        &mut self.tx
    }

    /// Ends the snapshot. Dropping it does so too, a little later.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}
