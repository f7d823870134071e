//! A page of a first sync: rows alone, as plain columns, in the order of versions.
//!
//! A lane whose tombstones all lie above its floor needs none of them up to there. So a page below the floor is read from each table
//! by itself, as an index gives the rows: without records, without the merge of all tables, and the first row comes before the last
//! is found. It ends between transactions, unless one alone is larger than the page.
//!
//! Decision: book/src/decisions/pulling.md#a-page-of-a-first-sync-reads-plain-columns

use super::{
    encode,
    pools::Pools,
    statement::{KEY_PARTS, before, due, in_bucket, sort_keys},
};
use crate::schema::Schema;
use crate::store::{
    StoreError,
    limit::STATEMENT_TIMEOUT,
    read::{Change, LAST, LaneRead, Position, RowPage, RowState, Tie},
    sql::{self, VERSION, col, quote},
};
use futures_util::TryStreamExt;
use nizhal_core::{Bucket, Rule, RuleTable, TableDesc};
use sqlx::{AssertSqlSafe, Either, Executor, PgConnection, Postgres, postgres::PgArguments, query::Query};

/// The parameters of a table's statement before those of the buckets: to, version and key to read after, limit.
const TABLE_PARAMS: usize = 3 + KEY_PARTS;
/// The parameters before those of the buckets where a page's end is looked for: to, version to read after, limit.
const END_PARAMS: usize = 3;

/// The statements.
#[derive(Debug)]
pub(super) struct RowPageSql {
    /// In the order of slots.
    tables: Vec<Table>,
    /// Of the first rows: the first and the last version, and how many they are.
    end: String,
    /// The rules and the number of their parameters, in the order in which they are bound to `end`.
    rules: Vec<(&'static str, usize)>,
}

#[derive(Debug)]
struct Table {
    rule: &'static str,
    params: usize,
    slot: usize,
    desc: &'static TableDesc,
    /// For one bucket, whose rows the index has in order.
    one: String,
    /// For several.
    many: String,
    /// What stands before each value.
    before: Vec<Vec<u8>>,
}

impl RowPageSql {
    /// Nothing where a table is in several rules, for its rows might then come twice.
    pub(super) fn new(schema: &Schema) -> Self {
        let (rules, slots) = (schema.rules(), schema.synced());
        let all = || rules.iter().flat_map(|rule| rule.tables.iter().map(move |synced| (rule, synced)));
        let twice = slots.iter().any(|slot| all().filter(|(_, synced)| synced.table.name == slot.name).count() > 1);
        let tables = all().filter(|_| !twice).map(|(rule, synced)| {
            let slot = slots.iter().position(|table| table.name == synced.table.name).unwrap_or_default();
            let (one, many) = (one(synced), many(rule, synced));
            Table {
                rule: rule.name,
                params: rule.params.len(),
                slot,
                desc: synced.table,
                one,
                many,
                before: before(synced.table),
            }
        });
        let mut tables: Vec<Table> = tables.collect();
        tables.sort_by_key(|table| table.slot);
        let params = rules.iter().map(|rule| (rule.name, rule.params.len())).collect();
        Self { tables, end: end(rules), rules: params }
    }

