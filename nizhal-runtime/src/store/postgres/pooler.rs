//! What may stand before the database: a pooler that lends connections by the transaction, and whether Nizhal can work through it.
//!
//! Such a pooler hands each statement to whichever connection is free, so statements that are prepared once and run by name must be
//! kept apart by the pooler. One that does not may run another client's statement in place of ours; the start refuses it.
//!
//! Decision: book/src/decisions/postgres.md#a-pooler-must-keep-prepared-statements-apart

use crate::store::{
    error::{MIXES, StoreError},
    sql::quote,
};
use sea_orm::{DbErr, RuntimeErr};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use std::{sync::Arc, time::Duration};

/// The advice where the connection's settings are refused.
const REFUSES: &str = "the pooler that DATABASE_URL leads to refuses the settings of Nizhal's connections: set \
    ignore_startup_parameters = options there";
/// How long a statement may wait for a connection that the other one's transaction has.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The time-outs that each connection is to have.
pub(super) const TIME_OUTS: [(&str, &str); 3] =
    [("statement_timeout", "30s"), ("lock_timeout", "10s"), ("idle_in_transaction_session_timeout", "15s")];

/// How the database finds out that we are gone, and gives up what we hold: over TCP it asks after ten silent seconds, and again.
pub(super) const KEEP_ALIVE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "15000"),
];
/// How long the first connections may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The state that a connection finds when it is made.
#[derive(Debug)]
pub(super) struct Session {
    /// The schema that tables are made in; none where the `search_path` names none that exists, and provisioning says so.
    pub(super) schema: Option<String>,
    path: String,
    synchronous_commit: String,
}

impl Session {
    /// The setting that keeps all connections in this schema, whatever the role's or the database's path becomes.
    pub(super) fn pinned(&self) -> Option<(&'static str, String)> {
        let schema = self.schema.as_deref().map(quote)?;
        let further = if self.path.trim().is_empty() { String::new() } else { format!(", {}", self.path) };
        Some(("search_path", format!("{schema}{further}")))
    }
}

/// Connects, and makes sure that what stands between lets us work.
pub(super) async fn introspect(options: &PgConnectOptions) -> Result<Session, StoreError> {
    let looking = tokio::time::timeout(CONNECT_TIMEOUT, look_closely(options));
    looking.await.map_err(|_| sqlx::Error::PoolTimedOut)?
}

async fn look_closely(options: &PgConnectOptions) -> Result<Session, StoreError> {
    // Without the pool, which would go on trying and then say only that it ran out of time.
    let mut one = PgConnection::connect_with(options).await.map_err(refused)?;
    let mut two = PgConnection::connect_with(options).await.map_err(refused)?;
    if mixes(&mut one, &mut two).await? {
        return Err(StoreError::Pooler(
            MIXES,
            DbErr::Custom("one connection ran what another had prepared".to_owned()),
        ));
    }
    // It may be in the middle of what it was asked.
    drop(one);
    warn_of_lost_time_outs(&mut two).await?;
    let sql = "select current_schema()::text, current_setting('search_path'), current_setting('synchronous_commit')";
    let (schema, path, synchronous_commit) = sqlx::query_as(sql).fetch_one(&mut two).await?;
    let session = Session { schema, path, synchronous_commit };
    two.close().await?;
    if session.synchronous_commit == "off" {
        tracing::warn!(
            "synchronous_commit is off for this database or its user: commits that answer devices wait for the disk nevertheless (`local`)"
        );
    }
    Ok(session)
}

fn refused(error: sqlx::Error) -> StoreError {
    // Poolers say so in these words, under a state that stands for much else.
    if error.as_database_error().is_some_and(|refusal| refusal.message().contains("startup parameter")) {
        return StoreError::Pooler(REFUSES, DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))));
    }
    error.into()
}

/// Whether two connections get in each other's way: each gives the same name to a statement of its own.
async fn mixes(one: &mut PgConnection, two: &mut PgConnection) -> Result<bool, StoreError> {
    let plus = async |db: &mut PgConnection| sqlx::query_scalar::<_, i64>("select $1").bind(7_i64).fetch_one(db).await;
    let minus =
        async |db: &mut PgConnection| sqlx::query_scalar::<_, i64>("select -$1").bind(7_i64).fetch_one(db).await;
    // No rhythm of taking turns among the database's connections brings each of us back to its own.
    for _ in 0..3 {
        let ones_own = plus(one).await? == 7
            && minus(two).await? == -7
            && minus(two).await? == -7
            && plus(one).await? == 7
            && plus(one).await? == 7;
        if !ones_own {
            return Ok(true);
        }
    }
    // One takes a connection away from the other, which may have been the one that knows its statement.
    for _ in 0..3 {
        let mut held = two.begin().await?;
        let found = minus(&mut held).await? != -7;
        let other = tokio::time::timeout(PROBE_TIMEOUT, plus(one)).await;
        // First, so that the other may go on.
        held.rollback().await?;
        match other {
            Ok(seven) => {
                if seven? != 7 || found {
                    return Ok(true);
                }
            }
            // It waits for a connection: there are few, and all are busy. It has its answer now.
            Err(_) => return Ok(found),
        }
    }
    Ok(false)
}

/// A pooler that takes the settings and drops them leaves the database's own, which are none.
async fn warn_of_lost_time_outs(db: &mut PgConnection) -> Result<(), StoreError> {
    let mut lost = Vec::new();
    for (name, wanted) in TIME_OUTS {
        let set: Option<String> =
            sqlx::query_scalar("select current_setting($1, true)").bind(name).fetch_one(&mut *db).await?;
        if set.is_none_or(|set| set == "0") {
            lost.push(format!("alter role current_user set {name} = '{wanted}'"));
        }
    }
    if !lost.is_empty() {
        let statements = lost.join("; ");
        tracing::warn!(
            statements,
            "the pooler that DATABASE_URL leads to drops Nizhal's time-outs: give them to the database's user"
        );
    }
    Ok(())
}
