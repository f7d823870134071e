//! The device's own database: rows, cursor, acknowledgement and outbox, each step one transaction. No network in here.

mod blob;
mod blob_cache;
mod blob_file;
mod ddl;
mod dead;
mod demand;
mod error;
mod failpoint;
mod group;
mod guard;
mod hold;
mod image;
mod lock;
mod meta;
mod migrate;
mod open;
mod pull;
mod purge;
mod push;
mod rebuild;
mod replay;
mod revised;
mod rows;
mod salvage;
mod tx;
mod unreadable;
mod write;

pub(crate) use blob::{BlobNote, BlobState};
pub(crate) use blob_file::{BlobFiles, Incoming, Whole, hash};
pub use dead::DeadLetter;
pub use error::StoreError;
#[doc(hidden)]
pub use failpoint::SqliteFault;
pub use image::{LocalImage, Seed};
pub use lock::Lock;
pub use open::{Location, Notice, OtherUser};
pub use revised::Revised;
pub(crate) use revised::TABLE as REVISED_TABLE;
pub use salvage::Saved;
pub use unreadable::Unreadable;
pub use write::{Draft, Effect, MutateError, Written};

use crate::{
    schema::Schema,
    session::{Memory, PullStored, PushStored},
};
use failpoint::Failpoints;
use group::Group;
use guard::Guard;
use image::ImageFiles;
use nizhal_core::{
    __private::BoxFuture,
    Displaced, Principal, Uuid,
    wire::{ImageRef, Mutation, MutationResult},
};
use sea_orm::DatabaseConnection;
use sqlx::SqlitePool;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

/// Where a pull begins; an answer to an older question is not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullStart {
    /// The cursor to send.
    pub cursor: String,
    /// Who this device is in the server's sequences.
    pub client_id: String,
    /// The images that came with the app, where nothing else is here yet.
    pub seeds: Vec<Seed>,
    /// The buckets on demand to ask for; `None` where the app has no rule on demand, and asks for all.
    pub buckets: Option<Vec<String>>,
}

/// The answer of a pull.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullAnswer {
    /// The images that it names.
    pub images: Vec<LocalImage>,
    /// Lines of rows that were not put aside.
    pub lines: Vec<Vec<u8>>,
    /// The page that ends it.
    pub page: Vec<u8>,
}

/// Names of tables whose rows changed.
pub type ChangedTables = BTreeSet<String>;

/// A file beside a database, whose name begins with the database's.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Fresh ids, from outside.
pub type NewId<'a> = &'a (dyn Fn() -> Uuid + Send + Sync);

/// What sync needs of a store. Each call is atomic: after a crash it happened or it did not.
pub trait Store: Send + Sync + 'static {
    /// What is in it.
    fn memory(&self) -> BoxFuture<'_, Result<Memory, StoreError>>;
    /// Runs a mutation and puts it into the outbox; durable when this returns.
    fn mutate<'a>(&'a self, draft: Draft) -> BoxFuture<'a, Result<Written, MutateError>>;
    /// Where the next pull begins; forgets what an answer that was cut left behind.
    fn begin_pull(&self) -> BoxFuture<'_, Result<PullStart, StoreError>>;
    /// Puts aside lines of an answer that is still coming.
    fn spill<'a>(&'a self, lines: &'a [Vec<u8>]) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Where the file of an image goes that has this hash, and where it is while it comes.
    fn image_paths(&self, sha256: &str) -> (PathBuf, PathBuf);
    /// Notes how many bytes of an image's file are here after a download that failed; how many such downloads in a row brought no more.
    fn note_image_part(&self, sha256: &str, bytes: u64) -> u32;
    /// Whether the tables of a bucket's rule are here as an image of this shape has them.
    fn has_shape(&self, bucket: &str, shape: &str) -> bool;
    /// Whether a file is the image that a server named.
    fn is_image<'a>(&'a self, path: &'a Path, named: &'a ImageRef) -> BoxFuture<'a, bool>;
    /// Stores an answer.
    fn store_pull<'a>(
        &'a self,
        start: &'a PullStart,
        answer: PullAnswer,
        new_id: NewId<'a>,
    ) -> BoxFuture<'a, Result<(PullStored, ChangedTables), StoreError>>;
    /// The mutations to send next, in order.
    fn batch(&self, most: usize, bytes: usize) -> BoxFuture<'_, Result<Vec<Mutation>, StoreError>>;
    /// Stores the answers of a push.
    fn store_push<'a>(
        &'a self,
        results: &'a [MutationResult],
    ) -> BoxFuture<'a, Result<(PushStored, ChangedTables), StoreError>>;
    /// Parks the first waiting mutation without the server's word.
    fn park<'a>(
        &'a self,
        code: &'a str,
        error: &'a str,
        new_id: NewId<'a>,
    ) -> BoxFuture<'a, Result<(Memory, ChangedTables), StoreError>>;
    /// Puts all that waits under a new sequence.
    fn rotate<'a>(&'a self, new_id: NewId<'a>) -> BoxFuture<'a, Result<Memory, StoreError>>;
    /// Forgets the cursor and starts a new sequence; rows stay until the next snapshot replaces them.
    fn repair<'a>(&'a self, new_id: NewId<'a>) -> BoxFuture<'a, Result<Memory, StoreError>>;
    /// What was refused.
    fn dead_letters(&self) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>>;
    /// The rows that were left out, since the app's types cannot read them.
    fn unreadable(&self) -> BoxFuture<'_, Result<Vec<Unreadable>, StoreError>>;
    /// Forgets a refused mutation; false when there is none of this id.
    fn discard<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, StoreError>>;
    /// The results that changed and that are not confirmed, oldest first.
    fn revised(&self) -> BoxFuture<'_, Result<Vec<Revised>, StoreError>>;
    /// Confirms one of them; false when it is not to be told any more.
    fn confirm_revised<'a>(&'a self, revised: &'a Revised) -> BoxFuture<'a, Result<bool, StoreError>>;
}

