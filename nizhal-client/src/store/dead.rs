//! Mutations that were refused, kept for a person to decide.

use super::{SqliteStore, StoreError};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

/// A refused mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its `clientMutationId`.
    pub id: String,
    /// The mutator.
    pub name: String,
    /// Its arguments as JSON.
    pub args: String,
    /// `rejected`, `forbidden`, or `cancelled` because of another.
    pub status: String,
    /// Why, for machines …
    pub code: String,
    /// … and for people.
    pub error: String,
    /// What it depended on.
    pub depends_on: Vec<String>,
}

impl SqliteStore {
    pub(super) async fn dead(&self) -> Result<Vec<DeadLetter>, StoreError> {
        let sql = "select id, name, args, status, code, error, depends_on from _nizhal_dead order by seq";
        let rows = self.reads.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
        rows.iter()
            .map(|row| {
                let depends_on: String = row.try_get("", "depends_on")?;
                Ok(DeadLetter {
                    id: row.try_get("", "id")?,
                    name: row.try_get("", "name")?,
                    args: row.try_get("", "args")?,
                    status: row.try_get("", "status")?,
                    code: row.try_get("", "code")?,
                    error: row.try_get("", "error")?,
                    depends_on: serde_json::from_str(&depends_on).unwrap_or_default(),
                })
            })
            .collect()
    }

    pub(super) async fn discard(&self, id: &str) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        tx.keep_dead_letter(id).await?;
        let count = tx.run("delete from _nizhal_dead where id = $1", [id.into()]).await?;
        tx.settle_blobs().await?;
        tx.commit().await?;
        self.sweep_blobs().await?;
        Ok(count > 0)
    }
}
