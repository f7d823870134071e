//! Opening a device's file: made when it is new, fitted to the app's tables, rebuilt when it is broken.

use super::image::ImageFiles;
use super::migrate::{Shape, shape};
use super::salvage::{Salvaged, Saved};
use super::{BlobFiles, Guard, SqliteStore, StoreError, ddl, lock, rebuild, rebuild::Rebuild};
use crate::schema::Schema;
use nizhal_core::{Principal, Uuid};
use sea_orm::SqlxSqliteConnector;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many bytes of blobs are kept that the server has too.
const BLOB_CACHE_BYTES: u64 = 200_000_000;

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file, and others beside it whose names begin with its own.
    File(PathBuf),
    /// Nowhere: gone when it is closed.
    Memory,
}

/// What happens to a store that belongs to somebody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherUser {
    /// Each user has a file of their own, named by a hash of who they are. Nobody loses what is not synced.
    #[default]
    Apart,
    /// One file: the first user's rows and outbox are wiped before the second sees anything.
    Wipe,
    /// One file: opening it as somebody else fails.
    Refuse,
}

/// What the app's user may want to know of an opening.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The file could not be read any more and was made anew.
    Rebuilt {
        /// What was wrong with it.
        cause: String,
        /// What became of the mutations that were not synced.
        outbox: Saved,
        /// What became of the dead letters.
        dead_letters: Saved,
        /// Where the broken file was put.
        kept_as: PathBuf,
    },
    /// There had been a store here, and it is gone: with it what was not synced.
    Vanished,
    /// Another user's rows were wiped, and so many mutations that were not synced.
    Wiped {
        /// How many mutations were lost.
        unsynced: u64,
    },
    /// The app's tables changed: all rows are asked for again, and what is not synced is kept.
    Migrated,
}

impl SqliteStore {
    /// Opens the store of this user; what is to be told of it comes along.
    ///
    /// # Errors
    /// When the place cannot be used, or belongs to somebody else.
    pub async fn open(
        location: &Location,
        other: OtherUser,
        schema: Arc<Schema>,
        principal: Principal,
        new_id: &(dyn Fn() -> Uuid + Send + Sync),
    ) -> Result<(Self, Vec<Notice>), StoreError> {
        let path = match location {
            Location::Memory => None,
            Location::File(path) if other == OtherUser::Apart => Some(path_of_user(path, &principal)),
            Location::File(path) => Some(path.clone()),
        };
        let mut notices = Vec::new();
        if let Some(path) = &path
            && !path.exists()
            && lock::file(path).exists()
        {
            notices.push(Notice::Vanished);
        }
        if !path.as_deref().is_some_and(rebuild::is_marked) {
            let tried = Self::try_open(path.as_deref(), other, &schema, &principal, new_id, &mut notices).await;
            match (tried, &path) {
                (Ok(store), _) => {
                    store.tidy_blobs().await?;
                    return Ok((store, notices));
                }
                (Err(error), Some(path)) if error.is_lost() && path.exists() => {
                    rebuild::mark(path, &error.failure().message)?;
                }
                (Err(error), _) => return Err(error),
            }
        }
        let path = path.unwrap_or_default();
        let rebuild = Rebuild::begin(&path)?;
        let store = Self::try_open(Some(&path), other, &schema, &principal, new_id, &mut Vec::new()).await?;
        let ours = other == OtherUser::Apart;
        let Salvaged { outbox, dead_letters } = store.salvage(&rebuild.kept_as, ours, principal.key(), new_id).await?;
        store.tidy_blobs().await?;
        let (cause, kept_as) = rebuild.end()?;
        tracing::error!(cause, ?outbox, ?dead_letters, ?kept_as, "the store was broken and made anew");
        notices.push(Notice::Rebuilt { cause, outbox, dead_letters, kept_as });
        Ok((store, notices))
    }