/// A SQLite file, or a database in memory.
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    db: DatabaseConnection,
    reads: DatabaseConnection,
    schema: Arc<Schema>,
    principal: Mutex<Principal>,
    guard: Arc<Guard>,
    path: Option<PathBuf>,
    failpoints: Failpoints,
    /// Whether indexes of unique columns were dropped that rows of the server's were in the way of.
    uniques_dropped: AtomicBool,
    group: Group,
    blob_files: Arc<BlobFiles>,
    blob_cache_bytes: AtomicU64,
    image_files: ImageFiles,
    /// Keeps a database in memory alive, whatever becomes of the other connections.
    _anchor: Option<sqlx::SqliteConnection>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// The rows, to read: any sea-orm query runs on it. Writes go through mutators.
    pub fn reads(&self) -> &DatabaseConnection {
        &self.reads
    }

    /// The app's schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Whom mutators are run for.
    pub fn principal(&self) -> Principal {
        self.principal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Other claims of the same user, as after a change of shop.
    ///
    /// # Errors
    /// [`StoreError::OtherUser`] when they are somebody else's.
    pub fn set_principal(&self, principal: Principal) -> Result<(), StoreError> {
        let mut own = self.principal.lock().unwrap_or_else(PoisonError::into_inner);
        if own.key() != principal.key() {
            return Err(StoreError::OtherUser);
        }
        *own = principal;
        Ok(())
    }

    /// A number that changes when another process wrote to the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn data_version(&self) -> Result<i64, StoreError> {
        // Of the writer's connection: it does not count its own commits.
        Ok(sqlx::query_scalar("pragma data_version").fetch_one(&self.writer).await?)
    }

    /// Where its file is.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether it has no file.
    pub fn is_in_memory(&self) -> bool {
        self.path.is_none()
    }

    /// Writes the file again where it was taken away, or into it what its lost log held; this store goes on with the old one, so it
    /// must be opened anew.
    ///
    /// # Errors
    /// When the place is gone too, or another file is there.
    pub async fn save(&self) -> Result<(), StoreError> {
        if self.guard.check_file() == Err(Displaced::Log) {
            sqlx::query("pragma wal_checkpoint(truncate)").execute(&self.writer).await?;
            return Ok(());
        }
        let path = self.path.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        sqlx::query("vacuum into $1").bind(path).execute(&self.writer).await?;
        Ok(())
    }

    /// Whether any file is where it was opened.
    pub fn has_file(&self) -> bool {
        self.path.as_deref().is_some_and(Path::exists)
    }

    /// Whether the file is still where it was opened; what has none is.
    pub fn is_there(&self) -> bool {
        self.guard.check_file().is_ok()
    }

    /// Does it, and notes when the file turned out to be broken, or a pending mutation to be one that cannot be run here.
    async fn noting<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let done = work.await;
        match &done {
            Err(StoreError::EndedByMutator { name, seq }) => {
                tracing::error!(
                    name,
                    "a pending mutation ends its transaction when it is run again: only the server runs it"
                );
                let tx = self.begin().await?;
                tx.leave_to_server(*seq).await?;
                tx.commit().await?;
            }
            Err(error) => self.note_loss(error),
            Ok(_) => {}
        }
        done
    }

    /// Marks a file that is broken: the next opening makes it anew.
    fn note_loss(&self, error: &StoreError) {
        if let Some(path) = &self.path
            && error.is_lost()
            && path.exists()
            && let Err(error) = rebuild::mark(path, &error.failure().message)
        {
            tracing::error!(%error, "the broken store cannot be marked as such");
        }
    }

    /// Closes the file.
    pub async fn close(&self) {
        if self.is_in_memory() {
            self.clean_images().await;
        }
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl Store for SqliteStore {
    fn memory(&self) -> BoxFuture<'_, Result<Memory, StoreError>> {
        Box::pin(self.noting(self.memory()))
    }
    fn mutate<'a>(&'a self, draft: Draft) -> BoxFuture<'a, Result<Written, MutateError>> {
        Box::pin(async {
            self.write(draft).await.inspect_err(|error| {
                if let MutateError::Store(error) = error {
                    self.note_loss(error);
                }
            })
        })
    }
    fn begin_pull(&self) -> BoxFuture<'_, Result<PullStart, StoreError>> {
        Box::pin(self.noting(self.begin_pull()))
    }
    fn spill<'a>(&'a self, lines: &'a [Vec<u8>]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.noting(self.spill(lines)))
    }
    fn image_paths(&self, sha256: &str) -> (PathBuf, PathBuf) {
        self.image_paths(sha256)
    }
    fn note_image_part(&self, sha256: &str, bytes: u64) -> u32 {
        self.note_image_part(sha256, bytes)
    }
    fn has_shape(&self, bucket: &str, shape: &str) -> bool {
        self.has_shape(bucket, shape)
    }
    fn is_image<'a>(&'a self, path: &'a Path, named: &'a ImageRef) -> BoxFuture<'a, bool> {
        Box::pin(self.is_image(path, named))
    }
    fn store_pull<'a>(
        &'a self,
        start: &'a PullStart,
        answer: PullAnswer,
        new_id: NewId<'a>,
    ) -> BoxFuture<'a, Result<(PullStored, ChangedTables), StoreError>> {
        Box::pin(self.noting(self.store_pull(start, answer, new_id)))
    }
    fn batch(&self, most: usize, bytes: usize) -> BoxFuture<'_, Result<Vec<Mutation>, StoreError>> {
        Box::pin(self.noting(self.batch(most, bytes)))
    }
    fn store_push<'a>(
        &'a self,
        results: &'a [MutationResult],
    ) -> BoxFuture<'a, Result<(PushStored, ChangedTables), StoreError>> {
        Box::pin(self.noting(self.store_push(results)))
    }
    fn park<'a>(
        &'a self,
        code: &'a str,
        error: &'a str,
        new_id: NewId<'a>,
    ) -> BoxFuture<'a, Result<(Memory, ChangedTables), StoreError>> {
        Box::pin(self.noting(self.park(code, error, new_id)))
    }
    fn rotate<'a>(&'a self, new_id: NewId<'a>) -> BoxFuture<'a, Result<Memory, StoreError>> {
        Box::pin(self.noting(self.rotate(new_id)))
    }
    fn repair<'a>(&'a self, new_id: NewId<'a>) -> BoxFuture<'a, Result<Memory, StoreError>> {
        Box::pin(self.noting(self.repair(new_id)))
    }
    fn dead_letters(&self) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>> {
        Box::pin(self.noting(self.dead()))
    }
    fn unreadable(&self) -> BoxFuture<'_, Result<Vec<Unreadable>, StoreError>> {
        Box::pin(self.noting(self.left_out()))
    }
    fn discard<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.noting(self.discard(id)))
    }
    fn revised(&self) -> BoxFuture<'_, Result<Vec<Revised>, StoreError>> {
        Box::pin(self.noting(self.untold()))
    }
    fn confirm_revised<'a>(&'a self, revised: &'a Revised) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.noting(self.confirm(revised)))
    }
}
