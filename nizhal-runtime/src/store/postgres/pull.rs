//! Pulls on Postgres: the horizon, then one statement, which is a snapshot of its own; or an idle probe, which is enough when nothing is new.
//!
//! Decision: book/src/decisions/pulling.md#a-pull-with-nothing-new-is-an-idle-probe

use super::{
    PostgresStore, encode,
    header::{array, provisioned, read_into},
    rows::Rows,
    statement::{KEY_PARTS, PullSql, kind},
};
use crate::store::{
    StoreError,
    limit::ANSWER_TIMEOUT,
    read::{Clock, IdleProbe, LAST, LaneRead, LineTaker, PullHeader, PullQuery, RowPage, START, Unreadable},
};
use futures_util::FutureExt;
use sqlx::{
    AssertSqlSafe, PgConnection, Postgres, Row, Transaction, pool::PoolConnection, postgres::PgArguments, query::Query,
};

/// Where a pull reads, and what was known of the clock before.
pub(crate) struct PullReader<'a> {
    store: &'a PostgresStore,
    clock: Clock,
    /// Rows that a lane read to its end could not tell.
    unreadable: Vec<Unreadable>,
    /// From an idle probe, when it showed that nothing is above the horizon.
    header: Option<PullHeader>,
    on: On,
}

enum On {
    /// Each statement for itself, on a connection that is taken when it is needed.
    Each(Option<PoolConnection<Postgres>>),
    /// All in one moment.
    RepeatableRead(Transaction<'static, Postgres>),
}

impl PostgresStore {
    /// Where a pull reads.
    pub(in crate::store) async fn reader(
        &self,
        idle_probe: Option<IdleProbe<'_>>,
    ) -> Result<PullReader<'_>, StoreError> {
        PullReader::open(self, idle_probe).await
    }
}

impl<'a> PullReader<'a> {
    /// Reads the horizon *before* any statement; the order is what the version clock rests on (`clock.rs`). An idle probe reads no change.
    pub(super) async fn open(store: &'a PostgresStore, idle_probe: Option<IdleProbe<'_>>) -> Result<Self, StoreError> {
        let compute = async || {
            // It has no effect, so it may be asked again.
            match store.pools.wait_to_begin(begin(store, idle_probe).boxed()).await {
                Err(error) if store.pools.is_dead(&error) => {
                    store.pools.wait_to_begin(begin(store, idle_probe).boxed()).await
                }
                begun => begun,
            }
        };
        let (clock, own) = store.flights.share(compute).await?;
        let (header, db) = own.map_or((None, None), |(header, db)| (header, Some(db)));
        let header = header.filter(|_| clock.last == clock.horizon);
        Ok(Self { store, clock, header, on: On::Each(db), unreadable: Vec::new() })
    }

    /// What could not be told since the last call.
    pub(crate) fn take_unreadable(&mut self) -> Vec<Unreadable> {
        std::mem::take(&mut self.unreadable)
    }

    /// Whether what an idle probe gave is all that is wanted where nothing is left to read.
    pub(crate) fn has_header(&self) -> bool {
        self.header.is_some()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// From here on every statement sees the same moment, which may last for this long between two of them.
    pub(crate) async fn hold(&mut self, seconds: u64) -> Result<(), StoreError> {
        if let On::Each(db) = &mut self.on {
            // Given back first: who holds one connection and waits for another may wait for ever.
            drop(db.take());
            let begin = || self.store.pool().begin_with("begin isolation level repeatable read read only").boxed();
            let tx = match self.store.pools.wait_to_begin(begin()).await {
                Err(error) if self.store.pools.is_dead(&error) => self.store.pools.wait_to_begin(begin()).await?,
                begun => begun?,
            };
            self.on = On::RepeatableRead(tx);
        }
        let pools = &self.store.pools;
        let sql = format!("set local idle_in_transaction_session_timeout = '{seconds}s'");
        let set = sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.connection().await?);
        pools.wait(ANSWER_TIMEOUT, set).await.map(drop)
    }

