//! Writers from outside this process, heard so that their writes ping too.

use super::{Backend, Store, StoreError, note, postgres::SOMETHING};
use crate::engine::Bucket;
use sqlx::postgres::PgListener;
use std::time::Duration;

/// How often a SQLite file is looked at: it has no way to call.
const LOOK: Duration = Duration::from_millis(250);

/// Hears of writes that this process did not make. What it says are hints, as all pings are.
#[derive(Debug)]
pub enum Outside {
    /// LISTEN on a connection of its own.
    #[doc(hidden)]
    Postgres(PgListener),
    /// A look at the note, now and then.
    #[doc(hidden)]
    Sqlite,
}

impl Store {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outside(&self) -> Result<Outside, StoreError> {
        match &self.backend {
            Backend::Postgres(store) => store.outside().await,
            Backend::Sqlite(_) => Ok(Outside::Sqlite),
        }
    }

    /// Waits for the next writes; `None` when some may have been missed and everybody should pull.
    ///
    /// # Errors
    /// When the database fails; it may be asked again.
    pub async fn heard(&self, outside: &mut Outside) -> Result<Option<Vec<Bucket>>, StoreError> {
        match (outside, &self.backend) {
            (Outside::Postgres(listener), _) => match listener.try_recv().await? {
                Some(notification) if notification.payload() != SOMETHING => {
                    Ok(Some(shown([notification.payload().to_owned()])))
                }
                // Too long to say, or the connection was lost and is back.
                _ => Ok(None),
            },
            (Outside::Sqlite, Backend::Sqlite(store)) => loop {
                let buckets = shown(store.outside_notes().await?);
                if !buckets.is_empty() {
                    return Ok(Some(buckets));
                }
                tokio::time::sleep(LOOK).await;
            },
            (Outside::Sqlite, Backend::Postgres(_)) => unreachable!("a store hears with its own kind of ear"),
        }
    }
}

fn shown(lines: impl IntoIterator<Item = String>) -> Vec<Bucket> {
    let touched = lines.into_iter().filter_map(|line| note::parse(&line).ok());
    let mut buckets: Vec<Bucket> = touched.filter(|touched| touched.shown).map(|touched| touched.bucket).collect();
    buckets.sort();
    buckets.dedup();
    buckets
}
