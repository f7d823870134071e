//! All that is left in a lane of a stream, as plain rows: for first syncs, which are long.
//!
//! The statement of a pull carries tables of different columns as records, sorts its lanes, and knows of tombstones. A lane that
//! needs none of the latter, read to its end in one snapshot, needs none of this: its rows may come in any order, and plain
//! columns are what Postgres sends best. They come through a cursor, so that little has to be thrown away when the reader
//! leaves.
//!
//! Decision: book/src/decisions/pulling.md#a-streamed-first-sync-reads-plain-columns

use super::{
    encode,
    pools::Pools,
    statement::{KEY_PARTS, before, in_bucket},
};
use crate::schema::Schema;
use crate::store::{
    StoreError,
    limit::{ANSWER_TIMEOUT, STATEMENT_TIMEOUT},
    read::{LAST, LaneRead, LineTaker, Unreadable},
    sql::{self, DELETED_AT, Dialect, VERSION, col, quote},
};
use futures_util::TryStreamExt;
use nizhal_core::{Rule, RuleTable, TableDesc, key};
use sqlx::{AssertSqlSafe, Either, Executor, PgConnection, postgres::PgRow};

const DIALECT: Dialect = Dialect::Postgres;
/// How many rows are asked for at once. While the next ones are asked for the database has nothing to do, so not too few; what
/// is under way when a reader leaves is read and thrown away, so not too many.
const FETCH: usize = 20_000;
/// A line is sent when it has this many bytes.
const LINE: usize = 128 * 1024;
/// The parameters before those of the buckets: the horizon, the version and the key to read after.
const FIRST: usize = 2 + KEY_PARTS;

/// The statements, one for each table of each rule.
#[derive(Debug)]
pub(super) struct FullScanSql {
    tables: Vec<Table>,
    /// Whether a table is in several rules, so that a row may be in several buckets.
    repeats: bool,
}

#[derive(Debug)]
struct Table {
    rule: &'static str,
    slot: usize,
    desc: &'static TableDesc,
    declare: String,
    fetch: String,
    close: String,
    /// What stands before each value.
    before: Vec<Vec<u8>>,
}

impl FullScanSql {
    /// The statements of these rules.
    pub(super) fn new(schema: &Schema) -> Self {
        let (rules, slots) = (schema.rules(), schema.synced());
        let all = || rules.iter().flat_map(|rule| rule.tables.iter().map(move |synced| (rule, synced)));
        let repeats = slots.iter().any(|slot| all().filter(|(_, synced)| synced.table.name == slot.name).count() > 1);
        let tables = all().enumerate().map(|(at, (rule, synced))| {
            let slot = slots.iter().position(|table| table.name == synced.table.name).unwrap_or_default();
            let name = format!("nizhal_rest_{at}");
            Table {
                rule: rule.name,
                slot,
                desc: synced.table,
                declare: declare(&name, rule, synced),
                fetch: format!("fetch forward {FETCH} from {name}"),
                close: format!("close {name}"),
                before: before(synced.table),
            }
        });
        Self { tables: tables.collect(), repeats }
    }
}

/// By the table's index `(scope, version, key)`, or as the planner likes, which sees the buckets, where they are much of the table.
/// In no order: the rows of a large bucket would be sorted on the disk.
fn declare(name: &str, rule: &Rule, synced: &RuleTable) -> String {
    let table = synced.table;
    let array = |param: usize| format!("${}::text[]", FIRST + param + 1);
    let (tuples, mut conditions) = match (rule.params.len(), synced.scope.as_slice()) {
        (0, _) => (None, Vec::new()),
        (1, &[column]) => {
            let column = &table.columns[column];
            let held = format!("{} = any({}::{}[])", col("c", column), array(0), column.sql.postgres());
            (None, vec![held])
        }
        // Tuples are looked up one by one.
        (params, _) => {
            let (arrays, names): (Vec<_>, Vec<_>) = (0..params).map(|at| (array(at), format!("p{at}"))).unzip();
            (Some(format!("unnest({}) as p({})", arrays.join(", "), names.join(", "))), in_bucket(synced))
        }
    };
    let version = format!("c.{}", quote(VERSION));
    let keys: Vec<String> = table.key_columns().map(|key| DIALECT.sort_text(&col("c", key), key.sql)).collect();
    let after: Vec<String> = (0..keys.len()).map(|part| format!("${}::text", 3 + part)).collect();
    conditions.push(format!("({version}, {}) > ($2::int8, {})", keys.join(", "), after.join(", ")));
    conditions.push(format!("{version} <= $1::int8"));
    conditions.push(format!("c.{} is null", quote(DELETED_AT)));
    conditions.extend(synced.filters.iter().map(|filter| DIALECT.filter(table, filter, "c")));
    let columns: Vec<String> = sql::wire_columns(table).iter().map(|(name, _)| format!("c.{}", quote(name))).collect();
    let scan = format!("select {} from {} c where {}", columns.join(", "), quote(table.name), conditions.join(" and "));
    let select = match tuples {
        None => scan,
        // The limit is one that is never reached: it keeps the planner from pulling the scan up, so that it is done by an index
        // for each tuple.
        Some(tuples) => format!("select c.* from {tuples} cross join lateral ({scan} limit {}) c", i64::MAX),
    };
    format!("declare {name} no scroll cursor for {select}")
}

