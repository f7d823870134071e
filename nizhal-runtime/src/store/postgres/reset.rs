//! What a reset drops on Postgres, in one transaction that no other provisioning is in, for as long as it takes.

use super::store::PostgresStore;
use crate::store::error::StoreError;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Those of partitions that Postgres made after their parent's go with it, and it drops none of them alone.
const TRIGGERS: &str = "select format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass) from pg_trigger t \
    join pg_class c on c.oid = t.tgrelid where c.relnamespace = quote_ident(current_schema())::regnamespace and not t.tgisinternal \
    and t.tgparentid = 0 and t.tgname like '\\_nizhal\\_%'";
const FUNCTIONS: &str = "select format('drop function %s', oid::regprocedure) from pg_proc \
    where pronamespace = quote_ident(current_schema())::regnamespace and proname like '\\_nizhal\\_%'";

impl PostgresStore {
    /// Drops these tables of the engine, and its triggers and functions.
    pub(in crate::store) async fn drop_engine(&self, tables: &[String]) -> Result<(), StoreError> {
        self.drop_parts(tables, None).await
    }

    /// Drops these tables, and the engine's sequence, triggers and functions.
    pub(in crate::store) async fn drop_all(&self, tables: &[String]) -> Result<(), StoreError> {
        self.drop_parts(tables, Some("drop sequence if exists _nizhal_clock")).await
    }

    /// Drops the engine's triggers, these tables, what a further statement drops, and the engine's functions.
    async fn drop_parts(&self, tables: &[String], further: Option<&str>) -> Result<(), StoreError> {
        let mut db = self.unhurried().await?;
        let mut tx = self.begin_locked(&mut db).await?;
        drop_found(&mut tx, TRIGGERS).await?;
        run(&mut tx, format!("drop table if exists {}", tables.join(", "))).await?;
        if let Some(further) = further {
            run(&mut tx, further.to_owned()).await?;
        }
        drop_found(&mut tx, FUNCTIONS).await?;
        tx.commit().await?;
        Ok(db.close().await?)
    }

    /// Lets the clock begin behind these versions, each an expression.
    pub(in crate::store) async fn continue_clock(&self, last: &[String]) -> Result<(), StoreError> {
        let last: Vec<String> =
            ["(select last_value from _nizhal_clock)".to_owned()].into_iter().chain(last.iter().cloned()).collect();
        let sql = format!("select setval('_nizhal_clock', greatest({}), true)", last.join(", "));
        let mut db = self.unhurried().await?;
        let mut tx = self.begin_locked(&mut db).await?;
        run(&mut tx, sql).await?;
        tx.commit().await?;
        Ok(db.close().await?)
    }
}

async fn run(db: &mut PgConnection, sql: String) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await?;
    Ok(())
}

/// Runs the statements that a query over the catalogue writes.
async fn drop_found(db: &mut PgConnection, query: &'static str) -> Result<(), StoreError> {
    let statements: Vec<String> = sqlx::query_scalar(query).fetch_all(&mut *db).await?;
    for statement in statements {
        run(db, statement).await?;
    }
    Ok(())
}
