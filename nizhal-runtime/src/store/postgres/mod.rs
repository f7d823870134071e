//! Postgres: any server from 13 on, no superuser, no replication slot.

mod capture;
mod channel;
mod clock;
#[cfg(test)]
mod clock_model;
mod encode;
mod field;
mod horizon;
mod pooler;
mod provision;
mod pull;
mod renewal;
mod rest;
mod statement;

pub(super) use clock::{HOLDER, SOMETHING};
pub(super) use pooler::MIXES;
pub(super) use pull::{Rows, Snapshot};

use super::{Glance, StoreError, StoreSettings, ddl::Seed, scope::ScopeSql, settle::SettleSql};
use crate::schema::Schema;
use horizon::Flights;
use renewal::Renewal;
use rest::RestSql;
use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use statement::PullSql;
use std::{str::FromStr, sync::OnceLock, time::Duration};

/// One app's Postgres.
pub(super) struct PostgresStore {
    /// Where LISTEN works: past a pooler that lends connections by the transaction.
    listen_url: String,
    channel: OnceLock<String>,
    pool: PgPool,
    db: DatabaseConnection,
    sql: PullSql,
    settle: SettleSql,
    rest: RestSql,
    flights: Flights,
    renewal: Renewal,
}

/// Serialises provisioning among servers that start together; any constant of ours will do.
const PROVISION_LOCK: i64 = 20_058;

impl PostgresStore {
    pub(super) async fn connect(settings: &StoreSettings, schema: &Schema) -> Result<Self, StoreError> {
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

    pub(super) async fn plan(&self, schema: &Schema, seed: &Seed) -> Result<Vec<String>, StoreError> {
        let mut db = self.pool.acquire().await?;
        provision::plan(&mut db, schema, seed).await
    }

    pub(super) async fn provision(&self, schema: &Schema, seed: &Seed) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("select pg_advisory_xact_lock($1)").bind(PROVISION_LOCK).execute(&mut *tx).await?;
        for statement in provision::plan(&mut tx, schema, seed).await? {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Drops these tables, and the engine's sequence and functions.
    pub(super) async fn drop_all(&self, tables: &[String]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("select pg_advisory_xact_lock($1)").bind(PROVISION_LOCK).execute(&mut *tx).await?;
        let drop = format!("drop table if exists {} cascade", tables.join(", "));
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *tx).await?;
        sqlx::raw_sql("drop sequence if exists _nizhal_clock").execute(&mut *tx).await?;
        let functions: Vec<String> = sqlx::query_scalar(
            "select oid::regprocedure::text from pg_proc where pronamespace = current_schema()::regnamespace \
             and proname like '\\_nizhal\\_%'",
        )
        .fetch_all(&mut *tx)
        .await?;
        for function in functions {
            sqlx::raw_sql(AssertSqlSafe(format!("drop function {function}"))).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// By the number of tombstones, which is small beside the rows; runs rarely.
    pub(super) async fn collect_tombstones(&self, days: u32) -> Result<u64, StoreError> {
        let sql = "with forgotten as (delete from _nizhal_deletes where at < now() - make_interval(days => $1)), \
            sets as (delete from _nizhal_bucket_sets where at < now() - make_interval(days => $1)), \
            gone as (delete from _nizhal_tombstones where at < now() - make_interval(days => $1) returning version), \
            noted as (update _nizhal_control set collected = greatest(collected, coalesce((select max(version) from gone), 0)) \
            where id = 1) select count(*) from gone";
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        let count: i64 = sqlx::query_scalar(sql).bind(days).fetch_one(&self.pool).await?;
        Ok(count.unsigned_abs())
    }

    pub(super) async fn snapshot(&self, glance: Option<Glance<'_>>) -> Result<Snapshot<'_>, StoreError> {
        Snapshot::open(self, glance).await
    }

    pub(super) fn scope_sql(&self) -> &ScopeSql {
        &self.sql.scope
    }

    pub(super) fn settle_sql(&self) -> &SettleSql {
        &self.settle
    }

    pub(super) fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) fn renew_connections(&self) {
        self.renewal.renew();
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}
