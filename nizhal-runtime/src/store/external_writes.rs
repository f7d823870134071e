//! Notifications from the database: writes that this process did not make, and messages of other servers.

use super::{
    StoreError,
    database::{Backend, Store},
    postgres::SOMETHING,
    write_set,
};
use nizhal_core::Bucket;
use sea_orm::{DbErr, RuntimeErr};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgListener;
use std::time::{Duration, Instant};

/// The interval at which a SQLite file is polled: it has no way to call.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The most bytes of a message to other servers; Postgres takes less than 8,000.
pub(crate) const MAX_MESSAGE_BYTES: usize = 7_900;

/// The source of notifications of writes that this process did not make. They are hints, as all pings are.
pub(crate) enum ExternalWrites {
    /// LISTEN on a connection of its own.
    Postgres { listener: PgListener, barrier_channel: String, message_channel: String },
    /// A poll of the write set; the first one comes at once.
    Sqlite { polled: bool },
}

/// A notification.
#[derive(Debug)]
pub(crate) enum Notification {
    /// Somebody wrote here.
    Wrote(Vec<Bucket>),
    /// Somebody wrote, and it is too long to say where.
    Something,
    /// A message of another server, or of this one.
    Message(String),
    /// Our own LISTEN barrier of this number: all that was committed before it has arrived.
    ListenBarrier(u64),
    /// All that was committed before this instant has arrived.
    Until(Instant),
}

impl Store {
    /// Begins to listen; also to other servers, when `with_messages` says so. `listener` is this process among them.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn external_writes(
        &self,
        listener: u64,
        with_messages: bool,
    ) -> Result<ExternalWrites, StoreError> {
        match &self.backend {
            Backend::Postgres(store) => store.external_writes(listener, with_messages).await,
            Backend::Sqlite(_) => Ok(ExternalWrites::Sqlite { polled: false }),
        }
    }

    /// Waits for the next notification.
    ///
    /// # Errors
    /// When the database fails or the connection is lost: what came meanwhile is not known, and it must be listened to anew.
    pub(crate) async fn next_notification(
        &self,
        external_writes: &mut ExternalWrites,
    ) -> Result<Notification, StoreError> {
        match (external_writes, &self.backend) {
            (ExternalWrites::Postgres { listener, barrier_channel, message_channel }, _) => {
                let Some(notification) = listener.try_recv().await? else { return Err(lost()) };
                let payload = notification.payload();
                Ok(if notification.channel() == barrier_channel {
                    Notification::ListenBarrier(payload.parse().unwrap_or_default())
                } else if notification.channel() == message_channel {
                    Notification::Message(payload.to_owned())
                } else if payload == SOMETHING {
                    Notification::Something
                } else {
                    Notification::Wrote(shown([payload.to_owned()]))
                })
            }
            (ExternalWrites::Sqlite { polled }, Backend::Sqlite(store)) => {
                if std::mem::replace(polled, true) {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                let began = Instant::now();
                let buckets = shown(store.external_write_sets().await?);
                if buckets.is_empty() {
                    return Ok(Notification::Until(began));
                }
                // What was found is delivered first; the next poll follows at once.
                *polled = false;
                Ok(Notification::Wrote(buckets))
            }
            (ExternalWrites::Sqlite { .. }, Backend::Postgres(_)) => {
                unreachable!("a store hears with its own kind of ear")
            }
        }
    }

    /// Publishes to the other servers on this database, all in one transaction.
    ///
    /// # Errors
    /// When the database fails, or has no way to call.
    pub(crate) async fn publish(&self, messages: &[String]) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Postgres(store) => store.publish(messages).await,
            Backend::Sqlite(_) => Err(StoreError::Schema("SQLite cannot call other servers".to_owned())),
        }
    }

    /// Sends a notification that comes back as [`Notification::ListenBarrier`] after all that was committed before it; false on
    /// SQLite, where nothing comes back and the polls themselves are the barrier.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn send_barrier(&self, listener: u64, number: u64) -> Result<bool, StoreError> {
        match &self.backend {
            Backend::Postgres(store) => store.send_barrier(listener, number).await.map(|()| true),
            Backend::Sqlite(_) => Ok(false),
        }
    }

    /// The identity that tells this database from all others, and cannot be guessed from outside.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn identity(&self) -> Result<String, StoreError> {
        let sql = "select secret from _nizhal_control where id = 1";
        let secret: String = match &self.backend {
            Backend::Postgres(store) => sqlx::query_scalar(sql).fetch_one(store.pool()).await?,
            Backend::Sqlite(store) => sqlx::query_scalar(sql).fetch_one(store.pool()).await?,
        };
        let digest = Sha256::digest(format!("realtime\n{secret}"));
        Ok(digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect())
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable(DbErr::Conn(RuntimeErr::Internal("the connection that listens was lost".to_owned())))
}

fn shown(lines: impl IntoIterator<Item = String>) -> Vec<Bucket> {
    let touched = lines.into_iter().filter_map(|line| write_set::parse(&line).ok());
    let mut buckets: Vec<Bucket> = touched.filter(|touched| touched.shown).map(|touched| touched.bucket).collect();
    buckets.sort();
    buckets.dedup();
    buckets
}
