//! Blobs that the server has too: kept while there is space, and dropped when no row names them any more.

use super::{SqliteStore, StoreError, tx::Tx};
use nizhal_core::{BlobHash, sql::quote};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use std::sync::atomic::Ordering::Relaxed;

impl SqliteStore {
    /// Notes that a blob was looked at, so that others are dropped before it.
    pub(crate) async fn use_blob(&self, sha256: BlobHash) -> Result<(), StoreError> {
        let sql = "select 1 from _nizhal_blobs where sha256 = $1 and state = 3 and used < (select max(used) from _nizhal_blobs)";
        let read = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [sha256.to_string().into()]);
        if self.reads.query_one_raw(read).await?.is_some() {
            let tx = self.begin().await?;
            let sql = "update _nizhal_blobs set used = (select max(used) + 1 from _nizhal_blobs) where sha256 = $1";
            tx.run(sql, [sha256.to_string().into()]).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Forgets a cached blob whose bytes are not here any more, or are others.
    pub(crate) async fn drop_cached(&self, sha256: BlobHash) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        tx.run("update _nizhal_blobs set state = 4 where sha256 = $1 and state = 3", [sha256.to_string().into()])
            .await?;
        tx.commit().await?;
        self.sweep_blobs().await
    }

    /// Drops all cached blobs that no mutation names, where the disk has no space left; whether there were any.
    pub(crate) async fn drop_all_cached(&self) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let count = tx.drop_cached_beyond(0).await?;
        tx.commit().await?;
        self.sweep_blobs().await?;
        Ok(count > 0)
    }

    /// Removes files that are not noted: what a crash or another user left.
    pub(super) async fn tidy_blobs(&self) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        for sha256 in self.blob_files.list()? {
            if tx.blob(sha256).await?.is_none() {
                self.blob_files.remove(sha256)?;
            }
        }
        tx.run("delete from _nizhal_blobs where state = 4", []).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Drops what is cached beyond the limit, and removes the files of what was dropped.
    pub(crate) async fn sweep_blobs(&self) -> Result<(), StoreError> {
        let limit = i64::try_from(self.blob_cache_bytes.load(Relaxed)).unwrap_or(i64::MAX);
        let sql = "select 1 from _nizhal_blobs where state = 4 union all \
            select 1 from (select sum(size) as bytes from _nizhal_blobs where state = 3) where bytes > $1 limit 1";
        let read = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [limit.into()]);
        if self.reads.query_one_raw(read).await?.is_none() {
            return Ok(());
        }
        let tx = self.begin().await?;
        tx.drop_cached_beyond(limit).await?;
        for row in tx.all("select sha256 from _nizhal_blobs where state = 4", []).await? {
            if let Ok(sha256) = row.try_get::<String>("", "sha256")?.parse() {
                self.blob_files.remove(sha256)?;
            }
        }
        tx.run("delete from _nizhal_blobs where state = 4", []).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Tx<'_> {
    async fn drop_cached_beyond(&self, bytes: i64) -> Result<u64, StoreError> {
        let sql = "update _nizhal_blobs set state = 4 where sha256 in (select sha256 from (select sha256, \
            sum(size) over (order by used desc) as bytes from _nizhal_blobs b where state = 3 \
            and not exists (select 1 from _nizhal_named n where n.sha256 = b.sha256)) where bytes > $1)";
        self.run(sql, [bytes.into()]).await
    }

    /// Drops cached blobs that no row and no mutation names any more.
    pub(super) async fn drop_unnamed_blobs(&self) -> Result<(), StoreError> {
        if self.one("select 1 from _nizhal_blobs where state = 3 limit 1", []).await?.is_none() {
            return Ok(());
        }
        let mut sql =
            "update _nizhal_blobs set state = 4 where state = 3 and not exists (select 1 from _nizhal_named n \
            where n.sha256 = _nizhal_blobs.sha256)"
                .to_owned();
        for table in self.store.schema().tables() {
            for column in table.desc.blob_columns() {
                let (table, column) = (table.name(), quote(column.name));
                sql += &format!(
                    " and not exists (select 1 from {table} where json_extract({column}, '$.sha256') = _nizhal_blobs.sha256)"
                );
            }
        }
        self.run(&sql, []).await?;
        Ok(())
    }

    /// Indexes the blobs that rows name.
    pub(super) async fn index_blobs(&self) -> Result<(), StoreError> {
        for table in self.store.schema().tables() {
            for column in table.desc.blob_columns() {
                let index = quote(&format!("_nizhal_blob_{}_{}", table.desc.name, column.name));
                let (table, column) = (table.name(), quote(column.name));
                let sql = format!("create index if not exists {index} on {table} (json_extract({column}, '$.sha256'))");
                self.run(&sql, []).await?;
            }
        }
        Ok(())
    }
}
