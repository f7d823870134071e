//! A server: everything a request needs, behind one pointer.

use super::{
    admin::AdminGuard,
    admission::{Admission, MaxTurns},
    body::Limits,
    gate::VersionGate,
    limit::Limiter,
    own_routes::OwnRoutes,
    pace::Pace,
    socket::limit::Sockets,
};
use crate::{
    auth::Authenticator,
    blob::Blobs,
    cluster::{Realtime, Scopes},
    contract::Contract,
    counts::Counts,
    engine::Engine,
    environment::Environment,
    hub::{Hub, Presence},
    observe::{Observers, PullEvent},
    retention::Retention,
    settings::{self, Settings},
};
use nizhal_core::DateTimeUtc;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};

/// A running sync server without a listener of its own; cheap to clone.
///
/// Made by [`Nizhal::server`](crate::Nizhal::server). Mount it into an actix-web app with [`routes`](Self::routes):
///
/// ```ignore
/// let server = Nizhal::app("ledger").tables(tables![Customer]).rules(ledger_rules()).server().await?;
/// HttpServer::new({
///     let server = server.clone();
///     move || App::new().route("/hello", web::get().to(hello)).configure(server.routes())
/// })
/// .bind(("127.0.0.1", 4000))?
/// .run()
/// .await?;
/// server.shutdown().await;
/// ```
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

/// The parts of a server.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) engine: Engine,
    /// The blobs, where there is a store for them.
    pub(crate) blobs: Option<Blobs>,
    pub(crate) hub: Hub,
    /// How servers hear of each other, and what tells this database from others.
    pub(crate) realtime: (settings::Realtime, String),
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) contract: Contract,
    pub(crate) gate: VersionGate,
    pub(crate) routes: Vec<OwnRoutes>,
}

struct Inner {
    name: String,
    settings: Settings,
    engine: Arc<Engine>,
    blobs: Option<Blobs>,
    hub: Hub,
    realtime: Realtime,
    sockets: Sockets,
    environment: Arc<dyn Environment>,
    authenticator: Arc<dyn Authenticator>,
    contract: Contract,
    gate: VersionGate,
    routes: Vec<OwnRoutes>,
    limiter: Option<Limiter>,
    admin: AdminGuard,
    counts: Counts,
    admission: Admission,
    stopping: watch::Sender<bool>,
    /// Nothing happens here any more that others should hear of.
    ended: watch::Sender<bool>,
    linked: Mutex<Vec<JoinHandle<()>>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    started: Instant,
}

/// How long the bodies that are on their way may still take once the server stops.
const STOP_BODIES_TIME: Duration = Duration::from_secs(5);
/// How long a shutdown waits for its sockets' close frames.
const CLOSE_SOCKETS_TIME: Duration = Duration::from_secs(5);

impl Server {
    pub(crate) fn new(parts: Parts) -> Self {
        let limiter = parts.settings.rate_limit.map(Limiter::new);
        let admin = AdminGuard::new(parts.settings.admin_password.clone());
        // Half of the database's connections may be held by pulls that are streamed, and half by one actor's pages or pushes.
        let half = (parts.settings.db_pool / 2).max(1);
        let pulls = usize::try_from(half).unwrap_or(usize::MAX);
        // SQLite has one writer: two of an actor's pushes share a commit, and more would only stand in line before others'.
        let pushes = if parts.engine.store.has_one_writer() { 2 } else { pulls };
        let admission = Admission::new(&parts.settings.admission, half, MaxTurns { pushes, pulls });
        let engine = Arc::new(parts.engine);
        let (mode, database) = parts.realtime;
        let environment = parts.environment;
        let realtime = Realtime::new(&engine, parts.hub.clone(), environment.clone(), &parts.settings, mode, &database);
        Self {
            inner: Arc::new(Inner {
                sockets: Sockets::default(),
                realtime,
                ended: watch::Sender::new(false),
                linked: Mutex::default(),
                admission,
                name: parts.name,
                settings: parts.settings,
                engine,
                blobs: parts.blobs,
                hub: parts.hub,
                environment,
                authenticator: parts.authenticator,
                contract: parts.contract,
                gate: parts.gate,
                routes: parts.routes,
                limiter,
                admin,
                counts: Counts::default(),
                stopping: watch::Sender::new(false),
                workers: Mutex::default(),
                started: Instant::now(),
            }),
        }
    }

    /// Begins the work beside requests: pings for writes that this process does not make, and forgetting what is old.
    /// It ends with [`close_sockets`](Self::close_sockets) and [`shutdown`](Self::shutdown).
    pub(crate) fn begin_tasks(&self) {
        let linked = self.inner.realtime.start(&self.inner.ended.subscribe());
        self.inner.linked.lock().unwrap_or_else(PoisonError::into_inner).extend(linked);
        let engine = self.inner.engine.clone();
        let settings = &self.inner.settings;
        // None are written, or all are kept.
        let audit_days = settings.audit_days.filter(|days| *days > 0);
        let blobs = self.inner.blobs.clone();
        tokio::spawn(crate::image::make(engine.clone(), self.stopping()));
        if settings.tombstone_days.is_some() || audit_days.is_some() || blobs.is_some() {
            let blob_days = settings.blobs.grace_days(settings.tombstone_days);
            let days = Retention { tombstone_days: settings.tombstone_days, audit_days, blob_days };
            tokio::spawn(crate::retention::collect(engine, blobs, days, self.stopping()));
        }
    }

