//! Pulls on SQLite: one read transaction is the snapshot; the clock's value in it is the horizon.

use super::scan::{self, First, PullSql};
use crate::{
    scope::Choices,
    store::{
        StoreError,
        failpoint::Failpoints,
        read::{
            Change, Client, Clock, Image, LaneRead, LineTaker, Position, PullHeader, PullQuery, RowState, START, Tie,
            Unreadable,
        },
    },
};
use nizhal_core::{Bucket, key};
use sqlx::{AssertSqlSafe, Row, Sqlite, SqliteConnection, SqlitePool, Transaction};
use std::collections::{BTreeSet, VecDeque};

/// How many rows of a scan are read at once.
const SCAN_ROWS: usize = 1_000;

/// One snapshot of the file.
pub(crate) struct PullReader<'a> {
    sql: &'a PullSql,
    tx: Transaction<'static, Sqlite>,
    clock: Clock,
    failpoints: &'a Failpoints,
}

impl<'a> PullReader<'a> {
    pub(super) async fn open(
        readers: &SqlitePool,
        sql: &'a PullSql,
        failpoints: &'a Failpoints,
    ) -> Result<Self, StoreError> {
        failpoints.before(None).await?;
        let mut tx = readers.begin().await?;
        failpoints.before(None).await?;
        let clock: Option<i64> =
            sqlx::query_scalar("select clock from _nizhal_control where id = 1").fetch_optional(&mut *tx).await?;
        let clock = clock.ok_or_else(StoreError::no_control)?;
        let clock = Clock { last: clock, horizon: clock, incarnation: String::new(), wal_lsn: clock };
        Ok(Self { sql, tx, clock, failpoints })
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Sets the incarnation of the file that it is of.
    pub(super) fn set_incarnation(&mut self, incarnation: String) {
        self.clock.incarnation = incarnation;
    }

    /// The header, and the lanes to be read as they are asked for.
    pub(crate) async fn query(&mut self, pull_query: &PullQuery<'_>) -> Result<(PullHeader, Lanes<'_>), StoreError> {
        self.failpoints.before(None).await?;
        let mut query = sqlx::query(AssertSqlSafe(self.sql.scope.sql.as_str()));
        for arg in self.sql.scope.values(pull_query.principal) {
            query = match &arg.text {
                Some(text) => scan::bind(query, text, arg.sql),
                None => query.bind(None::<String>),
            };
        }
        let mut header = PullHeader::default();
        for row in query.fetch_all(&mut *self.tx).await? {
            let Ok(value) = String::from_utf8(row.try_get_unchecked(2)?) else {
                // Of another program; no bucket is called so.
                tracing::warn!(
                    principal = pull_query.principal.key(),
                    "a membership is passed over: its value is not UTF-8"
                );
                continue;
            };
            header.push_scope_row(row.try_get(0)?, row.try_get(1)?, value, row.try_get(3)?);
        }
        if let Some(client) = pull_query.client {
            let sql = "select last_mutation_id, last_version from _nizhal_clients where client_id = $1 and actor = $2";
            let query = sqlx::query_as(sql).bind(client.to_owned()).bind(pull_query.principal.key().to_owned());
            let found: Option<(i64, i64)> = query.fetch_optional(&mut *self.tx).await?;
            // The horizon is the snapshot's own clock: nothing is above it.
            header.client = found.map(|(last, last_version)| Client { last, last_version, outrun: false });
        }
        let last = LaneRead { from: START, floor: self.clock.horizon, buckets: &[], limit: pull_query.gained };
        // Of too many buckets none is read; the engine finds the same in the header, and refuses.
        let buckets =
            Choices::new(&self.sql.schema, pull_query.principal, &header.members).buckets(pull_query.max_buckets);
        let covered = pull_query.covered(buckets.unwrap_or_default());
        let lanes = pull_query
            .lanes
            .iter()
            .chain([&last])
            .zip(covered)
            .map(|(lane, buckets)| Lane { from: lane.from.clone(), floor: lane.floor, limit: lane.limit, buckets })
            .collect();
        let (sql, db, horizon) = (self.sql, &mut *self.tx, self.clock.horizon);
        let (read, gone) = (VecDeque::new(), BTreeSet::new());
        let lanes = Lanes {
            sql,
            db,
            horizon,
            lanes,
            max_bytes: pull_query.max_bytes,
            lane: None,
            read,
            left: None,
            gone,
            images: None,
        };
        Ok((header, lanes))
    }

    /// Gives every row that is left in a lane whose buckets share none: a line's worth of JSON objects with commas between, behind the
    /// head of their slot, and how many. Returns the rows that cannot be told.
    pub(crate) async fn scan_lane<T: LineTaker>(
        &mut self,
        lane: &LaneRead<'_>,
        heads: &[Vec<u8>],
        taker: &mut T,
    ) -> Result<Vec<Unreadable>, T::Error> {
        let (sql, horizon) = (self.sql, self.clock.horizon);
        let mut unreadable = Vec::new();
        for bucket in lane.buckets {
            for scan in sql.scans.iter().filter(|scan| scan.rule == bucket.rule) {
                let mut from = lane.from.clone();
                loop {
                    self.failpoints.before(None).await.map_err(StoreError::from)?;
                    let read = LaneRead { from: &from, limit: SCAN_ROWS, ..*lane };
                    let bounds = (horizon, usize::MAX);
                    let (changes, behind) = scan::rows(&mut self.tx, scan, &[bucket], &read, bounds).await?;
                    let (mut line, mut count) = (heads[scan.slot].clone(), 0);
                    for Change { version, slot, key, state } in changes {
                        match state {
                            RowState::Row(row) => {
                                if count > 0 {
                                    line.push(b',');
                                }
                                line.extend_from_slice(&row);
                                count += 1;
                            }
                            RowState::Unreadable(column) => unreadable.push(Unreadable {
                                table: sql.tables[slot].name.to_owned(),
                                id: key::join(&key),
                                column: column.to_owned(),
                            }),
                            RowState::Gone { .. } => {}
                        }
                        from = Position { version, tie: Some(Tie { slot, key }) };
                    }
                    if count > 0 {
                        taker.take(line, count).await?;
                    }
                    if behind.is_none() {
                        break;
                    }
                }
            }
        }
        Ok(unreadable)
    }

    /// The connection, for statements that both databases share.
    pub(crate) fn connection(&mut self) -> &mut sqlx::SqliteConnection {
        &mut self.tx
    }

    /// Ends the snapshot. Dropping it does so too, a little later.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        self.failpoints.before(None).await?;
        Ok(self.tx.commit().await?)
    }
}

