//! Postgres: any server from 13 on, no superuser, no replication slot.

mod capture;
mod clock;
mod encode;
mod provision;
mod pull;

pub(super) use pull::Snapshot;

use super::{StoreError, StoreSettings, scope::ScopeSql};
use crate::schema::Schema;
use pull::PullSql;
use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{str::FromStr, time::Duration};

/// One app's Postgres.
pub(super) struct PostgresStore {
    pool: PgPool,
    db: DatabaseConnection,
    sql: PullSql,
}

/// Serialises provisioning among servers that start together; any constant of ours will do.
const PROVISION_LOCK: i64 = 20_058;

impl PostgresStore {
    pub(super) async fn connect(settings: &StoreSettings, schema: &Schema) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(&settings.url)?.application_name("nizhal").options([
            // Pulls are short; compiling them costs more than it saves.
            ("jit", "off"),
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "15s"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(settings.pool)
            .acquire_timeout(Duration::from_secs(10))
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
        Ok(Self { pool, db, sql: PullSql::new(schema) })
    }

    pub(super) async fn plan(&self, schema: &Schema, epoch: &str) -> Result<Vec<String>, StoreError> {
        let mut db = self.pool.acquire().await?;
        provision::plan(&mut db, schema, epoch).await
    }

    pub(super) async fn provision(&self, schema: &Schema, epoch: &str) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("select pg_advisory_xact_lock($1)").bind(PROVISION_LOCK).execute(&mut *tx).await?;
        for statement in provision::plan(&mut tx, schema, epoch).await? {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    pub(super) async fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        Snapshot::open(&self.pool, &self.sql).await
    }

    pub(super) fn scope_sql(&self) -> &ScopeSql {
        &self.sql.scope
    }

    pub(super) fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}
