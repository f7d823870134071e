//! The connections to Postgres: tested when they were idle, replaced all at once when the database falls silent on them.
//!
//! Whatever stands between (a forwarder, a firewall, a failover) may forget a connection without a word. The driver waits on such a
//! one for ever, also when it is given back, and its place in the pool with it. So every wait has a limit, and a pool on which
//! nobody got an answer for a while is *retired*: the next asker gets a new one, and what runs on the old one goes on to its end.
//!
//! Decision: book/src/decisions/postgres.md#every-wait-on-postgres-has-a-limit

use super::renewal::Renewal;
use crate::store::{error::StoreError, limit::ANSWER_TIMEOUT};
use sea_orm::{ConnAcquireErr, DatabaseConnection, DbErr, RuntimeErr, SqlxPostgresConnector};
use sqlx::{
    Connection, PgConnection, PgPool,
    pool::PoolConnectionMetadata,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// How long a task waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may be idle and yet be used untested.
const UNTESTED_IDLE: Duration = Duration::from_secs(1);
/// How long a test may take.
const TEST_TIMEOUT: Duration = Duration::from_secs(2);
/// After how long without any answer the pool is retired.
const SILENCE: Duration = Duration::from_secs(3);
/// How often it may be.
const RETIREMENT_INTERVAL: Duration = Duration::from_secs(10);
/// How long what runs on a retired pool may go on.
const RETIRED_TIMEOUT: Duration = Duration::from_secs(60);

/// The pool of now, and those before it.
#[derive(Debug)]
pub(super) struct Pools {
    options: Box<PgConnectOptions>,
    size: u32,
    first: Box<Generation>,
    suspicion: Arc<Suspicion>,
}

#[derive(Debug)]
struct Generation {
    pool: PgPool,
    db: DatabaseConnection,
    begun: Instant,
    next: OnceLock<Box<Generation>>,
}

/// The suspicions against connections.
#[derive(Debug)]
struct Suspicion {
    suspects: Mutex<Suspects>,
    /// Which connections are older than their tables.
    renewal: Renewal,
}

#[derive(Debug)]
struct Suspects {
    /// Backends whose connections are to be closed.
    broken: BTreeSet<i32>,
    /// When one was last found dead: whichever was idle then is tested before it is used.
    dead_at: Option<Instant>,
    /// When the database last answered anybody.
    answered_at: Instant,
    /// Whether a test had no answer.
    is_silent: bool,
}

impl Suspicion {
    fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connection that is about to be used is of use.
    async fn may_use(&self, db: &mut PgConnection, meta: PoolConnectionMetadata) -> bool {
        if !self.renewal.allows(meta.age) || db.is_in_transaction() || self.is_broken(db).await {
            return false;
        }
        let dead_since = self.suspects().dead_at.map(|at| at.elapsed());
        if meta.idle_for < UNTESTED_IDLE && dead_since.is_none_or(|since| since > meta.idle_for) {
            return true;
        }
        match tokio::time::timeout(TEST_TIMEOUT, db.ping()).await {
            Ok(Ok(())) => true,
            Ok(Err(_)) => {
                self.found_dead();
                false
            }
            Err(_) => {
                self.suspects().is_silent = true;
                false
            }
        }
    }

    /// Whether this connection's transaction ended with an error; asked only while there is such a one.
    async fn is_broken(&self, db: &mut PgConnection) -> bool {
        if self.suspects().broken.is_empty() {
            return false;
        }
        let backend = sqlx::query_scalar("select pg_backend_pid()").fetch_one(db);
        match tokio::time::timeout(TEST_TIMEOUT, backend).await {
            Ok(Ok(backend)) => self.suspects().broken.remove(&backend),
            _ => true,
        }
    }

    fn found_dead(&self) {
        self.suspects().dead_at = Some(Instant::now());
    }
}

impl Pools {
    pub(super) async fn connect(options: PgConnectOptions, size: u32, renewal: Renewal) -> Result<Self, StoreError> {
        let suspects =
            Suspects { broken: BTreeSet::new(), dead_at: None, answered_at: Instant::now(), is_silent: false };
        let suspicion = Arc::new(Suspicion { suspects: Mutex::new(suspects), renewal });
        let pool = pool_options(size, &suspicion).connect_with(options.clone()).await?;
        let (first, options) = (Box::new(Generation::new(pool)), Box::new(options));
        Ok(Self { options, size, first, suspicion })
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    fn current(&self) -> &Generation {
        if std::mem::take(&mut self.suspicion.suspects().is_silent) {
            self.retire();
        }
        self.last()
    }

    fn last(&self) -> &Generation {
        let mut last = &self.first;
        while let Some(next) = last.next.get() {
            last = next;
        }
        last
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.current().pool
    }

    pub(super) fn db(&self) -> &DatabaseConnection {
        &self.current().db
    }

    /// Puts a new pool in the place of one that nobody got an answer from.
    pub(super) fn retire(&self) {
        let old = self.last();
        if old.begun.elapsed() < RETIREMENT_INTERVAL && old.next.get().is_none() && old.begun > self.first.begun {
            return;
        }
        let mut is_new = false;
        old.next.get_or_init(|| {
            is_new = true;
            let pool = pool_options(self.size, &self.suspicion).connect_lazy_with((*self.options).clone());
            Box::new(Generation::new(pool))
        });
        if is_new {
            tracing::warn!("the database does not answer on its connections; they are replaced");
            self.suspicion.suspects().answered_at = Instant::now();
            let pool = old.pool.clone();
            tokio::spawn(async move {
                // Whoever waits for an answer there may get it yet.
                let _ = tokio::time::timeout(RETIRED_TIMEOUT, pool.close()).await;
            });
        }
    }

    /// Closes this backend's connection when it is given back; every connection where it is not known which.
    pub(super) fn mark_broken(&self, backend: Option<i32>) {
        match backend {
            Some(backend) => {
                self.suspicion.suspects().broken.insert(backend);
            }
            None => self.retire(),
        }
    }

    /// Sees to it that nobody gets the connection on which a transaction ended with this error.
    pub(super) fn mark_broken_by(&self, error: &StoreError, backend: Option<i32>) {
        // A dead one closes by itself.
        if !self.is_dead(error) {
            self.mark_broken(backend);
        }
    }

    /// Waits for an answer of the database, not longer than this. Where nobody else gets one either, the pool is retired.
    pub(super) async fn wait<T, E: Into<StoreError>>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StoreError> {
        self.wait_for(limit, false, work).await
    }

    /// The same for what may begin again: it is given up as [dead](Self::is_dead) when its pool is retired.
    pub(super) async fn wait_to_begin<T, E: Into<StoreError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StoreError> {
        self.wait_for(ANSWER_TIMEOUT, true, work).await
    }

    async fn wait_for<T, E: Into<StoreError>>(
        &self,
        limit: Duration,
        may_begin_again: bool,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StoreError> {
        let (began, pool) = (Instant::now(), self.last());
        let mut work = std::pin::pin!(work);
        loop {
            let pause = SILENCE.min(limit.saturating_sub(began.elapsed()));
            if let Ok(answer) = tokio::time::timeout(pause, work.as_mut()).await {
                self.suspicion.suspects().answered_at = Instant::now();
                return answer.map_err(Into::into);
            }
            let is_over = began.elapsed() >= limit;
            if is_over || self.is_silent().await {
                self.retire();
            }
            if may_begin_again && pool.next.get().is_some() {
                return Err(StoreError::Unavailable(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)));
            }
            if is_over {
                return Err(silence());
            }
        }
    }

    /// Whether a connection was found dead; then those that are idle are tested before they are used.
    pub(super) fn is_dead(&self, error: &StoreError) -> bool {
        let is_dead = matches!(error, StoreError::Unavailable(error) if is_dead(error));
        if is_dead {
            self.suspicion.found_dead();
        }
        is_dead
    }

    /// Whether nobody gets an answer: nobody did for a while, and one that is asked for now does not come.
    async fn is_silent(&self) -> bool {
        if self.suspicion.suspects().answered_at.elapsed() < SILENCE {
            return false;
        }
        // One statement may take its time; where all connections are busy, they all do.
        let Some(mut idle) = self.last().pool.try_acquire() else { return true };
        match tokio::time::timeout(TEST_TIMEOUT, idle.ping()).await {
            Ok(Ok(())) => {
                self.suspicion.suspects().answered_at = Instant::now();
                false
            }
            Ok(Err(_)) => {
                self.suspicion.found_dead();
                false
            }
            Err(_) => true,
        }
    }

    pub(super) async fn close(&self) {
        self.last().pool.close().await;
    }
}

impl Generation {
    fn new(pool: PgPool) -> Self {
        let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
        Self { pool, db, begun: Instant::now(), next: OnceLock::new() }
    }
}

fn pool_options(size: u32, suspicion: &Arc<Suspicion>) -> PgPoolOptions {
    let (acquired, released) = (suspicion.clone(), suspicion.clone());
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(move |db, meta| {
            let suspicion = acquired.clone();
            Box::pin(async move { Ok(suspicion.may_use(db, meta).await) })
        })
        .after_release(move |db, _| {
            let suspicion = released.clone();
            Box::pin(async move { Ok(!db.is_in_transaction() && !suspicion.is_broken(db).await) })
        })
}

fn silence() -> StoreError {
    StoreError::Unavailable(DbErr::Conn(RuntimeErr::Internal("the database did not answer in time".to_owned())))
}

/// Whether the connection was gone: the network's errors, and the last words of a session that the database ended.
fn is_dead(error: &DbErr) -> bool {
    let cause = match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => return true,
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => cause,
        _ => return false,
    };
    match &**cause {
        sqlx::Error::Database(refusal) => {
            // admin_shutdown, crash_shutdown, idle_session_timeout
            matches!(refusal.code().as_deref(), Some("57P01" | "57P02" | "57P05"))
        }
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolClosed => true,
        _ => false,
    }
}
