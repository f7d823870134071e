//! Collection of blobs: which ones no row names, which of these go, and which objects and uploads nothing knows of.
//!
//! A blob goes when no row named it for the whole grace. The transaction that deletes its row locks it first and asks for references
//! again behind the lock; a writer's trigger holds a lock on it that excludes this one, so either the writer sees no blob and fails, or
//! the collection sees the writer's row.

use super::{
    database::Store,
    error::StoreError,
    sql::{Dialect, placeholders},
};
use sea_orm::{ConnectionTrait, Value};

/// How many blobs are looked at in one statement or transaction.
const BLOBS: usize = 500;

impl Store {
    /// Marks the blobs that no row names since `now_ms`, and takes the mark off those that a row names again: up to 500 behind this hash.
    /// Returns the last hash that it looked at, or nothing at the end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_some_blobs(&self, after: &str, now_ms: i64) -> Result<Option<String>, StoreError> {
        let sql = format!("select sha256 from _nizhal_blobs where sha256 > $1 order by sha256 limit {BLOBS}");
        let rows = self.query_all(self.statement(&sql, [after.into()])).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        let last: String = last.try_get("", "sha256")?;
        let referenced = self.is_referenced("_nizhal_blobs.sha256");
        let within = "sha256 > $1 and sha256 <= $2";
        let mark = format!(
            "update _nizhal_blobs set unreferenced_ms = $3 where {within} and unreferenced_ms is null and not {referenced}"
        );
        self.run(&mark, [after.into(), last.as_str().into(), now_ms.into()]).await?;
        let clear = format!(
            "update _nizhal_blobs set unreferenced_ms = null where {within} and unreferenced_ms is not null and {referenced}"
        );
        self.run(&clear, [after.into(), last.as_str().into()]).await?;
        Ok((rows.len() == BLOBS).then_some(last))
    }

    /// Deletes the rows of up to 500 blobs that no row has named since this moment. Returns the paths of their objects, and nothing where
    /// there was nothing to look at.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_some_blobs(&self, before_ms: i64) -> Result<Option<Vec<String>>, StoreError> {
        let locked = match self.dialect() {
            Dialect::Postgres => " for update skip locked",
            Dialect::Sqlite => "",
        };
        let some = format!(
            "select sha256 from _nizhal_blobs where unreferenced_ms < $1 order by unreferenced_ms limit {BLOBS}{locked}"
        );
        let tx = self.begin_undrawn().await?;
        // On SQLite the first statement is to be one that writes: it begins the transaction that keeps other writers out.
        if self.dialect() == Dialect::Sqlite {
            self.run_in(&tx, "update _nizhal_blobs set unreferenced_ms = null where false", []).await?;
        }
        let found = tx.query_all_raw(self.statement(&some, [before_ms.into()])).await?;
        if found.is_empty() {
            self.roll_back(tx).await?;
            return Ok(None);
        }
        let hashes: Vec<Value> =
            found.iter().map(|row| row.try_get::<String>("", "sha256").map(Value::from)).collect::<Result<_, _>>()?;
        let list = placeholders(0, hashes.len());
        let referenced = self.is_referenced("_nizhal_blobs.sha256");
        let gone = format!("delete from _nizhal_blobs where sha256 in ({list}) and not {referenced} returning path");
        let gone = tx.query_all_raw(self.statement(&gone, hashes.clone())).await?;
        let named = format!("update _nizhal_blobs set unreferenced_ms = null where sha256 in ({list})");
        self.run_in(&tx, &named, hashes).await?;
        self.commit(tx).await?;
        Ok(Some(gone.into_iter().map(|row| row.try_get("", "path")).collect::<Result<_, _>>()?))
    }

    /// Those of these objects' paths that a blob's row names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_blob_paths(&self, paths: &[String]) -> Result<Vec<String>, StoreError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let list = placeholders(0, paths.len());
        let sql = format!("select path from _nizhal_blobs where path in ({list})");
        let values = paths.iter().map(|path| path.as_str().into());
        // Of a connection that writes: a standby that lags would not know the newest.
        let rows = self.connection().query_all_raw(self.statement(&sql, values)).await?;
        Ok(rows.into_iter().map(|row| row.try_get("", "path")).collect::<Result<_, _>>()?)
    }

    /// Forgets the uploads that began before this moment; their parts are then of no use.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_blob_uploads(&self, before_ms: i64) -> Result<u64, StoreError> {
        self.run("delete from _nizhal_blob_uploads where at_ms < $1", [before_ms.into()]).await
    }
}