impl FullScanSql {
    /// Whether rows could come twice where several buckets are read.
    pub(super) fn may_repeat(&self) -> bool {
        self.repeats
    }

    /// Gives every row that is left in a lane that needs no tombstones: a line's worth of JSON objects with commas between,
    /// after what their slot's lines begin with, and how many. Returns the rows that cannot be told.
    pub(super) async fn stream<T: LineTaker>(
        &self,
        pools: &Pools,
        db: &mut PgConnection,
        horizon: i64,
        lane: &LaneRead<'_>,
        heads: &[Vec<u8>],
        taker: &mut T,
    ) -> Result<Vec<Unreadable>, T::Error> {
        // While it waits for the reader the statement waits too; the reader's patience bounds that.
        let unlimited = sqlx::raw_sql("set local statement_timeout = 0").execute(&mut *db);
        pools.wait(ANSWER_TIMEOUT, unlimited).await?;
        let mut unreadable = Vec::new();
        for table in &self.tables {
            unreadable.extend(table.full_scan(pools, db, horizon, lane, &heads[table.slot], taker).await?);
        }
        Ok(unreadable)
    }
}

impl Table {
    /// A row of which this column cannot be told, named by those that can.
    fn unreadable(&self, at: usize, types: &[u32], row: &PgRow) -> Result<Unreadable, sqlx::Error> {
        let columns = sql::wire_columns(self.desc);
        let mut parts = Vec::with_capacity(self.desc.key.len());
        for key in self.desc.key_columns() {
            let mut json = Vec::new();
            if let Some(at) = columns.iter().position(|(name, _)| *name == key.name)
                && let Some(bytes) = encode::bytes(row, at)?
            {
                encode::value(&mut json, types[at], bytes);
            }
            let value = serde_json::from_slice(&json).unwrap_or_default();
            parts.push(key::part(key.sql, &value).unwrap_or_default());
        }
        Ok(Unreadable { table: self.desc.name.to_owned(), id: key::join(&parts), column: columns[at].0.to_owned() })
    }

    async fn full_scan<T: LineTaker>(
        &self,
        pools: &Pools,
        db: &mut PgConnection,
        horizon: i64,
        lane: &LaneRead<'_>,
        head: &[u8],
        taker: &mut T,
    ) -> Result<Vec<Unreadable>, T::Error> {
        let buckets: Vec<_> = lane.buckets.iter().filter(|bucket| bucket.rule == self.rule).collect();
        let mut unreadable = Vec::new();
        let Some(first) = buckets.first() else { return Ok(unreadable) };
        let (version, parts) = lane.rows_after(self.slot);
        let mut query = sqlx::query(AssertSqlSafe(self.declare.as_str())).bind(horizon).bind(version);
        for part in parts.iter().map(String::as_str).chain(std::iter::repeat(LAST)).take(KEY_PARTS) {
            query = query.bind(part);
        }
        for at in 0..first.params.len() {
            query = query.bind(buckets.iter().map(|bucket| bucket.params[at].as_str()).collect::<Vec<_>>());
        }
        pools.wait(STATEMENT_TIMEOUT, query.execute(&mut *db)).await?;
        let begin = || {
            let mut line = Vec::with_capacity(LINE + LINE / 4);
            line.extend_from_slice(head);
            line
        };
        let mut types = Vec::new();
        loop {
            let mut fetched = 0;
            let (mut line, mut count) = (begin(), 0);
            // Not `fetch`, which is this and a layer more around every row.
            let mut rows = db.fetch_many(sqlx::query(AssertSqlSafe(self.fetch.as_str())));
            while let Some(step) = pools.wait(STATEMENT_TIMEOUT, rows.try_next()).await? {
                let Either::Right(row) = step else { continue };
                if types.is_empty() {
                    types = encode::types(&row);
                }
                fetched += 1;
                let start = line.len();
                if count > 0 {
                    line.push(b',');
                }
                if let Some(at) = encode::columns(&mut line, &self.before, &types, &row).map_err(StoreError::from)? {
                    line.truncate(start);
                    unreadable.push(self.unreadable(at, &types, &row).map_err(StoreError::from)?);
                    continue;
                }
                count += 1;
                if line.len() >= LINE {
                    taker.take(std::mem::replace(&mut line, begin()), std::mem::take(&mut count)).await?;
                }
            }
            drop(rows);
            if count > 0 {
                taker.take(line, count).await?;
            }
            if fetched < FETCH {
                break;
            }
        }
        let close = sqlx::raw_sql(AssertSqlSafe(self.close.as_str())).execute(&mut *db);
        pools.wait(ANSWER_TIMEOUT, close).await?;
        Ok(unreadable)
    }
}
