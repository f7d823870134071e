//! One app's SQLite file: its one writer, and the readers beside it.

use super::{
    free_space,
    group::{CommitSlot, Group},
    guard::{self, Guard},
    provision::{self, FILE_ID},
    pull::PullReader,
    scan::PullSql,
    txn::{DRAWN_SIGN, line},
};
use crate::{
    schema::Schema,
    store::{
        ddl::Seed, error::StoreError, failpoint::Failpoints, history, incarnation::START_SIGN, progress::Progress,
        scope::ScopeSql, settings::StoreSettings,
    },
};
use nizhal_core::DateTimeUtc;
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, SqlxSqliteConnector, Statement};
use sea_orm::{SqliteTransactionMode, TransactionOptions, TransactionTrait};
use sqlx::{
    AssertSqlSafe, ConnectOptions, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    future::ready,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// How long SQLite waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a task waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// One app's SQLite file.
pub(in crate::store) struct SqliteStore {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    /// Keeps what is in memory when the one connection is given up half way and made anew.
    _anchor: Option<SqliteConnection>,
    /// The file, unless all is in memory.
    path: Option<PathBuf>,
    db: DatabaseConnection,
    reads: DatabaseConnection,
    /// Notes of writers from outside that our own transactions came upon.
    external_notes: Mutex<Vec<String>>,
    guard: Arc<Guard>,
    failpoints: Arc<Failpoints>,
    /// The pushes that share a transaction.
    group: Group,
    pub(super) sql: PullSql,
    incarnation: Mutex<String>,
    /// The highest value of the clock that this process saw.
    reached: AtomicI64,
}

impl SqliteStore {
    pub(in crate::store) async fn connect(settings: &StoreSettings, schema: &Arc<Schema>) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(&settings.url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged write survives a power cut, not only a crash of ours.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            // So that `insert or replace` fires the delete triggers of the row it replaces.
            .pragma("recursive_triggers", "on");
        let path = (!settings.url.contains(":memory:")).then(|| options.get_filename().to_owned());
        if let Some(path) = &path {
            // Where it fails, SQLite cannot make the file either, and says why.
            let _ = nizhal_core::make_private(path);
        }
        let one =
            || SqlitePoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
        let (guard, failpoints) = (Arc::new(Guard::default()), Arc::new(Failpoints::default()));
        let writer = guard.watch(one().acquire_timeout(ACQUIRE_TIMEOUT)).connect_with(options.clone()).await?;
        guard.watch_file(path.as_deref());
        let (readers, anchor) = if settings.url.contains(":memory:") {
            (writer.clone(), Some(options.connect().await?))
        } else {
            let many = SqlitePoolOptions::new().max_connections(settings.pool).acquire_timeout(ACQUIRE_TIMEOUT);
            let many = many.after_release(|db, _| Box::pin(async { Ok(guard::is_idle(db).await) }));
            (many.connect_with(options.create_if_missing(false).pragma("query_only", "on")).await?, None)
        };
        let db = SqlxSqliteConnector::from_sqlx_sqlite_pool(writer.clone());
        let reads = SqlxSqliteConnector::from_sqlx_sqlite_pool(readers.clone());
        let (incarnation, reached) = (Mutex::new(new_incarnation()), AtomicI64::new(0));
        let (sql, group) = (PullSql::new(schema), Group::new(guard.clone(), failpoints.clone()));
        let external_notes = Mutex::default();
        Ok(Self {
            writer,
            readers,
            _anchor: anchor,
            path,
            db,
            reads,
            external_notes,
            guard,
            failpoints,
            group,
            sql,
            incarnation,
            reached,
        })
    }

    pub(in crate::store) async fn plan(&self, schema: &Schema, seed: &Seed) -> Result<Vec<String>, StoreError> {
        let mut db = self.writer.acquire().await?;
        provision::plan(&mut db, schema, seed).await
    }

    pub(in crate::store) async fn provision(&self, schema: &Schema, seed: &Seed) -> Result<(), StoreError> {
        let mut tx = self.writer.begin_with("begin immediate").await?;
        let plan = provision::plan(&mut tx, schema, seed).await?;
        history::tell_lost_history(&plan);
        let mut progress = Progress::of("provisioning", plan.len());
        for statement in plan {
            let run = sqlx::raw_sql(AssertSqlSafe(statement.as_str())).execute(&mut *tx);
            progress.run(&statement, run, || ready(None)).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Begins a write transaction: takes the one writer's place and advances the clock.
    pub(in crate::store) async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.guard.check_file()?;
        self.failpoints.before(None).await?;
        // Both must say that this is the outermost transaction: the driver sends BEGIN at depth 0 alone, and SQLite takes it
        // outside of transactions alone.
        let tx = self.db.begin_with_options(options).await?;
        self.guard.watch_transaction();
        self.failpoints.before(Some(&tx)).await?;
        // What a writer from outside left in the note is not ours; it is pinged all the same.
        let sql = "delete from _nizhal_touched returning cast(note as blob) as note";
        let left = tx.query_all_raw(Statement::from_string(tx.get_database_backend(), sql)).await?;
        let left = left.iter().map(|row| Ok(line(row.try_get("", "note")?)));
        let left = left.collect::<Result<Vec<String>, DbErr>>()?;
        self.external_notes.lock().unwrap_or_else(PoisonError::into_inner).extend(left);
        let sql = format!("update _nizhal_control set clock = clock + 1, txn = clock + 1, {DRAWN_SIGN} where id = 1");
        if tx.execute_unprepared(&sql).await?.rows_affected() == 0 {
            self.roll_back(tx).await?;
            return Err(StoreError::no_control());
        }
        Ok(tx)
    }

    /// Commits a transaction of [`begin`](Self::begin).
    pub(in crate::store) async fn commit(&self, tx: DatabaseTransaction) -> Result<(), StoreError> {
        let commit = async {
            self.failpoints.before(Some(&tx)).await?;
            tx.commit().await
        };
        self.guard.commit(commit).await?;
        self.guard.check_file()
    }

    /// Rolls it back.
    pub(in crate::store) async fn roll_back(&self, tx: DatabaseTransaction) -> Result<(), StoreError> {
        Ok(self.guard.roll_back(tx.rollback()).await?)
    }

    /// Closes the writer's connection when it is given back.
    pub(in crate::store) async fn mark_connection_broken(&self) {
        self.guard.mark_broken().await;
    }

    /// Whether SQLite rolled back the transaction that is open.
    pub(in crate::store) fn is_lost(&self) -> bool {
        self.guard.is_lost()
    }

    pub(in crate::store) fn failpoints(&self) -> &Arc<Failpoints> {
        &self.failpoints
    }

    /// A savepoint in a write transaction that others may be in, unless it is to be alone.
    pub(in crate::store) async fn begin_push(
        &self,
        alone: bool,
    ) -> Result<(DatabaseTransaction, CommitSlot<'_>), StoreError> {
        self.group.slot(alone, async || self.begin().await).await
    }

    pub(in crate::store) async fn collect_tombstones(&self, days: u32) -> Result<u64, StoreError> {
        let before = format!("-{days} days");
        let mut tx = self.writer.begin_with("begin immediate").await?;
        let noted = "update _nizhal_control set collected = max(collected, coalesce((select max(version) from \
            _nizhal_tombstones where at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', $1)), 0)) where id = 1";
        let mut progress = Progress::of("forgetting tombstones", 4);
        progress.run(noted, sqlx::query(noted).bind(&before).execute(&mut *tx), || ready(None)).await?;
        let forgotten = "delete from _nizhal_tombstones where at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', $1)";
        let forgetting = sqlx::query(forgotten).bind(&before).execute(&mut *tx);
        let count = progress.run(forgotten, forgetting, || ready(None)).await?.rows_affected();
        for sql in [
            "delete from _nizhal_deletes where at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', $1)",
            "delete from _nizhal_bucket_sets where at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', $1)",
        ] {
            progress.run(sql, sqlx::query(sql).bind(&before).execute(&mut *tx), || ready(None)).await?;
        }
        tx.commit().await?;
        Ok(count)
    }

    /// What writers from outside noted since the last call.
    pub(in crate::store) async fn external_write_sets(&self) -> Result<Vec<String>, StoreError> {
        let has_notes: bool =
            sqlx::query_scalar("select exists (select 1 from _nizhal_touched)").fetch_one(&self.readers).await?;
        let mut notes = std::mem::take(&mut *self.external_notes.lock().unwrap_or_else(PoisonError::into_inner));
        if has_notes {
            let mut tx = self.writer.begin_with("begin immediate").await?;
            let sql = "delete from _nizhal_touched returning cast(note as blob) as note";
            let left = sqlx::query_scalar::<_, Vec<u8>>(sql).fetch_all(&mut *tx).await?;
            notes.extend(left.into_iter().map(line));
            tx.commit().await?;
        }
        Ok(notes)
    }

    /// Whether some job is due.
    pub(in crate::store) async fn has_due_job(&self, now: DateTimeUtc) -> Result<bool, StoreError> {
        let sql = "select exists (select 1 from _nizhal_jobs where status <> 'dead' and run_at <= $1)";
        Ok(sqlx::query_scalar(sql).bind(now).fetch_one(&self.readers).await?)
    }

    pub(in crate::store) async fn reader(&self) -> Result<PullReader<'_>, StoreError> {
        self.guard.check_file()?;
        // Read before the snapshot is taken, which then is not of a time before.
        let reached = self.reached.load(Ordering::SeqCst);
        let mut reader = PullReader::open(&self.readers, &self.sql, &self.failpoints).await?;
        let clock = reader.clock().last;
        let mut incarnation = self.incarnation.lock().unwrap_or_else(PoisonError::into_inner);
        if clock < reached {
            // What was put back into the open file goes on in an incarnation of its own, lest it draw versions again that devices have.
            *incarnation = new_incarnation();
            self.reached.store(clock, Ordering::SeqCst);
        } else {
            self.reached.fetch_max(clock, Ordering::SeqCst);
        }
        reader.set_incarnation(incarnation.clone());
        drop(incarnation);
        Ok(reader)
    }

    pub(in crate::store) fn scope_sql(&self) -> &ScopeSql {
        &self.sql.scope
    }

    /// Whether the file is where it was opened.
    pub(in crate::store) fn check_file(&self) -> Result<(), StoreError> {
        self.guard.check_file()
    }

    /// Whether the disk has room for what comes.
    pub(in crate::store) async fn check_free_space(&self) -> Result<(), StoreError> {
        match &self.path {
            Some(path) => free_space::check_free_space(path.clone()).await,
            None => Ok(()),
        }
    }

    pub(in crate::store) fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    /// Beside the one writer.
    pub(in crate::store) fn reads(&self) -> &DatabaseConnection {
        &self.reads
    }

    pub(in crate::store) fn pool(&self) -> &SqlitePool {
        &self.readers
    }

    /// What `vacuum into` writes is of one moment, and holds no free pages and no log.
    pub(in crate::store) async fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        let file = file.to_str().ok_or_else(|| StoreError::Schema("the name of the file is not UTF-8".to_owned()))?;
        sqlx::query("vacuum into $1").bind(file).execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::store) async fn close(&self) {
        self.group.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// The name of an incarnation that never was.
fn new_incarnation() -> String {
    format!("{FILE_ID}{START_SIGN}{}", uuid::Uuid::new_v4())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::owner::Owner, testing};

    #[tokio::test]
    async fn inv13_what_is_in_memory_outlives_its_connection() {
        let schema = Arc::new(testing::schema());
        let settings = StoreSettings { url: "sqlite::memory:".to_owned(), pool: 1 };
        let store = SqliteStore::connect(&settings, &schema).await.unwrap();
        store.provision(&schema, &Seed { epoch: "e".to_owned(), owner: Owner::default() }).await.unwrap();
        // As the pool does with one that was given up in the middle of a statement.
        store.writer.acquire().await.unwrap().close().await.unwrap();
        let sql = "select epoch from _nizhal_control";
        assert_eq!(sqlx::query_scalar::<_, String>(sql).fetch_one(&store.writer).await.unwrap(), "e");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let schema = Arc::new(testing::schema());
        let path = std::env::temp_dir().join(format!("nizhal-mode-{}.db", uuid::Uuid::new_v4()));
        let settings = StoreSettings { url: format!("sqlite://{}", path.display()), pool: 1 };
        let store = SqliteStore::connect(&settings, &schema).await.unwrap();
        store.provision(&schema, &Seed { epoch: "e".to_owned(), owner: Owner::default() }).await.unwrap();
        for suffix in ["", "-wal", "-shm"] {
            let file = format!("{}{suffix}", path.display());
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        store.close().await;
        std::fs::remove_file(path).unwrap();
    }
}
