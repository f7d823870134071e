//! The server: the real engine over a real SQLite file, without HTTP around it.

use crate::blobs::{self, GRACE_DAYS};
use crate::device::some_sql;
use crate::fixture::{Fixture, connect};
use crate::images::ImageFiles;
use crate::net::{BLOB, IMAGE, ServerResponse, Truth, pull_start};
use futures_util::FutureExt as _;
use nizhal_client::transport::Request;
use nizhal_core::wire::{PullRequest, PushRequest, Wire};
use nizhal_core::{DateTimeUtc, NodeId, Random, Uuid};
use nizhal_runtime::engine::{Demand, Engine, Environment, Line, Making, PullError};
use nizhal_runtime::hub::Hub;
use nizhal_runtime::store::{Failpoints, StatementFault, Store, StoreError};
use nizhal_runtime::{BlobEndpoints, Lines};
use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is counted when the server fails at a mutation of which the app says so.
const POISON: &str = "mutation that fails each time";

/// Whose power goes: a panic that no hook hears of.
struct Killed;

/// The server's time and ids, and its end.
pub(crate) struct World {
    now_ms: AtomicI64,
    random: Mutex<Random>,
    /// How often it may still be asked before the server dies.
    fuse: AtomicU64,
}

impl World {
    fn burn(&self) {
        let left = self.fuse.load(Relaxed);
        if left == 0 {
            std::panic::resume_unwind(Box::new(Killed));
        }
        if left != u64::MAX {
            self.fuse.store(left - 1, Relaxed);
        }
    }
}

impl Environment for World {
    fn now(&self) -> DateTimeUtc {
        self.burn();
        DateTimeUtc::from_timestamp_millis(self.now_ms.load(Relaxed)).unwrap_or_default()
    }
    fn new_id(&self) -> Uuid {
        self.burn();
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        uuid(&mut random)
    }
}

/// An id that a seed decides.
pub(crate) fn uuid(random: &mut Random) -> Uuid {
    let (high, low) = (random.next_u64(), random.next_u64());
    uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()).into_uuid()
}

/// One server and its database.
pub(crate) struct Server {
    engine: Option<Engine>,
    world: Arc<World>,
    failpoints: Arc<Failpoints>,
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
    blobs: Option<BlobEndpoints>,
    blob_folder: PathBuf,
    /// Whether the store of blobs cannot be reached.
    pub(crate) blobs_away: bool,
    /// Who completed the upload of which blob.
    pub(crate) uploaded: BTreeSet<(usize, String)>,
}

impl Server {
    pub(crate) async fn new(fixture: &Fixture<'_>) -> Self {
        let path = fixture.workdir.path("server-0.db");
        fixture.new_database(&path);
        let random = Mutex::new(Random::of("server"));
        let world = Arc::new(World { now_ms: AtomicI64::new(0), random, fuse: AtomicU64::new(u64::MAX) });
        let mut server = Self {
            engine: None,
            external: external(&path).await,
            world,
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
        };
        server.start(fixture).await;
        server
    }

    async fn start(&mut self, fixture: &Fixture<'_>) {
        let version = &fixture.versions[self.version];
        let store = connect(&self.path, version).await;
        let settled = store.record_incarnation().await;
        settled.unwrap_or_else(|error| panic!("the server does not start: {error:?}"));
        self.starts += 1;
        self.world.fuse.store(u64::MAX, Relaxed);
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
        self.world.fuse.store(u64::from(calls), Relaxed);
    }

    pub(crate) fn spare(&mut self) {
        self.world.fuse.store(u64::MAX, Relaxed);
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
        self.world.now_ms.store(now_ms, Relaxed);
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
        Ok(true)
    }

    /// What somebody else writes.
    pub(crate) async fn sql(&mut self, sql: &str) -> Result<u64, String> {
        let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut self.external).await;
        done.map(|done| done.rows_affected()).map_err(|error| format!("`{sql}` fails: {error}"))
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

    /// Marks blobs that no row names, and removes them as after the grace.
    pub(crate) async fn collect_blobs(&mut self) -> Result<u64, String> {
        let Some(endpoints) = &self.blobs else { return Ok(0) };
        let now = self.world.now_ms.load(Relaxed);
        let at = |ms: i64| DateTimeUtc::from_timestamp_millis(ms).unwrap_or_default();
        let later = now + i64::from(GRACE_DAYS + 1) * 86_400_000;
        let collecting = async {
            endpoints.collect(at(now), GRACE_DAYS).await?;
            endpoints.collect(at(later), GRACE_DAYS).await
        };
        match self.under_faults(collecting, || Ok(0)).await.unwrap_or(Ok(0)) {
            Err(_) if self.took_fault().is_some() => Ok(0),
            collected => collected.map_err(|error| format!("blobs are not collected: {error}")),
        }
    }