    /// Begins to run jobs; ends with [`close_sockets`](Self::close_sockets), each worker after the job it is at.
    pub(crate) fn start_workers(&self) {
        let started = crate::job::start(&self.inner.engine, self.inner.settings.job_workers, &self.stopping());
        self.inner.workers.lock().unwrap_or_else(PoisonError::into_inner).extend(started);
    }

    /// Closes the sockets, waits for them and for jobs that run, then closes the database. Call it after your listener has stopped taking
    /// requests, or before it if sockets hold it up.
    pub async fn shutdown(&self) {
        self.close_sockets();
        let closing = async {
            while self.inner.hub.stats().sockets > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // A peer that does not read its close frame is left behind.
        let _ = tokio::time::timeout(CLOSE_SOCKETS_TIME, closing).await;
        let workers = std::mem::take(&mut *self.inner.workers.lock().unwrap_or_else(PoisonError::into_inner));
        for worker in workers {
            // One that panicked is at its end too.
            let _ = worker.await;
        }
        // Other servers are told of the last commits, then goodbye.
        self.inner.ended.send_replace(true);
        let linked = std::mem::take(&mut *self.inner.linked.lock().unwrap_or_else(PoisonError::into_inner));
        for task in linked {
            let _ = task.await;
        }
        self.inner.engine.store.close().await;
    }

    /// Tells every socket to close with 1012, and refuses new ones; begins no more jobs.
    pub fn close_sockets(&self) {
        self.inner.stopping.send_replace(true);
    }

    /// The settings it runs with.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The pace of a part of a blob, and when it is not waited for any more since the server stops.
    pub(crate) fn part_limits(&self) -> (Pace, impl Future<Output = ()> + use<'_>) {
        (self.pace(), self.stopped_for(STOP_BODIES_TIME))
    }

    /// The limits of a request's body, and when it is not waited for any more since the server stops.
    pub(crate) fn body_limits(&self) -> (Limits, impl Future<Output = ()> + use<'_>) {
        let settings = self.settings();
        (Limits { bytes: settings.max_body_bytes, pace: self.pace() }, self.stopped_for(STOP_BODIES_TIME))
    }

    /// The least speed of whoever sends.
    pub(crate) fn pace(&self) -> Pace {
        let settings = &self.settings().connections;
        Pace { grace: settings.body_time, bytes_per_second: settings.min_bytes_per_second.get() }
    }

    /// The least speed of whoever reads.
    pub(crate) fn send_pace(&self) -> Pace {
        Pace { grace: self.settings().connections.send_time, ..self.pace() }
    }

    /// The engine, for work beside HTTP.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.inner.engine
    }

    /// The blobs, where there is a store for them.
    pub(crate) fn blobs(&self) -> Option<&Blobs> {
        self.inner.blobs.as_ref()
    }

    /// The hub, to ping buckets after writes outside a mutator.
    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// The contract document.
    pub fn contract(&self) -> &Contract {
        &self.inner.contract
    }

    /// The app's database, for its own queries.
    pub fn database(&self) -> &sea_orm::DatabaseConnection {
        self.inner.engine.store.connection()
    }

    pub(crate) fn own_routes(&self) -> &[OwnRoutes] {
        &self.inner.routes
    }

    pub(crate) fn name(&self) -> &str {
        &self.inner.name
    }

    pub(crate) fn database_kind(&self) -> &'static str {
        self.inner.engine.store.kind()
    }

    pub(crate) fn presence(&self) -> &Presence {
        &self.inner.realtime.presence
    }

    pub(crate) fn realtime(&self) -> &Realtime {
        &self.inner.realtime
    }

    pub(crate) fn scopes(&self) -> &Scopes {
        &self.inner.realtime.scopes
    }

    pub(crate) fn sockets(&self) -> &Sockets {
        &self.inner.sockets
    }

    pub(crate) fn environment(&self) -> &dyn Environment {
        self.inner.environment.as_ref()
    }

    pub(crate) fn now(&self) -> DateTimeUtc {
        self.inner.environment.now()
    }

    pub(crate) fn authenticator(&self) -> &dyn Authenticator {
        self.inner.authenticator.as_ref()
    }

    pub(crate) fn gate(&self) -> &VersionGate {
        &self.inner.gate
    }

    pub(crate) fn limiter(&self) -> Option<&Limiter> {
        self.inner.limiter.as_ref()
    }

    pub(crate) fn admin(&self) -> &AdminGuard {
        &self.inner.admin
    }

    pub(crate) fn observers(&self) -> &Observers {
        self.inner.engine.observers()
    }

    /// Counts a pull, and tells observers of it.
    pub(crate) fn pulled(&self, event: &PullEvent<'_>) {
        self.inner.counts.pulled(event.rows, event.bytes, event.reset, event.duration);
        self.observers().pull(event);
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.inner.counts
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.inner.admission
    }

    /// Resolves once the server has been stopping for so long.
    pub(crate) async fn stopped_for(&self, time: Duration) {
        if self.stopping().wait_for(|stopping| *stopping).await.is_ok() {
            tokio::time::sleep(time).await;
        }
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.inner.started.elapsed()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.inner.stopping.borrow()
    }

    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.inner.stopping.subscribe()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("name", &self.inner.name).finish_non_exhaustive()
    }
}