    /// Whether there are no statements, because rows could come twice.
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The first rows of a lane up to a version below which it needs no tombstones.
    pub(super) async fn read(
        &self,
        pools: &Pools,
        db: &mut PgConnection,
        lane: &LaneRead<'_>,
        (to, max_bytes): (i64, usize),
    ) -> Result<RowPage, StoreError> {
        let mut scan = Scan { sql: self, pools, db, lane, max_bytes };
        if lane.from.tie.is_some() {
            return scan.inside(lane.from.version).await;
        }
        let to = match scan.end(to).await? {
            Some((first, last)) if first == last => return scan.inside(first).await,
            Some((_, last)) => last - 1,
            None => to,
        };
        match scan.whole(to).await? {
            Ok(page) => Ok(page),
            Err(version) => scan.inside(version).await,
        }
    }
}

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

fn one(synced: &RuleTable) -> String {
    let held = synced.scope.iter().map(|&column| &synced.table.columns[column]).enumerate().map(|(param, column)| {
        format!("{} = ({})[1]::{}", col("c", column), hidden(TABLE_PARAMS + 1 + param, "text[]"), column.sql.postgres())
    });
    scan(synced, held.collect())
}

fn many(rule: &Rule, synced: &RuleTable) -> String {
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
fn end(rules: &[Rule]) -> String {
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

/// One page while it is read.
struct Scan<'a> {
    sql: &'a RowPageSql,
    pools: &'a Pools,
    db: &'a mut PgConnection,
    lane: &'a LaneRead<'a>,
    max_bytes: usize,
}

impl Scan<'_> {
    /// The first version that there is, and that of the first row behind the page, where there is one among several tables.
    async fn end(&mut self, to: i64) -> Result<Option<(i64, i64)>, StoreError> {
        let RowPageSql { tables, end, rules } = self.sql;
        if tables.len() < 2 {
            return Ok(None);
        }
        let limit = i64::try_from(self.lane.limit + 1).unwrap_or(i64::MAX);
        let mut query = sqlx::query_as(AssertSqlSafe(end.as_str())).bind(to).bind(self.lane.from.version).bind(limit);
        for (rule, params) in rules {
            let buckets = self.lane.buckets.iter().filter(|bucket| bucket.rule == *rule);
            let buckets: Vec<&Bucket> = buckets.filter(|bucket| bucket.params.len() == *params).collect();
            for param in 0..*params {
                query = query.bind(buckets.iter().map(|bucket| bucket.params[param].as_str()).collect::<Vec<_>>());
            }
        }
        let (first, last, count): (Option<i64>, Option<i64>, i64) =
            self.pools.wait(STATEMENT_TIMEOUT, query.fetch_one(&mut *self.db)).await?;
        Ok(first.zip(last).filter(|_| count == limit))
    }

    /// Whole transactions up to this version; the first one where it alone is larger than a page.
    async fn whole(&mut self, mut to: i64) -> Result<Result<RowPage, i64>, StoreError> {
        let (wanted, mut read) = (to, Vec::<Rows>::new());
        for table in &self.sql.tables {
            let rows = self.rows(table, to, self.lane.limit, self.max_bytes).await?;
            to = rows.next.map_or(to, |next| next - 1);
            read.push(rows);
            to = to.min(bytes_end(&read, self.max_bytes).map_or(to, |next| next - 1));
            read.iter_mut().for_each(|rows| rows.cut(to));
        }
        if to < wanted && read.iter().all(|rows| rows.ends.is_empty()) {
            return Ok(Err(to + 1));
        }
        Ok(Ok(page(read, Position::after(to))))
    }

    /// As much of one version as a page takes: tables one after the other.
    async fn inside(&mut self, version: i64) -> Result<RowPage, StoreError> {
        let (mut left, mut bytes, mut last) = (self.lane.limit, self.max_bytes, self.lane.from.tie.clone());
        let mut read = Vec::new();
        for table in &self.sql.tables {
            let rows = self.rows(table, version, left, bytes).await?;
            left -= rows.ends.len();
            bytes = bytes.saturating_sub(rows.json.len());
            let is_cut = rows.next.is_some();
            last = rows.last.clone().map(|key| Tie { slot: table.slot, key }).or(last);
            read.push(rows);
            if is_cut {
                return Ok(page(read, Position { version, tie: last }));
            }
        }
        Ok(page(read, Position::after(version)))
    }

    /// The first rows of a table, up to these many and these many bytes.
    async fn rows(&mut self, table: &Table, to: i64, limit: usize, max_bytes: usize) -> Result<Rows, StoreError> {
        let mut rows = Rows { slot: table.slot, ..Rows::default() };
        let buckets = self.lane.buckets.iter().filter(|bucket| bucket.rule == table.rule);
        let buckets: Vec<&Bucket> = buckets.filter(|bucket| bucket.params.len() == table.params).collect();
        if buckets.is_empty() {
            return Ok(rows);
        }
        let query = table.query(&buckets, self.lane, to, limit);
        let (wire, mut types, mut last) = (table.before.len(), Vec::new(), None);
        // Not `fetch`, which is this and a layer more around every row.
        let mut steps = self.db.fetch_many(query);
        while let Some(step) = self.pools.wait(STATEMENT_TIMEOUT, steps.try_next()).await? {
            let Either::Right(row) = step else { continue };
            let version = encode::int8(&row, wire)?;
            if rows.ends.last().is_some_and(|(last, _)| version < *last) {
                return Err(sqlx::Error::Protocol("rows came out of order".to_owned()).into());
            }
            if rows.ends.len() == limit || rows.json.len() >= max_bytes {
                rows.next = Some(version);
                break;
            }
            if types.is_empty() {
                types = encode::types(&row);
            }
            let start = rows.json.len();
            if start > 0 {
                rows.json.push(b',');
            }
            if let Some(at) = encode::columns(&mut rows.json, &table.before, &types, &row)? {
                rows.json.truncate(start);
                let state = RowState::Unreadable(sql::wire_columns(table.desc)[at].0);
                rows.unreadable.push(Change { version, slot: table.slot, key: table.key(&row)?, state });
            }
            rows.ends.push((version, rows.json.len()));
            last = Some(row);
        }
        rows.last = last.map(|row| table.key(&row)).transpose()?;
        Ok(rows)
    }
}

impl Table {
    fn query(
        &self,
        buckets: &[&Bucket],
        lane: &LaneRead<'_>,
        to: i64,
        limit: usize,
    ) -> Query<'_, Postgres, PgArguments> {
        let (version, parts) = lane.rows_after(self.slot);
        let sql = if buckets.len() == 1 { &self.one } else { &self.many };
        let mut query = sqlx::query(AssertSqlSafe(sql.as_str())).bind(to).bind(version);
        for part in parts.iter().map(String::as_str).chain(std::iter::repeat(LAST)).take(KEY_PARTS) {
            query = query.bind(part.to_owned());
        }
        query = query.bind(i64::try_from(limit + 1).unwrap_or(i64::MAX));
        for param in 0..self.params {
            query = query.bind(buckets.iter().map(|bucket| bucket.params[param].clone()).collect::<Vec<String>>());
        }
        query
    }