    /// Asks the endpoints of blobs as a user; the status and the body, or `None` when the server died of it.
    pub(crate) async fn ask_blobs(
        &mut self,
        fixture: &Fixture<'_>,
        user: usize,
        method: &str,
        url: &str,
        body: &[u8],
    ) -> Result<Option<(u16, Vec<u8>)>, String> {
        let (Some(engine), Some(endpoints)) = (&self.engine, &self.blobs) else { return Ok(None) };
        let answering = endpoints.answer(engine, &fixture.users[user], blobs::call(method, url, body));
        let Some((status, said)) = self.under_faults(answering, || (503, Vec::new())).await else {
            self.kill(fixture).await;
            return Ok(None);
        };
        if status == 500 && self.took_fault().is_none() {
            return Err(format!("the server fails at {method} {url}: {}", String::from_utf8_lossy(&said)));
        }
        if let (200, true) = (status, url.ends_with("/complete")) {
            let blob: Value = serde_json::from_slice(&said).unwrap_or_default();
            self.uploaded.insert((user, blob["sha256"].as_str().unwrap_or_default().to_owned()));
        }
        Ok(Some((status, said)))
    }

    /// Makes an image of one of the user's buckets; whether it did, and `None` when the server died of it.
    pub(crate) async fn make_image(
        &mut self,
        fixture: &Fixture<'_>,
        user: usize,
        draw: u32,
    ) -> Result<Option<bool>, String> {
        let Some(engine) = &self.engine else { return Ok(Some(false)) };
        let making = async {
            let scope = engine.scope(&fixture.users[user]).await.map_err(|error| format!("{error:?}"))?;
            let count = scope.len().max(1);
            let bucket = scope.iter().nth(usize::try_from(draw >> 8).unwrap_or_default() % count);
            let Some(bucket) = bucket else { return Ok(false) };
            let made = engine.make_image(bucket, Demand::Sync).await;
            made.map(|made| made == Making::Made).map_err(|error| format!("no image is made: {error:?}"))
        };
        // The database may be newer than the server.
        let making =
            making.map(|made| made.or_else(|error| if error.contains("OtherRules") { Ok(false) } else { Err(error) }));
        let made = self.under_faults(making, || Ok(false)).await;
        self.done(fixture, made).await
    }

    /// Forgets images; whether there was one to forget, and `None` when the server died of it.
    pub(crate) async fn forget_images(&mut self, fixture: &Fixture<'_>) -> Result<Option<bool>, String> {
        let Some(engine) = &self.engine else { return Ok(Some(false)) };
        let forgetting = engine.forget_images().map(|forgotten| {
            forgotten.map(|count| count > 0).map_err(|error| format!("images are not forgotten: {error:?}"))
        });
        let forgotten = self.under_faults(forgetting, || Ok(false)).await;
        self.done(fixture, forgotten).await
    }

