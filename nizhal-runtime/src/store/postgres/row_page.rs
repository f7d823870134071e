//! A page of a first sync: rows alone, as plain columns, in the order of versions.
//!
//! A lane whose tombstones all lie above its floor needs none of them up to there. So a page below the floor is read from each table
//! by itself, as an index gives the rows: without records, without the merge of all tables, and the first row comes before the last
//! is found. It ends between transactions, unless one alone is larger than the page.
//!
//! Decision: book/src/decisions/pulling.md#a-page-of-a-first-sync-reads-plain-columns

mod sql;

use super::{
    encode,
    pools::Pools,
    statement::{KEY_PARTS, before},
};
use crate::schema::Schema;
use crate::store::{
    StoreError,
    limit::STATEMENT_TIMEOUT,
    read::{Change, LAST, LaneRead, Position, RowPage, RowState, Tie},
    sql::wire_columns,
};
use futures_util::TryStreamExt;
use nizhal_core::{Bucket, TableDesc};
use sqlx::{AssertSqlSafe, Either, Executor, PgConnection, Postgres, postgres::PgArguments, query::Query};

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
            let (one, many) = (sql::one(synced), sql::many(rule, synced));
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
        Self { tables, end: sql::end(rules), rules: params }
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
        let (from, read) = (lane.from.clone(), Vec::new());
        let mut scan = Scan { sql: self, pools, db, lane, from, limit: lane.limit, max_bytes, read };
        let position = scan.read(to).await?;
        Ok(page(scan.read, position))
    }
}

/// One page while it is read.
struct Scan<'a> {
    sql: &'a RowPageSql,
    pools: &'a Pools,
    db: &'a mut PgConnection,
    lane: &'a LaneRead<'a>,
    /// After what was read.
    from: Position,
    /// How many rows the page still takes …
    limit: usize,
    /// … and how many bytes.
    max_bytes: usize,
    read: Vec<Rows>,
}

impl Scan<'_> {
    /// Reads the page, and gives its end.
    async fn read(&mut self, to: i64) -> Result<Position, StoreError> {
        if self.from.tie.is_some() {
            self.inside(self.from.version).await?;
            let is_full = self.from.tie.is_some() || self.limit == 0 || self.max_bytes == 0;
            if is_full || self.from.version >= to {
                return Ok(self.from.clone());
            }
        }
        // One that is larger than the page.
        let large = match self.end(to).await? {
            Some((first, last)) if first == last => first,
            end => match self.whole(end.map_or(to, |(_, last)| last - 1)).await? {
                Ok(done) => return Ok(Position::after(done)),
                Err(version) => version,
            },
        };
        if self.read.iter().any(|rows| !rows.ends.is_empty()) {
            return Ok(Position::after(large - 1));
        }
        self.inside(large).await?;
        Ok(self.from.clone())
    }

    /// The first version that there is, and that of the first row behind the page, where there is one among several tables.
    async fn end(&mut self, to: i64) -> Result<Option<(i64, i64)>, StoreError> {
        let RowPageSql { tables, end, rules } = self.sql;
        if tables.len() < 2 {
            return Ok(None);
        }
        let limit = i64::try_from(self.limit + 1).unwrap_or(i64::MAX);
        let mut query = sqlx::query_as(AssertSqlSafe(end.as_str())).bind(to).bind(self.from.version).bind(limit);
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

    /// Reads whole transactions up to a version, and gives the last one; or the first one, where it alone is larger than the page.
    async fn whole(&mut self, mut to: i64) -> Result<Result<i64, i64>, StoreError> {
        let (wanted, mut read) = (to, Vec::<Rows>::new());
        for table in &self.sql.tables {
            let rows = self.rows(table, to).await?;
            to = rows.next.map_or(to, |next| next - 1);
            read.push(rows);
            to = to.min(bytes_end(&read, self.max_bytes).map_or(to, |next| next - 1));
            read.iter_mut().for_each(|rows| rows.cut(to));
        }
        if to < wanted && read.iter().all(|rows| rows.ends.is_empty()) {
            return Ok(Err(to + 1));
        }
        self.read.extend(read);
        Ok(Ok(to))
    }

    /// Reads as much of one version as the page takes: tables one after the other.
    async fn inside(&mut self, version: i64) -> Result<(), StoreError> {
        let mut last = self.from.tie.clone();
        for table in &self.sql.tables {
            let rows = self.rows(table, version).await?;
            self.limit -= rows.ends.len();
            self.max_bytes = self.max_bytes.saturating_sub(rows.json.len());
            let is_cut = rows.next.is_some();
            last = rows.last.clone().map(|key| Tie { slot: table.slot, key }).or(last);
            self.read.push(rows);
            if is_cut {
                self.from = Position { version, tie: last };
                return Ok(());
            }
        }
        self.from = Position::after(version);
        Ok(())
    }

    /// The first rows of a table, up to as many and as many bytes as the page takes.
    async fn rows(&mut self, table: &Table, to: i64) -> Result<Rows, StoreError> {
        let mut rows = Rows { slot: table.slot, ..Rows::default() };
        let buckets = self.lane.buckets.iter().filter(|bucket| bucket.rule == table.rule);
        let buckets: Vec<&Bucket> = buckets.filter(|bucket| bucket.params.len() == table.params).collect();
        if buckets.is_empty() {
            return Ok(rows);
        }
        let lane = LaneRead { from: &self.from, limit: self.limit, ..*self.lane };
        let query = table.query(&buckets, &lane, to);
        let (wire, mut types, mut last) = (table.before.len(), Vec::new(), None);
        // Not `fetch`, which is this and a layer more around every row.
        let mut steps = self.db.fetch_many(query);
        while let Some(step) = self.pools.wait(STATEMENT_TIMEOUT, steps.try_next()).await? {
            let Either::Right(row) = step else { continue };
            let version = encode::int8(&row, wire)?;
            if rows.ends.last().is_some_and(|(last, _)| version < *last) {
                return Err(sqlx::Error::Protocol("rows came out of order".to_owned()).into());
            }
            if rows.ends.len() == self.limit || rows.json.len() >= self.max_bytes {
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
                let state = RowState::Unreadable(wire_columns(table.desc)[at].0);
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
    fn query(&self, buckets: &[&Bucket], lane: &LaneRead<'_>, to: i64) -> Query<'_, Postgres, PgArguments> {
        let (version, parts) = lane.rows_after(self.slot);
        let sql = if buckets.len() == 1 { &self.one } else { &self.many };
        let mut query = sqlx::query(AssertSqlSafe(sql.as_str())).bind(to).bind(version);
        for part in parts.iter().map(String::as_str).chain(std::iter::repeat(LAST)).take(KEY_PARTS) {
            query = query.bind(part.to_owned());
        }
        query = query.bind(i64::try_from(lane.limit + 1).unwrap_or(i64::MAX));
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
