//! What a reset drops in a SQLite file, in one transaction.

use super::store::SqliteStore;
use crate::store::{error::StoreError, sql::quote};
use sqlx::AssertSqlSafe;

const TRIGGERS: &str =
    "select name from sqlite_schema where type = 'trigger' and name like '\\_nizhal\\_%' escape '\\'";

impl SqliteStore {
    /// Drops these tables of the engine, and its triggers.
    pub(in crate::store) async fn drop_engine(&self, tables: &[String]) -> Result<(), StoreError> {
        let triggers: Vec<String> = sqlx::query_scalar(TRIGGERS).fetch_all(&self.readers).await?;
        let triggers = triggers.iter().map(|name| format!("drop trigger if exists {}", quote(name)));
        self.run_all(triggers.chain(tables.iter().map(|table| format!("drop table if exists {table}")))).await
    }

    /// Drops these tables, and with them their triggers and indexes.
    pub(in crate::store) async fn drop_all(&self, tables: &[String]) -> Result<(), StoreError> {
        self.run_all(tables.iter().map(|table| format!("drop table if exists {table}"))).await
    }

    /// Lets the clock begin behind these versions, each an expression.
    pub(in crate::store) async fn continue_clock(&self, last: &[String]) -> Result<(), StoreError> {
        let last: Vec<String> = ["clock".to_owned(), "1".to_owned()].into_iter().chain(last.iter().cloned()).collect();
        self.run_all([format!("update _nizhal_control set clock = max({}) where id = 1", last.join(", "))].into_iter())
            .await
    }

    async fn run_all(&self, statements: impl Iterator<Item = String>) -> Result<(), StoreError> {
        let mut db = self.writer.acquire().await?;
        // Foreign keys between users' tables would want an order; a pragma works outside transactions only.
        sqlx::raw_sql("pragma foreign_keys = off").execute(&mut *db).await?;
        let statements: Vec<String> = statements.collect();
        let all = format!("begin immediate; {}; commit", statements.join("; "));
        let ran = sqlx::raw_sql(AssertSqlSafe(all)).execute(&mut *db).await;
        if ran.is_err() {
            // It may have no transaction any more.
            let _ = sqlx::raw_sql("rollback").execute(&mut *db).await;
        }
        sqlx::raw_sql("pragma foreign_keys = on").execute(&mut *db).await?;
        ran?;
        Ok(())
    }
}