    /// Work of the server's that may meet the faults which wait for it: given up where a statement falls silent, wherever that is, and
    /// `None` where the server died of it.
    async fn under_faults<T>(&self, work: impl Future<Output = T>, given_up: impl FnOnce() -> T) -> Option<T> {
        let work = async {
            tokio::select! {
                biased;
                done = work => done,
                () = self.failpoints.silence() => given_up(),
            }
        };
        match AssertUnwindSafe(Box::pin(work)).catch_unwind().await {
            _ if self.world.fuse.load(Relaxed) == 0 => None,
            Ok(done) => Some(done),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// What came of work that no device waits for: a fault of its database is no reason to fail.
    async fn done(
        &mut self,
        fixture: &Fixture<'_>,
        done: Option<Result<bool, String>>,
    ) -> Result<Option<bool>, String> {
        match done {
            None => {
                self.kill(fixture).await;
                Ok(None)
            }
            Some(Err(_)) if self.took_fault().is_some() => Ok(Some(false)),
            Some(done) => done.map(Some),
        }
    }

    /// Answers a request; `None` when the server died of it.
    pub(crate) async fn answer(
        &mut self,
        fixture: &Fixture<'_>,
        user: usize,
        request: &Request,
    ) -> Result<Option<ServerResponse>, String> {
        if request.path == IMAGE {
            return Ok(Some(self.images.answer(&request.body)));
        }
        if request.path == BLOB && self.blobs_away {
            return Ok(Some(ServerResponse::refusal(503, "unavailable", Some(1_000))));
        }
        if self.refused.contains(&request.token) {
            return Ok(Some(ServerResponse::refusal(401, "unauthorized", None)));
        }
        if request.path == BLOB {
            let Some((method, url, body)) = blobs::asked(&request.body) else { return Ok(Some(unreadable())) };
            let answered = self.ask_blobs(fixture, user, &method, &url, &body).await?;
            let took = self.took_fault();
            return Ok(
                answered.map(|(status, body)| ServerResponse { took, ..ServerResponse::of(status, false, body) })
            );
        }
        let Some(engine) = &self.engine else { return Ok(None) };
        let principal = &fixture.users[user];
        let answering = async {
            match request.path {
                "/sync/push" => push(engine, principal, request).await,
                _ => pull(engine, principal, request, self.page_rows).await,
            }
        };
        let given_up = || Ok(ServerResponse::refusal(503, "unavailable", Some(1_000)));
        let Some(answered) = self.under_faults(answering, given_up).await else {
            self.kill(fixture).await;
            return Ok(None);
        };
        let mut answer = answered?;
        answer.era = self.era;
        answer.took = self.took_fault().or_else(|| fails(fixture, request).then_some(POISON));
        if let (Some(cause), None) = (&answer.cause, answer.took) {
            return Err(format!("the server fails at {}: {cause}", request.path));
        }
        if request.path == "/sync/pull" && answer.status == 200 {
            let grown = self.version == 1;
            let asked = pull_start(request).and_then(|start| start.buckets);
            let rows = fixture.shown.rows(&mut self.external, user, grown, asked.as_deref()).await?;
            answer.truth = Some(Rc::new(Truth { rows, grown }));
        }
        Ok(Some(answer))
    }
}

async fn external(path: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
    options.connect().await.unwrap_or_else(|error| panic!("the server's database is not opened: {error}"))
}

async fn push(
    engine: &Engine,
    principal: &nizhal_core::Principal,
    request: &Request,
) -> Result<ServerResponse, String> {
    let Ok(batch) = serde_json::from_slice::<PushRequest>(&request.body) else { return Ok(unreadable()) };
    let reply = engine.push(principal, Wire::Two, batch).await;
    let cause = reply.fault.as_ref().map(|fault| format!("{fault:?}"));
    let (body, fault) = nizhal_runtime::push_body(reply);
    let status = fault.unwrap_or(200);
    Ok(ServerResponse { cause: cause.filter(|_| status == 500), ..ServerResponse::of(status, false, body) })
}

async fn pull(
    engine: &Engine,
    principal: &nizhal_core::Principal,
    request: &Request,
    page_rows: u8,
) -> Result<ServerResponse, String> {
    let Ok(mut wanted) = serde_json::from_slice::<PullRequest>(&request.body) else { return Ok(unreadable()) };
    // A server may always send less than is asked for.
    wanted.limit = Some(i64::from(page_rows));
    let done = |lines, body| ServerResponse::of(200, lines, body);
    if !request.lines {
        return match engine.pull(principal, Wire::Two, wanted).await {
            Ok(page) => Ok(done(false, page.body)),
            Err(error) => Ok(failed(&error)),
        };
    }
    let (to, mut from) = tokio::sync::mpsc::channel(1_000);
    engine.pull_lines(principal, &wanted, &Lines::new(to, Duration::from_secs(60))).await;
    let mut body = Vec::new();
    while let Some(line) = from.recv().await {
        match line {
            Ok(Line::Rows(line) | Line::Last { line, .. }) => body.extend(line),
            Err(error) => return Ok(failed(&error)),
        }
    }
    Ok(done(true, body))
}

/// The answer to what is no request.
fn unreadable() -> ServerResponse {
    ServerResponse::refusal(400, "bad_request", None)
}

/// A server that is older than its database says so; anything else is a fault.
fn failed(error: &PullError) -> ServerResponse {
    let cause = match error {
        PullError::Store(StoreError::OtherRules) => None,
        error => Some(format!("{error:?}")),
    };
    ServerResponse { cause, ..ServerResponse::refusal(503, "unavailable", Some(1_000)) }
}

/// Whether a push has a mutation at which the server fails every time.
fn fails(fixture: &Fixture<'_>, request: &Request) -> bool {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let mutations = body.get("mutations").and_then(Value::as_array).into_iter().flatten();
    mutations
        .map(|mutation| (mutation["name"].as_str().unwrap_or_default(), &mutation["args"]))
        .any(|(name, args)| fixture.fails(name, args))
}