    /// The key of a row, which stands behind its columns and its version.
    fn key(&self, row: &sqlx::postgres::PgRow) -> Result<Vec<String>, sqlx::Error> {
        use sqlx::Row;
        (0..self.desc.key.len()).map(|part| row.try_get(self.before.len() + 1 + part)).collect()
    }
}

/// What was read of a table.
#[derive(Default)]
struct Rows {
    slot: usize,
    /// The objects with commas between.
    json: Vec<u8>,
    /// Of each row its version, and where its object ends.
    ends: Vec<(i64, usize)>,
    unreadable: Vec<Change>,
    /// The key of the last row.
    last: Option<Vec<String>>,
    /// The version of the first row that was left.
    next: Option<i64>,
}

impl Rows {
    /// Leaves what is above this version.
    fn cut(&mut self, to: i64) {
        let kept = self.ends.partition_point(|(version, _)| *version <= to);
        self.ends.truncate(kept);
        self.json.truncate(self.ends.last().map_or(0, |(_, end)| *end));
        self.unreadable.retain(|change| change.version <= to);
    }
}

/// The version of the first row, in the order of versions, that enough bytes come before.
fn bytes_end(read: &[Rows], max_bytes: usize) -> Option<i64> {
    if read.iter().map(|rows| rows.json.len()).sum::<usize>() < max_bytes {
        return None;
    }
    let sizes = |rows: &Rows| {
        let starts = std::iter::once(0).chain(rows.ends.iter().map(|(_, end)| *end)).collect::<Vec<_>>();
        rows.ends.iter().zip(starts).map(|((version, end), start)| (*version, end - start)).collect::<Vec<_>>()
    };
    let mut all: Vec<(i64, usize)> = read.iter().flat_map(sizes).collect();
    all.sort_by_key(|(version, _)| *version);
    let mut bytes = 0;
    all.into_iter().find_map(|(version, size)| {
        let is_full = bytes >= max_bytes;
        bytes += size;
        is_full.then_some(version)
    })
}

fn page(read: Vec<Rows>, position: Position) -> RowPage {
    let mut page = RowPage { rows: Vec::new(), unreadable: Vec::new(), position };
    for Rows { slot, json, ends, unreadable, .. } in read {
        let count = ends.len() - unreadable.len();
        page.unreadable.extend(unreadable);
        if count > 0 {
            page.rows.push((slot, json, count));
        }
    }
    page
}
