//! The answer of a snapshot as it comes, whichever database it comes from.

use super::{
    StoreError, postgres,
    read::{Change, Frame, Image},
    sqlite,
};

/// An answer as it comes: the frame, then the lanes one after the other, then the images.
pub struct Answer<'s> {
    /// What came first.
    pub frame: Frame,
    rest: Rest<'s>,
}

enum Rest<'s> {
    Nothing,
    Postgres(postgres::Rows<'s>),
    Sqlite(sqlite::Lanes<'s>),
}

impl<'s> Answer<'s> {
    pub(super) fn postgres((frame, rows): (Frame, Option<postgres::Rows<'s>>)) -> Self {
        Self { frame, rest: rows.map_or(Rest::Nothing, Rest::Postgres) }
    }

    pub(super) fn sqlite((frame, lanes): (Frame, sqlite::Lanes<'s>)) -> Self {
        Self { frame, rest: Rest::Sqlite(lanes) }
    }

    /// The version of the next change of this lane; lanes are asked for in turn, and what is left of earlier ones is dropped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_in(&mut self, lane: usize) -> Result<Option<i64>, StoreError> {
        match &mut self.rest {
            Rest::Nothing => Ok(None),
            Rest::Postgres(rows) => rows.next_in(lane).await,
            Rest::Sqlite(lanes) => lanes.next_in(lane).await,
        }
    }

    /// That change; `None` when it is past what was asked for and only known to be there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn take(&mut self) -> Result<Option<Change>, StoreError> {
        match &mut self.rest {
            Rest::Nothing => Ok(None),
            Rest::Postgres(rows) => rows.take(),
            Rest::Sqlite(lanes) => Ok(lanes.take()),
        }
    }

    /// After all lanes: the next living row of which some lane had a tombstone, once for each bucket that shows it. The bucket
    /// may be another actor's, and the tombstone one that was not taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn image(&mut self) -> Result<Option<Image>, StoreError> {
        match &mut self.rest {
            Rest::Nothing => Ok(None),
            Rest::Postgres(rows) => rows.image().await,
            Rest::Sqlite(lanes) => lanes.image().await,
        }
    }
}
