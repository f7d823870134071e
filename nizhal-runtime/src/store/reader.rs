//! Where a pull reads: one moment of the database, whichever it is.

use super::{
    Clock, IdleProbe, LaneRead, LineTaker, Position, PullQuery, RowPage, StoreError, Unreadable,
    database::{Backend, Store},
    postgres,
    pull_rows::PullRows,
    sql::Dialect,
    sqlite,
};
use crate::schema::Schema;
use nizhal_core::Bucket;
use std::sync::Arc;

impl Store {
    /// Where a pull reads: the clock is read now, and each [`query`](PullReader::query) is answered from one snapshot.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reader(&self) -> Result<PullReader<'_>, StoreError> {
        self.open(None).await
    }

    /// The same for a pull that likely finds nothing new: the header comes with the clock where that spares a round trip.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn idle_probe(&self, idle_probe: IdleProbe<'_>) -> Result<PullReader<'_>, StoreError> {
        self.open(Some(idle_probe)).await
    }

    async fn open(&self, idle_probe: Option<IdleProbe<'_>>) -> Result<PullReader<'_>, StoreError> {
        let on = match &self.backend {
            Backend::Postgres(store) => ReaderOn::Postgres(store.reader(idle_probe).await?),
            Backend::Sqlite(store) => ReaderOn::Sqlite(store.reader().await?),
        };
        Ok(PullReader { store: self, on })
    }
}

/// Where a pull reads.
pub struct PullReader<'a> {
    store: &'a Store,
    pub(super) on: ReaderOn<'a>,
}