/// One lane, in the buckets that are the actor's.
struct Lane {
    from: Position,
    floor: i64,
    limit: usize,
    buckets: Vec<Bucket>,
}

/// The lanes of an answer, each read when its turn comes.
pub(crate) struct Lanes<'s> {
    sql: &'s PullSql,
    db: &'s mut SqliteConnection,
    horizon: i64,
    lanes: Vec<Lane>,
    max_bytes: usize,
    /// The lane that `read` is of.
    lane: Option<usize>,
    read: VecDeque<Change>,
    /// The version of the lane's first change that was not read.
    left: Option<i64>,
    /// Of which tombstones were read: `(slot, id)`.
    gone: BTreeSet<(usize, String)>,
    images: Option<VecDeque<Image>>,
}

impl Lanes<'_> {
    pub(crate) async fn next_in(&mut self, lane: usize) -> Result<Option<i64>, StoreError> {
        if self.lane != Some(lane) {
            self.lane = Some(lane);
            let (changes, left) = match self.lanes.get(lane) {
                Some(lane) if lane.limit > 0 => read(self.db, self.sql, lane, self.horizon, self.max_bytes).await?,
                _ => (Vec::new(), None),
            };
            let gone = changes.iter().filter(|change| matches!(change.state, RowState::Gone { .. }));
            self.gone.extend(gone.filter_map(|change| Some((change.slot, change.key.first()?.clone()))));
            (self.read, self.left) = (changes.into(), left);
        }
        Ok(self.read.front().map(|change| change.version).or(self.left))
    }

    pub(crate) fn take_change(&mut self) -> Option<Change> {
        self.read.pop_front()
    }

    pub(crate) async fn image(&mut self) -> Result<Option<Image>, StoreError> {
        if self.images.is_none() {
            let mut images = VecDeque::new();
            for scan in &self.sql.scans {
                let gone = self.gone.iter().filter(|(slot, _)| *slot == scan.slot + self.sql.tables.len());
                let ids: Vec<&str> = gone.map(|(_, id)| id.as_str()).collect();
                images.extend(scan::images(self.db, scan, &ids).await?);
            }
            self.images = Some(images);
        }
        Ok(self.images.as_mut().and_then(VecDeque::pop_front))
    }
}

/// The lane's changes in order, and the version of the first that was left out.
///
/// Each statement gives its first ones; what is over the limit is dropped as it comes, so memory stays at a few pages.
async fn read(
    db: &mut SqliteConnection,
    sql: &PullSql,
    lane: &Lane,
    to: i64,
    max_bytes: usize,
) -> Result<(Vec<Change>, Option<i64>), StoreError> {
    let read = LaneRead { from: &lane.from, floor: lane.floor, buckets: &lane.buckets, limit: lane.limit };
    let limits = (lane.limit, max_bytes);
    let (mut changes, mut left) = (Vec::new(), Left::default());
    for scan in &sql.scans {
        let buckets: Vec<_> = lane.buckets.iter().filter(|bucket| bucket.rule == scan.rule).collect();
        if !buckets.is_empty() {
            left.add(&mut changes, scan::rows(db, scan, &buckets, &read, (to, max_bytes)).await?, limits);
        }
    }
    left.add(&mut changes, scan::tombstones(db, sql, &lane.buckets, &read, to).await?, limits);
    Ok((changes, left.0))
}

/// The lowest version that was left out; what is left out later may come before what was left out first.
#[derive(Default)]
struct Left(Option<i64>);

impl Left {
    /// Adds a statement's changes, and keeps the first of all in order.
    fn add(&mut self, changes: &mut Vec<Change>, (more, next): First, (limit, max_bytes): (usize, usize)) {
        self.lower_to(next);
        changes.extend(more);
        changes.sort_by(order);
        self.lower_to(cut(changes, limit));
        self.lower_to(bytes_end(changes, max_bytes).and_then(|index| cut(changes, index)));
    }

    fn lower_to(&mut self, version: Option<i64>) {
        self.0 = self.0.into_iter().chain(version).min();
    }
}

fn cut(changes: &mut Vec<Change>, index: usize) -> Option<i64> {
    let version = changes.get(index)?.version;
    changes.truncate(index);
    Some(version)
}

fn order(a: &Change, b: &Change) -> std::cmp::Ordering {
    (a.version, a.slot, &a.key).cmp(&(b.version, b.slot, &b.key))
}

/// The first change that is past the bytes allowed; never the very first.
fn bytes_end(changes: &[Change], max_bytes: usize) -> Option<usize> {
    let mut bytes = 0;
    for (index, change) in changes.iter().enumerate() {
        if index > 0 && bytes >= max_bytes {
            return Some(index);
        }
        if let RowState::Row(row) = &change.state {
            bytes += row.len();
        }
    }
    None
}
