//! One app's Postgres: its connections, and the statements that are written once.

use super::{
    full_scan::FullScanSql, horizon::Flights, namespace::Namespace, pooler, pools::Pools, record::RecordSql,
    renewal::Renewal, row_page::RowPageSql, statement::PullSql,
};
use crate::{
    schema::Schema,
    store::{error::StoreError, scope::ScopeSql, settings::StoreSettings},
};
use sea_orm::DatabaseConnection;
use sqlx::{PgPool, postgres::PgConnectOptions};
use std::{fmt, str::FromStr, sync::OnceLock, time::Duration};

/// One app's Postgres.
pub(in crate::store) struct PostgresStore {
    /// Where LISTEN works: past a pooler that lends connections by the transaction.
    pub(super) listen_url: String,
    pub(super) channel: OnceLock<String>,
    pub(super) pools: Pools,
    pub(in crate::store) namespace: Namespace,
    schema_name: String,
    pub(super) sql: PullSql,
    record_results: RecordSql,
    pub(super) full_scan: FullScanSql,
    pub(super) row_page: RowPageSql,
    pub(super) flights: Flights,
    renewal: Renewal,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

impl PostgresStore {
    pub(in crate::store) async fn connect(settings: &StoreSettings, schema: &Schema) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(&settings.url)?
            // One thing less that poolers must be told to pass over: floats are read in binary.
            .extra_float_digits(None)
            // Pulls are short; compiling them costs more than it saves.
            .options([("jit", "off")])
            .options(pooler::TIME_OUTS)
            .options(pooler::KEEP_ALIVE);
        let session = pooler::introspect(&options).await?;
        let options = options.options(session.pinned());
        let schema_name = session.schema.unwrap_or_default();
        let namespace = Namespace::of(&schema_name);
        // Ours ping from their own process; see `clock::note_function`.
        let options = options.options([(namespace.setting("local"), "on")]).application_name(&namespace.session());
        let renewal = Renewal::default();
        let pools = Pools::connect(options, settings.pool, renewal.clone()).await?;
        let (sql, record_results) = (PullSql::new(schema), RecordSql::new(schema));
        let (full_scan, row_page) = (FullScanSql::new(schema), RowPageSql::new(schema));
        let (listen_url, channel) = (settings.url.clone(), OnceLock::new());
        Ok(Self {
            listen_url,
            channel,
            pools,
            namespace,
            schema_name,
            sql,
            record_results,
            full_scan,
            row_page,
            flights: Flights::default(),
            renewal,
        })
    }

    /// The schema that tables are made in.
    pub(in crate::store) fn schema_name(&self) -> &str {
        &self.schema_name
    }

    pub(in crate::store) fn scope_sql(&self) -> &ScopeSql {
        &self.sql.scope
    }

    pub(in crate::store) fn record_sql(&self) -> &RecordSql {
        &self.record_results
    }

    /// Waits for an answer of the database, not longer than this.
    pub(in crate::store) async fn wait<T, E: Into<StoreError>>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StoreError> {
        self.pools.wait(limit, work).await
    }

    pub(in crate::store) fn db(&self) -> &DatabaseConnection {
        self.pools.db()
    }

    pub(in crate::store) fn pool(&self) -> &PgPool {
        self.pools.pool()
    }

    pub(in crate::store) fn renew_connections(&self) {
        self.renewal.retire_all();
    }

    pub(in crate::store) async fn close(&self) {
        self.pools.close().await;
    }
}