pub(super) enum ReaderOn<'a> {
    Postgres(postgres::PullReader<'a>),
    Sqlite(sqlite::PullReader<'a>),
}

/// Runs one statement that both databases share on the snapshot's connection.
macro_rules! on_both {
    ($reader:expr, $query:expr, $fetch:ident) => {
        match &mut $reader.on {
            ReaderOn::Postgres(reader) => $query.$fetch(reader.connection().await?).await?,
            ReaderOn::Sqlite(reader) => $query.$fetch(reader.connection()).await?,
        }
    };
}
pub(super) use on_both;

impl PullReader<'_> {
    /// What was known of the clock before anything was read.
    pub fn clock(&self) -> &Clock {
        match &self.on {
            ReaderOn::Postgres(reader) => reader.clock(),
            ReaderOn::Sqlite(reader) => reader.clock(),
        }
    }

    /// Whether an [idle probe](Store::idle_probe) gave all that a pull needs which has nothing up to the horizon left to read.
    pub fn has_header(&self) -> bool {
        match &self.on {
            ReaderOn::Postgres(reader) => reader.has_header(),
            ReaderOn::Sqlite(_) => false,
        }
    }

    /// All that an answer says, from one moment: on Postgres that of this one statement, unless it is [held](Self::hold).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn query(&mut self, pull_query: &PullQuery<'_>) -> Result<PullRows<'_>, StoreError> {
        match &mut self.on {
            ReaderOn::Postgres(reader) => Ok(PullRows::postgres(reader.query(pull_query).await?)),
            ReaderOn::Sqlite(reader) => Ok(PullRows::sqlite(reader.query(pull_query).await?)),
        }
    }

    /// Gives every row that is left in a lane of a snapshot that is held and that needs no tombstones: a line's worth of JSON
    /// objects with commas between, behind the head of their slot, and how many. False, and nothing is given, where that cannot
    /// be done.
    ///
    /// # Errors
    /// When the database fails, or the reader.
    pub async fn full_scan<T: LineTaker>(
        &mut self,
        lane: &LaneRead<'_>,
        heads: &[Vec<u8>],
        taker: &mut T,
    ) -> Result<bool, T::Error> {
        match &mut self.on {
            ReaderOn::Postgres(reader) => reader.full_scan(lane, heads, taker).await,
            ReaderOn::Sqlite(_) => Ok(false),
        }
    }

    /// The same of one bucket, whose rows come once whatever the rules are; a snapshot must be held. Returns the rows that cannot be
    /// told.
    ///
    /// # Errors
    /// When the database fails, or the reader.
    pub async fn scan_bucket<T: LineTaker>(
        &mut self,
        bucket: &Bucket,
        after: i64,
        heads: &[Vec<u8>],
        taker: &mut T,
    ) -> Result<Vec<Unreadable>, T::Error> {
        let (from, buckets) = (Position::after(after), std::slice::from_ref(bucket));
        let lane = LaneRead { from: &from, floor: 0, buckets, limit: 0 };
        match &mut self.on {
            ReaderOn::Postgres(reader) => reader.scan_lane(&lane, heads, taker).await,
            ReaderOn::Sqlite(reader) => reader.scan_lane(&lane, heads, taker).await,
        }
    }

    /// The app's schema.
    pub(super) fn schema(&self) -> &Arc<Schema> {
        &self.store.schema
    }

    /// How the SQL of its database is written.
    pub(super) fn dialect(&self) -> Dialect {
        self.store.dialect()
    }

    /// Whether [`row_page`](Self::row_page) gives pages.
    pub fn gives_row_pages(&self) -> bool {
        match &self.on {
            ReaderOn::Postgres(reader) => reader.gives_row_pages(),
            ReaderOn::Sqlite(_) => false,
        }
    }

    /// The first rows of a lane of a snapshot that is held, up to a version below which it needs no tombstones, and up to so many
    /// bytes; `None` where the database gives no such pages.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn row_page(
        &mut self,
        lane: &LaneRead<'_>,
        to: i64,
        max_bytes: usize,
    ) -> Result<Option<RowPage>, StoreError> {
        match &mut self.on {
            ReaderOn::Postgres(reader) => reader.row_page(lane, to, max_bytes).await.map(Some),
            ReaderOn::Sqlite(_) => Ok(None),
        }
    }

    /// The rows that [`full_scan`](Self::full_scan) could not tell since the last call.
    pub fn take_unreadable(&mut self) -> Vec<Unreadable> {
        match &mut self.on {
            ReaderOn::Postgres(reader) => reader.take_unreadable(),
            ReaderOn::Sqlite(_) => Vec::new(),
        }
    }

    /// Keeps one moment for all that is asked from here on; it may last for this long between two statements.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hold(&mut self, seconds: u64) -> Result<(), StoreError> {
        match &mut self.on {
            ReaderOn::Postgres(reader) => reader.hold(seconds).await,
            ReaderOn::Sqlite(_) => Ok(()),
        }
    }

    /// The highest mutation of this client whose writes are at or below `version`, among those up to `last`.
    ///
    /// No snapshot is needed: what is at or below a pull's horizon does not change, and `last` keeps out what came after the header
    /// that it was read from. Versions grow along a client's sequence, so the first one that fits, from the end, is the highest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_mutation(&mut self, client_id: &str, last: i64, version: i64) -> Result<Option<i64>, StoreError> {
        let sql = "select mutation_id from _nizhal_mutations where client_id = $1 and mutation_id <= $2 and version <= $3 \
            order by mutation_id desc limit 1";
        let found: Option<i64> =
            on_both!(self, sqlx::query_scalar(sql).bind(client_id).bind(last).bind(version), fetch_optional);
        Ok(found)
    }

    /// The mutations of the client that got another result when they ran again, in versions above `since` and up to `until`: each with its
    /// status and reason as stored. By `_nizhal_actions (client_id, revised)` and the primary key of the results.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revised(
        &mut self,
        (client_id, actor): (&str, &str),
        since: i64,
        until: i64,
    ) -> Result<Vec<(String, String, Option<String>)>, StoreError> {
        let sql = "select a.id, a.status, m.reason from _nizhal_actions a left join _nizhal_mutations m on m.actor = a.actor \
            and m.client_mutation_id = a.id where a.client_id = $1 and a.actor = $2 and a.revised > 0 and a.revised > $3 \
            and a.revised <= $4 order by a.revised, a.pos";
        let found = on_both!(self, sqlx::query_as(sql).bind(client_id).bind(actor).bind(since).bind(until), fetch_all);
        Ok(found)
    }

    /// Whether this incarnation ended, and not before it had reached this WAL position.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn has_reached(&mut self, incarnation: &str, wal_lsn: i64) -> Result<bool, StoreError> {
        let sql = "select 1 from _nizhal_lives where life = $1 and reached >= $2";
        let found: Option<i32> =
            on_both!(self, sqlx::query_scalar(sql).bind(incarnation).bind(wal_lsn), fetch_optional);
        Ok(found.is_some())
    }

    /// A remembered set of buckets; the same whenever it is read, so a copy will do.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn buckets(&mut self, id: &str) -> Result<Option<Arc<str>>, StoreError> {
        if let Some(set) = self.store.bucket_sets.get(id) {
            return Ok(Some(set));
        }
        let sql = "select buckets from _nizhal_bucket_sets where id = $1";
        let found: Option<String> = on_both!(self, sqlx::query_scalar(sql).bind(id), fetch_optional);
        let Some(found) = found else { return Ok(None) };
        let set: Arc<str> = found.into();
        self.store.bucket_sets.keep(id, set.clone());
        Ok(Some(set))
    }

    /// Ends the snapshot.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close(self) -> Result<(), StoreError> {
        match self.on {
            ReaderOn::Postgres(reader) => reader.close().await,
            ReaderOn::Sqlite(reader) => reader.close().await,
        }
    }
}
