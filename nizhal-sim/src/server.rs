//! The server: the real engine over a real SQLite file, without HTTP around it; it starts, dies, grows, is copied and restored.

use crate::device::some_sql;
use crate::fixture::{Fixture, connect};
use crate::images::ImageFiles;
use crate::plain::Plain;
use crate::world::World;
use nizhal_core::NodeId;
use nizhal_runtime::BlobEndpoints;
use nizhal_runtime::engine::Engine;
use nizhal_runtime::hub::Hub;
use nizhal_runtime::store::{Failpoints, StatementFault, Store};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One server and its database.
pub(crate) struct Server {
    pub(crate) engine: Option<Engine>,
    pub(crate) world: Arc<World>,
    pub(crate) failpoints: Arc<Failpoints>,
    /// The kind of step that armed a failpoint, and how many were reached then.
    armed: Option<(&'static str, u64)>,
    path: PathBuf,
    copies: u32,
    backup: Option<PathBuf>,
    /// Somebody with `sqlite3` on the same file.
    pub(crate) external: SqliteConnection,
    pub(crate) version: usize,
    pub(crate) page_rows: u8,
    /// Which history: another after each restore.
    pub(crate) era: u32,
    /// Tokens that are good no more.
    pub(crate) refused: BTreeSet<String>,
    starts: u32,
    /// The latest that its clock ever was.
    pub(crate) latest_ms: i64,
    /// The files of images.
    pub(crate) images: Arc<ImageFiles>,
    /// The endpoints of blobs; their bytes outlive every restore of the database.
    pub(crate) blobs: Option<BlobEndpoints>,
    blob_folder: PathBuf,
    /// Whether the store of blobs cannot be reached.
    pub(crate) blobs_away: bool,
    /// Who completed the upload of which blob.
    pub(crate) uploaded: BTreeSet<(usize, String)>,
    /// The uploads that were begun, by their keys: by whom, and of which blob.
    pub(crate) uploads: BTreeMap<String, (usize, String)>,
    /// What is to come of mutations that are replayed.
    pub(crate) plain: Option<Plain>,
}

impl Server {
    pub(crate) async fn new(fixture: &Fixture<'_>) -> Self {
        let path = fixture.workdir.path("server-0.db");
        fixture.new_database(&path);
        let mut server = Self {
            engine: None,
            external: external(&path).await,
            world: Arc::new(World::new()),
            failpoints: Arc::default(),
            armed: None,
            path,
            copies: 0,
            backup: None,
            version: 0,
            page_rows: 200,
            era: 0,
            refused: BTreeSet::new(),
            starts: 0,
            latest_ms: 0,
            images: Arc::default(),
            blobs: None,
            blob_folder: fixture.workdir.path("blobs"),
            blobs_away: false,
            uploaded: BTreeSet::new(),
            uploads: BTreeMap::new(),
            plain: None,
        };
        server.plain = Plain::new(fixture, &mut server.external).await;
        server.start(fixture).await;
        server
    }

    async fn start(&mut self, fixture: &Fixture<'_>) {
        let version = &fixture.versions[self.version];
        let store = connect(&self.path, version).await;
        let settled = store.record_incarnation().await;
        settled.unwrap_or_else(|error| panic!("the server does not start: {error:?}"));
        self.starts += 1;
        self.world.light(u64::MAX);
        (self.failpoints, self.armed) = (store.failpoints().cloned().unwrap_or_default(), None);
        let node = NodeId(u128::from(self.starts));
        let engine = Engine::new(version.server.clone(), store, Hub::default(), self.world.clone(), node);
        let engine = engine.with_images(self.images.clone(), 1);
        let opened = BlobEndpoints::open(&engine, &self.blob_folder);
        self.blobs = Some(opened.unwrap_or_else(|error| panic!("the blob store is not opened: {error:?}")));
        self.engine = Some(engine);
    }

    /// Its power goes and comes back.
    pub(crate) async fn kill(&mut self, fixture: &Fixture<'_>) {
        self.engine = None;
        self.start(fixture).await;
    }

    /// It dies within what it does next, or later.
    pub(crate) fn kill_within(&self, calls: u8) {
        self.world.light(u64::from(calls));
    }

    pub(crate) fn spare(&mut self) {
        self.world.light(u64::MAX);
        self.disarm();
    }

    /// No statement of its database fails.
    pub(crate) fn disarm(&mut self) {
        self.failpoints.disarm();
        self.armed = None;
    }

