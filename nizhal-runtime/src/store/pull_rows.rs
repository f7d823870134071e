//! The answer of a snapshot as it comes, whichever database it comes from.

use super::{
    StoreError, postgres,
    read::{Change, Image, PullHeader},
    sqlite,
};

/// An answer as it comes: the header, then the lanes one after the other, then the images.
pub struct PullRows<'s> {
    /// What came first.
    pub header: PullHeader,
    source: Source<'s>,
}

enum Source<'s> {
    Nothing,
    Postgres(postgres::Rows<'s>),
    Sqlite(sqlite::Lanes<'s>),
}

impl<'s> PullRows<'s> {
    pub(super) fn postgres((header, rows): (PullHeader, Option<postgres::Rows<'s>>)) -> Self {
        Self { header, source: rows.map_or(Source::Nothing, Source::Postgres) }
    }

    pub(super) fn sqlite((header, lanes): (PullHeader, sqlite::Lanes<'s>)) -> Self {
        Self { header, source: Source::Sqlite(lanes) }
    }

    /// The version of the next change of this lane; lanes are asked for in turn, and what is left of earlier ones is dropped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_in(&mut self, lane: usize) -> Result<Option<i64>, StoreError> {
        match &mut self.source {
            Source::Nothing => Ok(None),
            Source::Postgres(rows) => rows.next_in(lane).await,
            Source::Sqlite(lanes) => lanes.next_in(lane).await,
        }
    }

    /// That change; `None` when it is past what was asked for and only known to be there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn take_change(&mut self) -> Result<Option<Change>, StoreError> {
        match &mut self.source {
            Source::Nothing => Ok(None),
            Source::Postgres(rows) => rows.take_change(),
            Source::Sqlite(lanes) => Ok(lanes.take_change()),
        }
    }

    /// After all lanes: the next living row of which some lane had a tombstone, once for each bucket that shows it. The bucket
    /// may be another actor's, and the tombstone one that was not taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn image(&mut self) -> Result<Option<Image>, StoreError> {
        match &mut self.source {
            Source::Nothing => Ok(None),
            Source::Postgres(rows) => rows.image().await,
            Source::Sqlite(lanes) => lanes.image().await,
        }
    }
}
