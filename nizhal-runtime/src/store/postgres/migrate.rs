//! Long work on Postgres: provisioning, dropping and collecting, on a connection of their own without the limits that requests have.

use super::{
    drift,
    partition::{PARTITIONS_CHANGED, START_AGAIN},
    provision,
    purpose::Purpose,
    rewrite,
    store::PostgresStore,
    undo,
};
use crate::{
    schema::Schema,
    store::{ddl::Seed, error::StoreError, history, limit::ANSWER_TIMEOUT, progress::Progress, replay},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Transaction};

/// What the lines about provisioning call it.
const WORK: &str = "provisioning";
/// No limit of time; said again within a transaction, for where a pooler drops the settings of connections.
const NO_LIMITS: [(&str, &str); 3] =
    [("statement_timeout", "0"), ("lock_timeout", "0"), ("idle_in_transaction_session_timeout", "0")];

impl PostgresStore {
    pub(in crate::store) async fn plan(
        &self,
        schema: &Schema,
        seed: &Seed,
        purpose: Purpose,
    ) -> Result<Vec<String>, StoreError> {
        let mut db = self.unhurried().await?;
        let plan = provision::plan(&mut db, schema, seed, purpose).await?;
        Ok(db.close().await.map(|()| plan)?)
    }

    /// Runs the plan in one transaction, but for indexes on tables that have rows: those are built after it, while others write.
    pub(in crate::store) async fn provision(&self, schema: &Schema, seed: &Seed) -> Result<(), StoreError> {
        let mut db = self.unhurried().await?;
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut db).await?;
        let detail = || self.detail(backend);
        let mut tx = db.begin().await?;
        lift_limits(&mut tx).await?;
        let lock = self.namespace.provision_lock();
        let lock = sqlx::query("select pg_advisory_xact_lock($1)").bind(lock).execute(&mut *tx);
        Progress::of(WORK, 1).run("wait for another server that provisions", lock, &detail).await?;
        let plan = provision::plan(&mut tx, schema, seed, Purpose::Migrate).await?;
        let has_files = "select to_regclass(quote_ident(current_schema()) || '._nizhal_files') is not null";
        let has_files: bool = sqlx::query_scalar(has_files).fetch_one(&mut *tx).await?;
        // Before the plan rewrites rows itself, which devices then hear of by changed rules.
        let is_rewritten = has_files && rewrite::remember(&mut tx, schema).await?;
        history::tell_lost_history(&plan);
        let mut progress = Progress::of(WORK, plan.len());
        let (alone, together): (Vec<_>, Vec<_>) = plan.into_iter().partition(|sql| provision::runs_alone(sql));
        for statement in together {
            let run = sqlx::raw_sql(AssertSqlSafe(statement.as_str())).execute(&mut *tx);
            progress.run(&statement, run, &detail).await?;
        }
        if is_rewritten {
            warn_of_rewritten();
            sqlx::raw_sql(START_AGAIN).execute(&mut *tx).await?;
        }
        rewrite::remember(&mut tx, schema).await?;
        tx.commit().await?;
        for statement in alone {
            let run = sqlx::raw_sql(AssertSqlSafe(statement.as_str())).execute(&mut db);
            progress.run(&statement, run, &detail).await?;
        }
        Ok(db.close().await?)
    }

    /// Whether the tables are as they are declared.
    pub(in crate::store) async fn check_relations(&self, schema: &Schema) -> Result<(), StoreError> {
        let looking = async {
            let mut db = self.pool().acquire().await?;
            drift::introspect_relations(&mut db).await
        };
        drift::check(schema, &Box::pin(self.wait(ANSWER_TIMEOUT, looking)).await?)
    }

    /// Looks whether a partition of a synced table is gone, was emptied unseen or brought rows along, or the rows of a table were
    /// rewritten, and has all devices start again when one did. Asks the catalogue alone where nothing changed.
    pub(in crate::store) async fn check_partitions(&self, schema: &Schema) -> Result<bool, StoreError> {
        let synced: Vec<String> = schema.synced().iter().map(|table| table.name.to_owned()).collect();
        let changed = sqlx::query_scalar::<_, bool>(PARTITIONS_CHANGED).bind(synced).fetch_one(self.pool());
        let replays = !schema.replayed().is_empty();
        let unguarded = sqlx::query_scalar::<_, bool>(undo::IS_UNGUARDED).fetch_one(self.pool());
        let is_unguarded = replays && self.wait(ANSWER_TIMEOUT, unguarded).await?;
        if !self.wait(ANSWER_TIMEOUT, changed).await? && !self.files_changed(schema).await? && !is_unguarded {
            return Ok(false);
        }
        let mut db = self.unhurried().await?;
        let mut tx = self.begin_locked(&mut db).await?;
        let plan = drift::introspect(&mut tx).await?.partitions.remember(schema);
        let gone = plan.iter().any(|statement| statement == START_AGAIN);
        for statement in plan {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await?;
        }
        if is_unguarded {
            sqlx::raw_sql(undo::GUARD).execute(&mut *tx).await?;
        }
        if replays && gone {
            // What went unseen is in no image.
            sqlx::raw_sql(replay::SETTLE).execute(&mut *tx).await?;
        }
        let is_rewritten = rewrite::remember(&mut tx, schema).await?;
        if is_rewritten {
            warn_of_rewritten();
            sqlx::raw_sql(START_AGAIN).execute(&mut *tx).await?;
        } else if gone {
            tracing::warn!(
                "a partition of a synced table was detached, dropped, emptied or attached with rows; every device starts again"
            );
        }
        tx.commit().await?;
        db.close().await?;
        Ok(gone || is_rewritten)
    }

    /// By the number of tombstones, which is small beside the rows; runs rarely.
    pub(in crate::store) async fn collect_tombstones(&self, days: u32) -> Result<u64, StoreError> {
        let sql = "with forgotten as (delete from _nizhal_deletes where at < now() - make_interval(days => $1)), \
            sets as (delete from _nizhal_bucket_sets where at < now() - make_interval(days => $1)), \
            gone as (delete from _nizhal_tombstones where at < now() - make_interval(days => $1) returning version), \
            noted as (update _nizhal_control set collected = greatest(collected, coalesce((select max(version) from gone), 0)) \
            where id = 1) select count(*) from gone";
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        let mut db = self.unhurried().await?;
        let mut tx = db.begin().await?;
        lift_limits(&mut tx).await?;
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *tx).await?;
        let forgetting = sqlx::query_scalar::<_, i64>(sql).bind(days).fetch_one(&mut *tx);
        let mut progress = Progress::of("forgetting tombstones", 1);
        let count = progress.run(sql, forgetting, || self.detail(backend)).await?;
        tx.commit().await?;
        db.close().await?;
        Ok(count.unsigned_abs())
    }

    /// A connection of its own without the limits of time.
    pub(super) async fn unhurried(&self) -> Result<PgConnection, StoreError> {
        let options = self.pools.options().clone().options(NO_LIMITS);
        let connecting = tokio::time::timeout(ANSWER_TIMEOUT, PgConnection::connect_with(&options));
        Ok(connecting.await.map_err(|_| sqlx::Error::PoolTimedOut)??)
    }

    /// Begins a transaction without the limits of time, once no other provisioning is under way.
    pub(super) async fn begin_locked<'a>(
        &self,
        db: &'a mut PgConnection,
    ) -> Result<Transaction<'a, Postgres>, StoreError> {
        let mut tx = db.begin().await?;
        lift_limits(&mut tx).await?;
        let lock = self.namespace.provision_lock();
        sqlx::query("select pg_advisory_xact_lock($1)").bind(lock).execute(&mut *tx).await?;
        Ok(tx)
    }

    /// How far this backend is with what it does: how much of an index is built, and whom it waits for.
    async fn detail(&self, backend: i32) -> Option<String> {
        let sql = "select coalesce((select p.phase || coalesce(' ' || (100 * p.blocks_done / nullif(p.blocks_total, 0)) || ' %', '') \
            from pg_stat_progress_create_index p where p.pid = $1), '') || coalesce((select ' waits for a lock of ' || \
            string_agg(coalesce(nullif(a.application_name, ''), 'a session') || ' (pid ' || a.pid || ')', ', ') \
            from pg_stat_activity a where a.pid = any(pg_blocking_pids($1))), '')";
        let detail: Option<String> = sqlx::query_scalar(sql).bind(backend).fetch_one(self.pool()).await.ok();
        detail.map(|detail| detail.trim().to_owned()).filter(|detail| !detail.is_empty())
    }
}

fn warn_of_rewritten() {
    tracing::warn!(
        "a column of a synced table was replaced, or its values rewritten by a change of its type; every device starts again"
    );
}

async fn lift_limits(db: &mut PgConnection) -> Result<(), StoreError> {
    for (name, value) in NO_LIMITS {
        sqlx::raw_sql(AssertSqlSafe(format!("set local {name} = {value}"))).execute(&mut *db).await?;
    }
    Ok(())
}
