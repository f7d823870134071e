//! How the database does: how far its horizon lags and who holds it back, and how busy the pool is.

use super::{
    StoreError,
    database::{Backend, Store},
    limit::ANSWER_TIMEOUT,
    postgres,
};
use sea_orm::{ConnectionTrait, Statement};
use std::time::Instant;

/// Where deliveries stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Horizon {
    /// The last version drawn.
    pub version: i64,
    /// Versions up to here are delivered.
    pub horizon: i64,
}

impl Horizon {
    /// How many versions wait for a transaction that is open.
    pub fn lag(self) -> i64 {
        self.version - self.horizon
    }
}

/// The session that holds the horizon back; what the database does not tell us of it is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// Its process id.
    pub pid: Option<i32>,
    /// What it calls itself.
    pub application_name: Option<String>,
    /// The database user.
    pub user: Option<String>,
    /// `active`, `idle in transaction`, …
    pub state: Option<String>,
    /// How long its transaction has been open, in seconds.
    pub age_seconds: Option<f64>,
    /// What its transaction was prepared as, where it is in no session any more.
    pub prepared: Option<String>,
}

/// The connections of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// Open.
    pub open: u32,
    /// Open, and waiting for work.
    pub idle: u32,
    /// As many as there may be.
    pub most: u32,
}

impl Store {
    /// Where deliveries stand now; it must be read before the snapshot that it is for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn horizon(&self) -> Result<Horizon, StoreError> {
        let sql = match &self.backend {
            Backend::Postgres(_) => "select clock as version, horizon from _nizhal_horizon()",
            // One writer at a time: what is committed has no gap.
            Backend::Sqlite(_) => "select clock as version, clock as horizon from _nizhal_control where id = 1",
        };
        let db = self.reads();
        let row = self.query_all(Statement::from_string(db.get_database_backend(), sql)).await?.pop();
        let Some(row) = row else { return Ok(Horizon::default()) };
        Ok(Horizon { version: row.try_get("", "version")?, horizon: row.try_get("", "horizon")? })
    }

    /// The rules that the database is provisioned for, as the control row names them.
    ///
    /// # Errors
    /// When the database fails or is not provisioned.
    pub async fn provisioned_rules(&self) -> Result<String, StoreError> {
        self.control("rules").await
    }

    /// Whether the database holds all of the engine's parts (columns, indexes, triggers as `plan` knows them) and takes a write. It is
    /// looked at every few seconds, however often it is asked.
    ///
    /// # Errors
    /// When something is missing, the disk is full, the database is read-only, or it fails. One that is busy is well.
    pub async fn check_whole(&self) -> Result<(), StoreError> {
        if let Backend::Sqlite(store) = &self.backend {
            store.check_file()?;
        }
        let Some(mut found) = self.readiness.stale().await else { return Ok(()) };
        let missing = self.missing().await?.len();
        if missing > 0 {
            return Err(StoreError::Schema(format!(
                "the database lacks {missing} statements of the app's schema: run `migrate` (`plan` prints them)"
            )));
        }
        if let Backend::Sqlite(store) = &self.backend {
            store.check_free_space().await?;
        }
        match self.try_write().await {
            Ok(()) | Err(StoreError::Busy) => {}
            Err(error) => return Err(error),
        }
        *found = Some(Instant::now());
        Ok(())
    }

    /// Commits a write that changes nothing.
    async fn try_write(&self) -> Result<(), StoreError> {
        let tx = self.wait(ANSWER_TIMEOUT, self.begin_undrawn()).await?;
        let sql = "update _nizhal_control set home = home where id = 1";
        self.wait(ANSWER_TIMEOUT, tx.execute_unprepared(sql)).await?;
        self.commit(tx).await
    }

    /// Who holds the horizon back; nobody on SQLite, where writers wait for each other.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn holder(&self) -> Result<Option<Holder>, StoreError> {
        let Backend::Postgres(store) = &self.backend else { return Ok(None) };
        let db = store.db();
        let row = self
            .query_one(Statement::from_string(db.get_database_backend(), postgres::holder(&store.namespace)))
            .await?;
        row.map(|row| {
            Ok(Holder {
                pid: row.try_get("", "pid")?,
                application_name: row.try_get("", "application_name")?,
                user: row.try_get("", "usename")?,
                state: row.try_get("", "state")?,
                age_seconds: row.try_get("", "age")?,
                prepared: row.try_get("", "gid")?,
            })
        })
        .transpose()
    }

    /// How busy the pool is.
    pub fn pool_use(&self) -> PoolUse {
        let idle = |idle: usize| u32::try_from(idle).unwrap_or(u32::MAX);
        match &self.backend {
            Backend::Postgres(store) => {
                let pool = store.pool();
                PoolUse { open: pool.size(), idle: idle(pool.num_idle()), most: pool.options().get_max_connections() }
            }
            Backend::Sqlite(store) => {
                let pool = store.pool();
                PoolUse { open: pool.size(), idle: idle(pool.num_idle()), most: pool.options().get_max_connections() }
            }
        }
    }
}