    /// Ids of every tenant's rows, by table; and values of columns named `…_id`, by column.
    pub(crate) async fn pool(
        &mut self,
        fixture: &Fixture<'_>,
    ) -> Result<[BTreeMap<&'static str, Vec<String>>; 2], String> {
        let [mut ids, mut values] = [BTreeMap::new(), BTreeMap::<&'static str, Vec<String>>::new()];
        for table in &fixture.shown.tables {
            let key = table.desc.columns[table.desc.key[0]].name;
            ids.insert(table.desc.name, self.texts(&some_sql(table.desc.name, key)).await?);
            for column in table.desc.columns.iter().filter(|column| !column.private && column.name.ends_with("_id")) {
                let more = self.texts(&some_sql(table.desc.name, column.name)).await?;
                values.entry(column.name).or_default().extend(more);
            }
        }
        Ok([ids, values])
    }

    /// A statement of its database fails; false, since it has not happened yet.
    pub(crate) fn fail_after(&mut self, statements: u8, kind: &'static str, fault: impl Into<StatementFault>) -> bool {
        self.failpoints.arm(usize::from(statements), fault);
        self.armed = Some((kind, self.failpoints.reached()));
        false
    }

    /// The kind of step whose failpoint was reached since that was last asked.
    pub(crate) fn took_fault(&mut self) -> Option<&'static str> {
        let (kind, before) = self.armed?;
        if self.failpoints.reached() == before {
            return None;
        }
        self.armed = None;
        Some(kind)
    }

    pub(crate) fn set_time(&mut self, now_ms: i64) {
        self.world.set_now_ms(now_ms);
        self.latest_ms = self.latest_ms.max(now_ms);
    }

    /// A connection for what an operator's command does.
    async fn operator(&self, fixture: &Fixture<'_>) -> Store {
        connect(&self.path, &fixture.versions[self.version]).await
    }

    pub(crate) async fn upgrade(&mut self, fixture: &Fixture<'_>) -> Result<(), String> {
        self.engine = None;
        self.version = 1;
        let store = self.operator(fixture).await;
        let done = store.provision().await;
        store.close().await;
        self.start(fixture).await;
        if let Some(plain) = &mut self.plain {
            plain.grow(fixture);
        }
        done.map_err(|error| format!("the upgrade fails: {error:?}"))
    }

    pub(crate) async fn new_epoch(&mut self, fixture: &Fixture<'_>) -> Result<(), String> {
        let store = self.operator(fixture).await;
        let done = store.new_epoch().await;
        store.close().await;
        done.map(drop).map_err(|error| format!("there is no new epoch: {error:?}"))
    }

    pub(crate) async fn collect(&mut self, fixture: &Fixture<'_>) -> Result<(), String> {
        // The database's own clock is real: what is there is made old.
        self.sql("update _nizhal_tombstones set at = '2000-01-01T00:00:00.000Z'").await?;
        let store = self.operator(fixture).await;
        let done = store.collect_tombstones(1).await;
        store.close().await;
        done.map(drop).map_err(|error| format!("tombstones are not collected: {error:?}"))
    }

    pub(crate) async fn back_up(&mut self, fixture: &Fixture<'_>) -> Result<(), String> {
        self.copies += 1;
        let path = fixture.workdir.path(&format!("backup-{}.db", self.copies));
        self.sql(&format!("vacuum into '{}'", path.display())).await?;
        self.backup = Some(path);
        if let Some(plain) = &mut self.plain {
            plain.copy(self.version);
        }
        Ok(())
    }

    /// Puts the last copy in its place; false when there is none.
    pub(crate) async fn restore(&mut self, fixture: &Fixture<'_>) -> Result<bool, String> {
        let Some(backup) = self.backup.clone() else { return Ok(false) };
        self.engine = None;
        self.copies += 1;
        self.era += 1;
        // Another file: what still closes the old one must not touch its journal.
        self.path = fixture.workdir.path(&format!("server-{}.db", self.copies));
        std::fs::copy(backup, &self.path).map_err(|error| error.to_string())?;
        let before = std::mem::replace(&mut self.external, external(&self.path).await);
        let _ = before.close().await;
        // The copy may be older than the last upgrade; whoever starts a server brings it up.
        let store = self.operator(fixture).await;
        let done = store.provision().await;
        store.close().await;
        self.start(fixture).await;
        done.map_err(|error| format!("the restored database is not brought up: {error:?}"))?;
        if let Some(plain) = &mut self.plain {
            plain.restore(fixture, self.version);
        }
        Ok(true)
    }

    /// What somebody else writes.
    pub(crate) async fn sql(&mut self, sql: &str) -> Result<u64, String> {
        let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut self.external).await;
        done.map(|done| done.rows_affected()).map_err(|error| format!("`{sql}` fails: {error}"))
    }

    /// What somebody else writes of tables that are replayed, past their order.
    pub(crate) async fn sql_past_order(&mut self, sql: &str) -> Result<u64, String> {
        self.sql("begin immediate").await?;
        self.sql("update _nizhal_replay set checkpoint = 1").await?;
        let done = self.sql(sql).await;
        self.sql("update _nizhal_replay set checkpoint = 0").await?;
        self.sql("commit").await?;
        done
    }

    /// What somebody else reads: one column of text.
    pub(crate) async fn texts(&mut self, sql: &str) -> Result<Vec<String>, String> {
        let found: Result<Vec<String>, _> =
            sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.external).await;
        found.map_err(|error| format!("`{sql}` fails: {error}"))
    }

    /// Where the bytes of blobs are.
    pub(crate) fn blob_folder(&self) -> &std::path::Path {
        &self.blob_folder
    }

    /// The copy of the database is of no use any more.
    pub(crate) fn forget_backup(&mut self) {
        self.backup = None;
    }
}

async fn external(path: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
    options.connect().await.unwrap_or_else(|error| panic!("the server's database is not opened: {error}"))
}