    async fn try_open(
        path: Option<&Path>,
        other: OtherUser,
        schema: &Arc<Schema>,
        principal: &Principal,
        new_id: &(dyn Fn() -> Uuid + Send + Sync),
        notices: &mut Vec<Notice>,
    ) -> Result<Self, StoreError> {
        let guard = Arc::<Guard>::default();
        let (writer, readers, anchor) = connect(path, &guard).await?;
        let store = Self {
            _anchor: anchor,
            db: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer.clone()),
            reads: SqlxSqliteConnector::from_sqlx_sqlite_pool(readers.clone()),
            writer,
            readers,
            schema: schema.clone(),
            principal: Mutex::new(principal.clone()),
            guard,
            path: path.map(Path::to_owned),
            failpoints: super::Failpoints::default(),
            uniques_dropped: AtomicBool::new(false),
            group: super::Group::default(),
            blob_files: Arc::new(BlobFiles::of(path)),
            blob_cache_bytes: AtomicU64::new(BLOB_CACHE_BYTES),
            image_files: ImageFiles::beside(path),
        };
        loop {
            let mut told = Vec::new();
            match store.noting(store.fit(other, new_id, &mut told)).await {
                Ok(()) => {
                    store.clean_images().await;
                    notices.append(&mut told);
                    return Ok(store);
                }
                // It is not run again the next time.
                Err(StoreError::EndedByMutator { .. }) => {}
                Err(error) => {
                    store.close().await;
                    return Err(error);
                }
            }
        }
    }

    async fn fit(
        &self,
        other: OtherUser,
        new_id: &(dyn Fn() -> Uuid + Send + Sync),
        notices: &mut Vec<Notice>,
    ) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        for sql in ddl::ENGINE {
            tx.run(sql, []).await?;
        }
        let user = self.principal().key().to_owned();
        let row = tx.one("select user, format, tables, waiting from _nizhal_meta", []).await?;
        let mut made = Shape::new();
        if let Some(row) = row {
            let format: i64 = row.try_get("", "format")?;
            if format != ddl::FORMAT {
                return Err(StoreError::Broken(format!(
                    "it is of format {format}, and this app knows {}",
                    ddl::FORMAT
                )));
            }
            made = serde_json::from_str(&row.try_get::<String>("", "tables")?).unwrap_or_default();
            if row.try_get::<String>("", "user")? != user {
                if other != OtherUser::Wipe {
                    return Err(StoreError::OtherUser);
                }
                let unsynced: i64 = row.try_get("", "waiting")?;
                notices.push(Notice::Wiped { unsynced: u64::try_from(unsynced).unwrap_or(0) });
                tx.wipe(&made).await?;
                made.clear();
            }
        }
        let sql = "insert into _nizhal_meta (one, format, user, client_id, node) values (1, $1, $2, $3, $4) on conflict do nothing";
        let (client_id, node) = (new_id().to_string(), new_id().simple().to_string());
        tx.run(sql, [ddl::FORMAT.into(), user.into(), client_id.into(), node.into()]).await?;
        let wanted = shape(&self.schema);
        if made != wanted {
            tx.migrate(&made, &wanted).await?;
            if !made.is_empty() {
                notices.push(Notice::Migrated);
            }
        }
        for table in self.schema.tables() {
            tx.index_uniques(table).await?;
        }
        tx.index_blobs().await?;
        // An answer that was cut, or a mutation that was at work when the device died, left nothing but this.
        tx.run("delete from _nizhal_stage where loose = 1", []).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn connect(
    path: Option<&Path>,
    guard: &Arc<Guard>,
) -> Result<(SqlitePool, SqlitePool, Option<SqliteConnection>), StoreError> {
    let options = match path {
        Some(path) => {
            // Where it fails, SQLite cannot make the file either, and says why.
            let _ = nizhal_core::make_private(path);
            SqliteConnectOptions::new().filename(path).create_if_missing(true)
        }
        // Under a name of its own, so that a connection which was given up half way takes no rows along.
        None => "sqlite::memory:".parse()?,
    };
    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        // `mutate` promises that what it returned from is there after a power cut; a phone's battery is one.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(30))
        // So that `insert or replace` fires the delete triggers of the row it replaces.
        .pragma("recursive_triggers", "on");
    let one = SqlitePoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
    let writer = guard
        .watch(one)
        .acquire_timeout(Duration::from_secs(60))
        // A first sync's indexes grow at any place: that they do so in memory spares writing them again and again.
        .connect_with(options.clone().pragma("cache_size", "-8000"))
        .await?;
    guard.watch_file(path);
    let (readers, anchor) = match path {
        None => (writer.clone(), Some(options.connect().await?)),
        Some(_) => {
            let four = SqlitePoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(30));
            match four.connect_with(options.create_if_missing(false).pragma("query_only", "on")).await {
                Ok(readers) => (readers, None),
                Err(error) => {
                    // What closes on its own could take away the journal of a file that is made anew.
                    writer.close().await;
                    return Err(error.into());
                }
            }
        }
    };
    Ok((writer, readers, anchor))
}

/// `app.db` and a user: `app.0123456789abcdef.db`.
fn path_of_user(path: &Path, principal: &Principal) -> PathBuf {
    let hash = nizhal_core::Random::of(principal.key()).next_u64();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = match path.extension() {
        Some(extension) => format!("{stem}.{hash:016x}.{}", extension.to_string_lossy()),
        None => format!("{stem}.{hash:016x}"),
    };
    path.with_file_name(name)
}
