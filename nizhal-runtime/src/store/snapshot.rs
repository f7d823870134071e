//! Where a pull reads: one moment of the database, whichever it is.

use super::{
    Ask, Clock, Glance, LaneRead, StoreError, Unreadable,
    answer::Answer,
    database::{Backend, Store},
    postgres, sqlite,
};
use std::sync::Arc;

impl Store {
    /// Where a pull reads: the clock is read now, and each [`ask`](Snapshot::ask) is answered from one snapshot.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        self.open(None).await
    }

    /// The same for a pull that likely finds nothing new: the frame comes with the clock where that spares a round trip.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn glance(&self, glance: Glance<'_>) -> Result<Snapshot<'_>, StoreError> {
        self.open(Some(glance)).await
    }

    async fn open(&self, glance: Option<Glance<'_>>) -> Result<Snapshot<'_>, StoreError> {
        let on = match &self.backend {
            Backend::Postgres(store) => SnapshotOn::Postgres(store.snapshot(glance).await?),
            Backend::Sqlite(store) => SnapshotOn::Sqlite(store.snapshot().await?),
        };
        Ok(Snapshot { store: self, on })
    }
}

/// Where a pull reads.
pub struct Snapshot<'a> {
    store: &'a Store,
    on: SnapshotOn<'a>,
}

enum SnapshotOn<'a> {
    Postgres(postgres::Snapshot<'a>),
    Sqlite(sqlite::Snapshot<'a>),
}

/// Runs one statement that both databases share on the snapshot's connection.
macro_rules! on_both {
    ($snapshot:expr, $query:expr, $fetch:ident) => {
        match &mut $snapshot.on {
            SnapshotOn::Postgres(snapshot) => $query.$fetch(snapshot.connection().await?).await?,
            SnapshotOn::Sqlite(snapshot) => $query.$fetch(snapshot.connection()).await?,
        }
    };
}

impl Snapshot<'_> {
    /// What was known of the clock before anything was read.
    pub fn clock(&self) -> &Clock {
        match &self.on {
            SnapshotOn::Postgres(snapshot) => snapshot.clock(),
            SnapshotOn::Sqlite(snapshot) => snapshot.clock(),
        }
    }

    /// Whether a [glance](Store::glance) gave all that a pull needs which has nothing up to the horizon left to read.
    pub fn has_frame(&self) -> bool {
        match &self.on {
            SnapshotOn::Postgres(snapshot) => snapshot.has_frame(),
            SnapshotOn::Sqlite(_) => false,
        }
    }

    /// All that an answer says, from one moment: on Postgres that of this one statement, unless it is [held](Self::hold).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ask(&mut self, ask: &Ask<'_>) -> Result<Answer<'_>, StoreError> {
        match &mut self.on {
            SnapshotOn::Postgres(snapshot) => Ok(Answer::postgres(snapshot.ask(ask).await?)),
            SnapshotOn::Sqlite(snapshot) => Ok(Answer::sqlite(snapshot.ask(ask).await?)),
        }
    }

    /// Gives every row that is left in a lane of a snapshot that is held and that needs no tombstones: a line's worth of JSON
    /// objects with commas between, behind the head of their slot, and how many. False, and nothing is given, where that cannot
    /// be done.
    ///
    /// # Errors
    /// When the database fails, or the reader.
    pub async fn rest<E: From<StoreError>>(
        &mut self,
        lane: &LaneRead<'_>,
        heads: &[Vec<u8>],
        give: impl AsyncFnMut(Vec<u8>, usize) -> Result<(), E>,
    ) -> Result<bool, E> {
        match &mut self.on {
            SnapshotOn::Postgres(snapshot) => snapshot.rest(lane, heads, give).await,
            SnapshotOn::Sqlite(_) => Ok(false),
        }
    }

    /// The rows that [`rest`](Self::rest) could not tell since the last call.
    pub fn take_unreadable(&mut self) -> Vec<Unreadable> {
        match &mut self.on {
            SnapshotOn::Postgres(snapshot) => snapshot.take_unreadable(),
            SnapshotOn::Sqlite(_) => Vec::new(),
        }
    }

    /// Keeps one moment for all that is asked from here on; it may last for this long between two statements.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hold(&mut self, seconds: u64) -> Result<(), StoreError> {
        match &mut self.on {
            SnapshotOn::Postgres(snapshot) => snapshot.hold(seconds).await,
            SnapshotOn::Sqlite(_) => Ok(()),
        }
    }

    /// The highest mutation of this client whose writes are at or below `version`, among those up to `last`.
    ///
    /// No snapshot is needed: what is at or below a pull's horizon does not change, and `last` keeps out what came after the frame
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

    /// Whether this life ended, and not before it had reached this place.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn has_lived(&mut self, life: &str, place: i64) -> Result<bool, StoreError> {
        let sql = "select 1 from _nizhal_lives where life = $1 and reached >= $2";
        let found: Option<i32> = on_both!(self, sqlx::query_scalar(sql).bind(life).bind(place), fetch_optional);
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
            SnapshotOn::Postgres(snapshot) => snapshot.close().await,
            SnapshotOn::Sqlite(snapshot) => snapshot.close().await,
        }
    }
}