    /// The connection, for statements that both databases share.
    pub(crate) async fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        match &mut self.on {
            On::RepeatableRead(tx) => Ok(&mut *tx),
            On::Each(db) => match db {
                Some(db) => Ok(&mut *db),
                none => {
                    let db = self.store.pools.wait(ANSWER_TIMEOUT, self.store.pool().acquire()).await?;
                    Ok(&mut *none.insert(db))
                }
            },
        }
    }

    /// Gives every row that is left in a lane that needs no tombstones, as [`FullScanSql::stream`] says.
    pub(crate) async fn full_scan<T: LineTaker>(
        &mut self,
        lane: &LaneRead<'_>,
        heads: &[Vec<u8>],
        taker: &mut T,
    ) -> Result<bool, T::Error> {
        if self.store.full_scan.may_repeat() {
            return Ok(false);
        }
        let unreadable = self.scan_lane(lane, heads, taker).await?;
        self.unreadable.extend(unreadable);
        Ok(true)
    }

    /// The same in buckets that share no row; returns what could not be told.
    pub(crate) async fn scan_lane<T: LineTaker>(
        &mut self,
        lane: &LaneRead<'_>,
        heads: &[Vec<u8>],
        taker: &mut T,
    ) -> Result<Vec<Unreadable>, T::Error> {
        let (horizon, sql, pools) = (self.clock.horizon, &self.store.full_scan, &self.store.pools);
        sql.stream(pools, self.connection().await?, horizon, lane, heads, taker).await
    }

    /// Whether pages of rows alone can be read.
    pub(crate) fn gives_row_pages(&self) -> bool {
        !self.store.row_page.is_empty()
    }

    /// The first rows of a lane, as [`RowPageSql::read`] says.
    pub(crate) async fn row_page(
        &mut self,
        lane: &LaneRead<'_>,
        to: i64,
        max_bytes: usize,
    ) -> Result<RowPage, StoreError> {
        let store = self.store;
        store.row_page.read(&store.pools, self.connection().await?, lane, (to, max_bytes)).await
    }

    /// All that an answer says; nothing behind the header where an idle probe gave it.
    pub(crate) async fn query(
        &mut self,
        pull_query: &PullQuery<'_>,
    ) -> Result<(PullHeader, Option<Rows<'_>>), StoreError> {
        if let Some(header) = self.header.take_if(|_| pull_query.needs_header_only()) {
            return Ok((header, None));
        }
        let pull = &self.store.sql;
        let query = bind(pull, pull_query, self.clock.horizon);
        let pools = &self.store.pools;
        let rows = query.fetch(self.connection().await?);
        let mut rows = Rows::new(pull, pools, rows);
        let header = rows.header().await?;
        Ok((header, Some(rows)))
    }

    /// Ends the snapshot. Dropping it does so too, a little later.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        match self.on {
            On::RepeatableRead(tx) => self.store.pools.wait(ANSWER_TIMEOUT, tx.commit()).await,
            On::Each(_) => Ok(()),
        }
    }
}

/// The clock, with the header of an idle probe, and the connection that it was read on.
async fn begin(
    store: &PostgresStore,
    idle_probe: Option<IdleProbe<'_>>,
) -> Result<(Clock, (Option<PullHeader>, PoolConnection<Postgres>)), StoreError> {
    let mut db = store.pool().acquire().await?;
    let (clock, header) = match idle_probe {
        None => (horizon(&mut db).await?, None),
        Some(idle_probe) => {
            let (clock, header) = probe(&mut db, &store.sql, idle_probe).await?;
            (clock, Some(header))
        }
    };
    Ok((clock, (header, db)))
}

async fn horizon(db: &mut PgConnection) -> Result<Clock, StoreError> {
    let sql = "select clock, horizon, lives, place from _nizhal_horizon()";
    let (last, horizon, incarnation, wal_lsn) = sqlx::query_as(sql).fetch_one(db).await?;
    Ok(Clock { last, horizon, incarnation, wal_lsn })
}

