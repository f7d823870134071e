//! One app's database: how it is opened, brought to the schema, asked and closed.

use super::{
    bucket_set::BucketSets,
    ddl::Seed,
    error::StoreError,
    limit::{ANSWER_TIMEOUT, STATEMENT_TIMEOUT},
    owner::Owner,
    postgres::{PostgresStore, Purpose},
    read::{PullHeader, ScopeArg},
    readiness::Readiness,
    rewind::{Rewind, rewinds},
    scope::ScopeSql,
    settings::{Audit, StoreSettings},
    sql::Dialect,
    sqlite::SqliteStore,
    triggers::Triggers,
};
use crate::{schema::Schema, settings::StorageSettings};
use nizhal_core::Principal;
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, QueryResult, Statement, Value};
use std::{
    borrow::Cow,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

/// One app's database.
pub struct Store {
    pub(super) schema: Arc<Schema>,
    pub(super) backend: Backend,
    pub(super) audit: Audit,
    pub(super) owner: Owner,
    /// The most clients that one actor may have.
    pub(super) max_clients: u32,
    /// Entries that this process wrote.
    pub(super) audited: AtomicU64,
    pub(super) bucket_sets: BucketSets,
    pub(super) triggers: Triggers,
    pub(super) readiness: Readiness,
    /// The statements that take spaces back.
    pub(super) rewinds: Vec<Rewind>,
}

pub(super) enum Backend {
    Postgres(PostgresStore),
    Sqlite(SqliteStore),
}

impl Store {
    /// Connects; makes a SQLite file that is absent.
    ///
    /// # Errors
    /// When the URL names no database of a known kind, or it cannot be reached.
    pub async fn connect(settings: &StoreSettings, schema: Arc<Schema>) -> Result<Self, StoreError> {
        let backend = match settings.url.split(':').next() {
            Some("postgres" | "postgresql") => Backend::Postgres(PostgresStore::connect(settings, &schema).await?),
            Some("sqlite") => Backend::Sqlite(SqliteStore::connect(settings, &schema).await?),
            _ => {
                return Err(StoreError::Schema(
                    "the database URL must begin with postgres:// or sqlite:// (DATABASE_URL)".to_owned(),
                ));
            }
        };
        let (audited, bucket_sets, triggers) = (AtomicU64::new(0), BucketSets::default(), Triggers::default());
        let (owner, readiness) = (Owner::default(), Readiness::default());
        let (audit, max_clients) = (Audit::Off, StorageSettings::default().max_clients_per_actor);
        let dialect = match &backend {
            Backend::Postgres(_) => Dialect::Postgres,
            Backend::Sqlite(_) => Dialect::Sqlite,
        };
        let rewinds = rewinds(dialect, &schema);
        Ok(Self { schema, backend, audit, owner, max_clients, audited, bucket_sets, triggers, readiness, rewinds })
    }

    /// The same, writing an audit log or none.
    #[must_use]
    pub fn with_audit(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
    }

    /// The same, where one actor may have so many clients.
    #[must_use]
    pub fn with_max_clients(mut self, limit: u32) -> Self {
        self.max_clients = limit;
        self
    }

    /// The same, listening to Postgres at this URL: one that leads past a pooler.
    #[must_use]
    pub fn with_listen_url(mut self, url: Option<String>) -> Self {
        if let (Backend::Postgres(store), Some(url)) = (&mut self.backend, url) {
            store.listen_at(url);
        }
        self
    }

    /// The SQL that provisioning would run now, statement by statement; empty when all is in place.
    ///
    /// # Errors
    /// When the database fails or holds something that does not fit.
    pub async fn plan(&self) -> Result<Vec<String>, StoreError> {
        self.plan_for(Purpose::Migrate).await
    }

    /// The statements of [`plan`](Self::plan) that a server cannot do without.
    ///
    /// # Errors
    /// As for [`plan`](Self::plan).
    pub async fn missing(&self) -> Result<Vec<String>, StoreError> {
        let plan = self.plan_for(Purpose::Serve).await?;
        let has = |start: &str| plan.iter().any(|statement| statement.starts_with(start));
        if has("insert into _nizhal_control ") && !has("create table _nizhal_control ") {
            return Err(StoreError::no_control());
        }
        Ok(plan)
    }

    async fn plan_for(&self, purpose: Purpose) -> Result<Vec<String>, StoreError> {
        let seed = Seed::new(self.owner.clone());
        match &self.backend {
            Backend::Postgres(store) => store.plan(&self.schema, &seed, purpose).await,
            Backend::Sqlite(store) => store.plan(&self.schema, &seed).await,
        }
    }

    /// Runs what [`plan`](Self::plan) lists, in one transaction.
    ///
    /// # Errors
    /// As for [`plan`](Self::plan).
    pub async fn provision(&self) -> Result<(), StoreError> {
        let seed = Seed::new(self.owner.clone());
        match &self.backend {
            Backend::Postgres(store) => Box::pin(store.provision(&self.schema, &seed)).await?,
            Backend::Sqlite(store) => store.provision(&self.schema, &seed).await?,
        }
        self.take_triggers().await
    }

    /// A sea-orm connection that writes, for seeds.
    pub fn connection(&self) -> &DatabaseConnection {
        match &self.backend {
            Backend::Postgres(store) => store.db(),
            Backend::Sqlite(store) => store.db(),
        }
    }

    /// A sea-orm connection for reads that should keep no writer waiting.
    pub(super) fn reads(&self) -> &DatabaseConnection {
        match &self.backend {
            Backend::Postgres(store) => store.db(),
            Backend::Sqlite(store) => store.reads(),
        }
    }

    /// How its SQL is written.
    pub(crate) fn dialect(&self) -> Dialect {
        match &self.backend {
            Backend::Postgres(_) => Dialect::Postgres,
            Backend::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// `Postgres` or `SQLite`.
    pub fn kind(&self) -> &'static str {
        match &self.backend {
            Backend::Postgres(_) => "Postgres",
            Backend::Sqlite(_) => "SQLite",
        }
    }

    /// Whether a transaction that writes keeps all others waiting.
    pub fn has_one_writer(&self) -> bool {
        matches!(self.backend, Backend::Sqlite(_))
    }

    /// Gives up the connections that are open now, each before it is used again: their prepared statements are older than a table.
    pub fn renew_connections(&self) {
        match &self.backend {
            Backend::Postgres(store) => store.renew_connections(),
            // SQLite prepares anew by itself.
            Backend::Sqlite(_) => {}
        }
    }

    /// Closes every connection, after what runs on them.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Postgres(store) => store.close().await,
            Backend::Sqlite(store) => store.close().await,
        }
    }

    /// The claims that membership queries compare with, in the order they are bound.
    pub fn scope_args(&self, principal: &Principal) -> Vec<ScopeArg> {
        self.scope_sql().values(principal)
    }

    /// Remembers a set of buckets by the hash of its content; the same set has the same place for everybody.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_buckets(&self, id: &str, buckets: String) -> Result<(), StoreError> {
        if self.bucket_sets.is_recently_stored(id) {
            return Ok(());
        }
        // Seen again, it is kept longer; once a day is enough to say so.
        let (now, stale) = match self.dialect() {
            Dialect::Postgres => ("now()", "now() - interval '1 day'"),
            Dialect::Sqlite => {
                ("strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day')")
            }
        };
        let sql = format!(
            "insert into _nizhal_bucket_sets (id, buckets) values ($1, $2) \
             on conflict (id) do update set at = {now} where _nizhal_bucket_sets.at < {stale}"
        );
        self.run(&sql, [id.into(), buckets.as_str().into()]).await?;
        self.bucket_sets.keep_stored(id, buckets.into());
        Ok(())
    }

    /// Forgets the copies of remembered sets, because another epoch's database may not have them.
    pub fn forget_buckets(&self) {
        self.bucket_sets.clear();
    }

    /// Looks whether a partition of a synced table was detached, dropped, emptied unseen or attached with rows since the last look, or
    /// a table's rows were rewritten; when one was, every device starts again, because no trigger told of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn check_partitions(&self) -> Result<bool, StoreError> {
        match &self.backend {
            Backend::Postgres(store) => store.check_partitions(&self.schema).await,
            Backend::Sqlite(_) => Ok(false),
        }
    }

    /// Forgets tombstones, stamps of deletes and unused sets of buckets that are older than this many days, and notes up to which
    /// version in the same statement; a cursor that would have needed them is answered with a reset. Gives the number of tombstones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn collect_tombstones(&self, days: u32) -> Result<u64, StoreError> {
        match &self.backend {
            Backend::Postgres(store) => store.collect_tombstones(days).await,
            Backend::Sqlite(store) => store.collect_tombstones(days).await,
        }
    }

    pub(super) async fn run(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64, StoreError> {
        let db = self.connection();
        let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
        Ok(self.wait(STATEMENT_TIMEOUT, db.execute_raw(statement)).await?.rows_affected())
    }

    /// The first row of a statement on a connection that writes.
    pub(super) async fn query_one(&self, statement: Statement) -> Result<Option<QueryResult>, StoreError> {
        self.wait(STATEMENT_TIMEOUT, self.connection().query_one_raw(statement)).await
    }

    /// The rows of a statement on a connection for reads.
    pub(super) async fn query_all(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        self.wait(STATEMENT_TIMEOUT, self.reads().query_all_raw(statement)).await
    }

    /// Waits for code of the app's, not longer than this: none where it takes longer though the database answers others.
    ///
    /// # Errors
    /// When the database answers nobody.
    pub(crate) async fn wait_for_app<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, StoreError> {
        let waiting = self.wait(limit + ANSWER_TIMEOUT, async { Ok::<_, StoreError>(work.await) });
        match tokio::time::timeout(limit, waiting).await {
            Ok(done) => done.map(Some),
            Err(_) if self.answers().await => Ok(None),
            Err(_) => Err(StoreError::Busy),
        }
    }

    /// Whether the database answers just now.
    async fn answers(&self) -> bool {
        let statement = Statement::from_string(self.reads().get_database_backend(), "select 1");
        self.query_all(statement).await.is_ok()
    }

    /// Waits for the database, not longer than this.
    ///
    /// # Errors
    /// Those of the work; and when it takes longer.
    pub(crate) async fn wait<T, E: Into<StoreError>>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StoreError> {
        match &self.backend {
            Backend::Postgres(store) => store.wait(limit, work).await,
            Backend::Sqlite(_) => {
                tokio::time::timeout(limit, work).await.map_err(|_| StoreError::Busy)?.map_err(Into::into)
            }
        }
    }

    /// Whether a statement is to fail in a test.
    pub(super) fn is_to_fail(&self) -> bool {
        #[cfg(any(test, feature = "failpoints"))]
        return self.failpoints().is_some_and(|failpoints| failpoints.is_armed());
        #[cfg(not(any(test, feature = "failpoints")))]
        false
    }

    /// The failpoints of the store on SQLite.
    #[cfg(any(test, feature = "failpoints"))]
    pub fn failpoints(&self) -> Option<&Arc<super::Failpoints>> {
        match &self.backend {
            Backend::Postgres(_) => None,
            Backend::Sqlite(store) => Some(store.failpoints()),
        }
    }

    /// Where tests let a statement of a transaction fail.
    pub(super) async fn before(&self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        match &self.backend {
            Backend::Postgres(_) => Ok(()),
            Backend::Sqlite(store) => store.failpoints().before(Some(tx)).await,
        }
    }

    /// SQL in the names of this app's own settings.
    pub(super) fn localize<'a>(&self, sql: &'a str) -> Cow<'a, str> {
        match &self.backend {
            Backend::Postgres(store) => store.namespace.localize(sql),
            Backend::Sqlite(_) => sql.into(),
        }
    }

    pub(super) fn scope_sql(&self) -> &ScopeSql {
        match &self.backend {
            Backend::Postgres(store) => store.scope_sql(),
            Backend::Sqlite(store) => store.scope_sql(),
        }
    }

    /// The header and the actor's memberships now; it knows nothing of the clock.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn header(&self, principal: &Principal) -> Result<PullHeader, StoreError> {
        let args = self.scope_args(principal);
        let values = args.iter().map(|arg| self.scope_value(arg));
        let db = self.reads();
        let sql = Statement::from_sql_and_values(db.get_database_backend(), &self.scope_sql().sql, values);
        let mut header = PullHeader::default();
        for row in self.query_all(sql).await? {
            let (rule, param): (i32, i32) = (row.try_get("", "rule")?, row.try_get("", "param")?);
            header.push_scope_row(rule.into(), param.into(), row.try_get("", "value")?, row.try_get("", "collected")?);
        }
        Ok(header)
    }

    /// A membership argument as a sea-orm value of the type that the dialect compares with.
    pub(super) fn scope_value(&self, arg: &ScopeArg) -> Value {
        use nizhal_core::SqlType;
        let Some(text) = &arg.text else { return Value::String(None) };
        match (self.dialect(), arg.sql) {
            (Dialect::Sqlite, SqlType::Int2 | SqlType::Int4 | SqlType::Int8) => {
                text.parse::<i64>().unwrap_or_default().into()
            }
            (Dialect::Sqlite, SqlType::Uuid) => text.parse::<uuid::Uuid>().unwrap_or_default().into(),
            _ => text.clone().into(),
        }
    }
}
