//! One app's Postgres: its connections, and the statements that are written once.

use super::{
    clock, drift, horizon::Flights, pooler, provision, renewal::Renewal, rest::RestSql, settle::SettleSql,
    statement::PullSql,
};
use crate::{
    schema::Schema,
    store::{ddl::Seed, error::StoreError, scope::ScopeSql, settings::StoreSettings},
};
use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{str::FromStr, sync::OnceLock, time::Duration};

/// One app's Postgres.
pub(in crate::store) struct PostgresStore {
    /// Where LISTEN works: past a pooler that lends connections by the transaction.
    pub(super) listen_url: String,
    pub(super) channel: OnceLock<String>,
    pub(super) pool: PgPool,
    db: DatabaseConnection,
    pub(super) sql: PullSql,
    settle: SettleSql,
    pub(super) rest: RestSql,
    pub(super) flights: Flights,
    renewal: Renewal,
}

/// Serialises provisioning among servers that start together; any constant of ours will do.
pub(super) const PROVISION_LOCK: i64 = 20_058;

impl PostgresStore {
    pub(in crate::store) async fn connect(settings: &StoreSettings, schema: &Schema) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(&settings.url)?
            .application_name(clock::OURS)
            // One thing less that poolers must be told to pass over: floats are read in binary.
            .extra_float_digits(None)
            // Ours ping from their own process; see `clock::note_function`. Pulls are short; compiling them costs more than it saves.
            .options([("nizhal.local", "on"), ("jit", "off")])
            .options(pooler::TIME_OUTS);
        pooler::look(&options).await?;
        let renewal = Renewal::default();
        let pool = PgPoolOptions::new()
            .max_connections(settings.pool)
            .acquire_timeout(Duration::from_secs(10))
            .test_before_acquire(false)
            .before_acquire({
                let renewal = renewal.clone();
                move |_, connection| Box::pin(std::future::ready(Ok(renewal.allows(connection.age))))
            })
            .connect_with(options)
            .await?;
        let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
        let (sql, settle, rest) = (PullSql::new(schema), SettleSql::new(schema.rules()), RestSql::new(schema));
        let (listen_url, channel) = (settings.url.clone(), OnceLock::new());
        Ok(Self { listen_url, channel, pool, db, sql, settle, rest, flights: Flights::default(), renewal })
    }

    pub(in crate::store) async fn plan(&self, schema: &Schema, seed: &Seed) -> Result<Vec<String>, StoreError> {
        let mut db = self.pool.acquire().await?;
        provision::plan(&mut db, schema, seed).await
    }

    pub(in crate::store) async fn provision(&self, schema: &Schema, seed: &Seed) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("select pg_advisory_xact_lock($1)").bind(PROVISION_LOCK).execute(&mut *tx).await?;
        for statement in provision::plan(&mut tx, schema, seed).await? {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Looks whether a partition of a synced table is gone, and has all devices start again when one is.
    pub(in crate::store) async fn check_partitions(&self, schema: &Schema) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("select pg_advisory_xact_lock($1)").bind(PROVISION_LOCK).execute(&mut *tx).await?;
        let plan = drift::introspect(&mut tx).await?.remember(schema);
        let gone = plan.iter().any(|statement| statement.starts_with("update"));
        for statement in plan {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(gone)
    }

    /// By the number of tombstones, which is small beside the rows; runs rarely.
    pub(in crate::store) async fn collect_tombstones(&self, days: u32) -> Result<u64, StoreError> {
        let sql = "with forgotten as (delete from _nizhal_deletes where at < now() - make_interval(days => $1)), \
            sets as (delete from _nizhal_bucket_sets where at < now() - make_interval(days => $1)), \
            gone as (delete from _nizhal_tombstones where at < now() - make_interval(days => $1) returning version), \
            noted as (update _nizhal_control set collected = greatest(collected, coalesce((select max(version) from gone), 0)) \
            where id = 1) select count(*) from gone";
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        let count: i64 = sqlx::query_scalar(sql).bind(days).fetch_one(&self.pool).await?;
        Ok(count.unsigned_abs())
    }

    pub(in crate::store) fn scope_sql(&self) -> &ScopeSql {
        &self.sql.scope
    }

    pub(in crate::store) fn settle_sql(&self) -> &SettleSql {
        &self.settle
    }

    pub(in crate::store) fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    pub(in crate::store) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(in crate::store) fn renew_connections(&self) {
        self.renewal.renew();
    }

    pub(in crate::store) async fn close(&self) {
        self.pool.close().await;
    }
}