/// The horizon, and the header in the same round trip. The parameters are in the order that `statement.rs` names.
async fn probe(
    db: &mut PgConnection,
    sql: &PullSql,
    idle_probe: IdleProbe<'_>,
) -> Result<(Clock, PullHeader), StoreError> {
    let mut query = sqlx::query(AssertSqlSafe(sql.idle_probe.as_str()))
        .bind(client(idle_probe.client))
        .bind(idle_probe.principal.key().to_owned());
    for arg in sql.scope.values(idle_probe.principal) {
        query = query.bind(arg.text);
    }
    let (mut clock, mut header) = (None, PullHeader::default());
    for row in query.fetch_all(db).await? {
        match encode::int4(&row, 0)? {
            kind::CLOCK => {
                let [incarnation, wal_lsn] = array(&row)?;
                let wal_lsn = wal_lsn.parse().map_err(|_| sqlx::Error::Decode("a place is a number".into()))?;
                clock = Some(Clock { last: row.try_get(3)?, horizon: row.try_get(4)?, incarnation, wal_lsn });
            }
            kind => read_into(&mut header, kind, &row)?,
        }
    }
    let clock = clock.ok_or_else(|| sqlx::Error::Decode("an answer without a clock".into()))?;
    Ok((clock, provisioned(header)?))
}

/// Postgres takes no U+0000, so nobody's id has one.
fn client(id: Option<&str>) -> Option<String> {
    id.filter(|id| !id.contains('\0')).map(str::to_owned)
}

/// In the order that `statement.rs` names.
fn bind<'q>(sql: &'q PullSql, pull_query: &PullQuery<'_>, to: i64) -> Query<'q, Postgres, PgArguments> {
    let gained = i32::try_from(pull_query.lanes.len()).unwrap_or(i32::MAX);
    let last = LaneRead { from: START, floor: to, buckets: &[], limit: pull_query.gained };
    let lanes: Vec<(i32, &LaneRead<'_>)> =
        (0..).zip(pull_query.lanes.iter().chain([&last])).filter(|(_, lane)| lane.limit > 0).collect();
    let (mut versions, mut keys) = (Vec::new(), Vec::new());
    let (mut gone_v, mut gone_tbl, mut gone_id) = (Vec::new(), Vec::new(), Vec::new());
    for (_, lane) in &lanes {
        for slot in 0..sql.tables.len() {
            let (version, parts) = lane.rows_after(slot);
            versions.push(version);
            keys.extend(
                parts.iter().map(String::as_str).chain(std::iter::repeat(LAST)).take(KEY_PARTS).map(str::to_owned),
            );
        }
        let (version, tbl, id) = lane.tombstones_after(&sql.tables);
        gone_v.push(version);
        gone_tbl.push(tbl.to_owned());
        gone_id.push(id.to_owned());
    }
    let limit = |lane: &LaneRead<'_>| i64::try_from(lane.limit + 1).unwrap_or(i64::MAX);
    let mut query = sqlx::query(AssertSqlSafe(sql.text.as_str()))
        .bind(to)
        .bind(lanes.iter().map(|(number, _)| *number).collect::<Vec<i32>>())
        .bind(lanes.iter().map(|(_, lane)| limit(lane)).collect::<Vec<i64>>())
        .bind(lanes.iter().map(|(_, lane)| lane.floor).collect::<Vec<i64>>())
        .bind(versions)
        .bind(keys)
        .bind(gone_v)
        .bind(gone_tbl)
        .bind(gone_id)
        .bind(client(pull_query.client))
        .bind(pull_query.principal.key().to_owned())
        .bind(gained)
        .bind(i64::try_from(pull_query.max_buckets).unwrap_or(i64::MAX).saturating_add(1));
    for arg in sql.scope.values(pull_query.principal) {
        query = query.bind(arg.text);
    }
    for claim in &sql.claims {
        query = query.bind(claim.get(pull_query.principal).map(|value| value.to_string()));
    }
    for (rule, params) in &sql.rules {
        let buckets_of_rule = || {
            let lanes = (0..).zip(&pull_query.lanes);
            let buckets = lanes.flat_map(|(number, lane)| lane.buckets.iter().map(move |bucket| (number, bucket)));
            buckets.filter(|(_, bucket)| bucket.rule == *rule && bucket.params.len() == *params)
        };
        query = query.bind(buckets_of_rule().map(|(number, _): (i32, _)| number).collect::<Vec<i32>>());
        for at in 0..*params {
            query = query.bind(buckets_of_rule().map(|(_, bucket)| bucket.params[at].clone()).collect::<Vec<String>>());
        }
    }
    query
}
