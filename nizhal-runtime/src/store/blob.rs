//! Blobs that are stored: their rows, and the actors who uploaded them.
//!
//! A row in `_nizhal_blobs` says that the bytes are in the blob store under its path, and that their hash and size were checked.

use super::{database::Store, error::StoreError};
use nizhal_core::{BlobHash, BlobRef, Mime};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Statement, Value};

/// A blob whose bytes are in the blob store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// The reference, with the media type of the first upload.
    pub blob: BlobRef,
    /// The path of the object.
    pub path: String,
}

/// The numbers of blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobCounts {
    /// Blobs whose bytes are stored.
    pub stored: i64,
    /// Their bytes.
    pub stored_bytes: i64,
    /// Those of them that the last collection found without a reference.
    pub orphaned: i64,
    /// Their bytes.
    pub orphaned_bytes: i64,
    /// Uploads that are not complete.
    pub uploads: i64,
}

impl Store {
    /// The stored blob of this hash.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stored_blob(&self, sha256: BlobHash) -> Result<Option<StoredBlob>, StoreError> {
        let sql = "select sha256, size, mime, path from _nizhal_blobs where sha256 = $1";
        let row = self.query_one(self.statement(sql, [sha256.to_string().into()])).await?;
        row.as_ref().map(stored).transpose()
    }

    /// Whether the actor uploaded all bytes of this blob.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn holds_blob(&self, actor: &str, sha256: BlobHash) -> Result<bool, StoreError> {
        let sql = "select 1 as held from _nizhal_blob_holders where sha256 = $1 and actor = $2";
        Ok(self.query_one(self.statement(sql, [sha256.to_string().into(), actor.into()])).await?.is_some())
    }

    /// Lets the grace of a blob begin anew, because somebody is about to name it; false where it is gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew_blob(&self, sha256: BlobHash) -> Result<bool, StoreError> {
        let sql = "update _nizhal_blobs set unreferenced_ms = null where sha256 = $1";
        Ok(self.run(sql, [sha256.to_string().into()]).await? > 0)
    }

    /// Records that an upload of this actor's is complete, and returns the path of the blob's object: another one where the blob was
    /// stored before, so that the new object is of no use.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_blob(
        &self,
        upload: &str,
        actor: &str,
        new: &StoredBlob,
        now_ms: i64,
    ) -> Result<String, StoreError> {
        let hash = new.blob.sha256().to_string();
        let size = i64::try_from(new.blob.size()).unwrap_or(i64::MAX);
        let tx = self.begin_undrawn().await?;
        let insert = "insert into _nizhal_blobs (sha256, size, mime, path, stored_ms) values ($1, $2, $3, $4, $5) \
            on conflict (sha256) do update set unreferenced_ms = null returning path";
        let (mime, path) = (new.blob.mime().as_str(), new.path.as_str());
        let values = [hash.as_str().into(), size.into(), mime.into(), path.into(), now_ms.into()];
        let row = tx.query_one_raw(self.statement(insert, values)).await?;
        let path = row.map(|row| row.try_get("", "path")).transpose()?.unwrap_or_default();
        let held = "insert into _nizhal_blob_holders (sha256, actor, at_ms) values ($1, $2, $3) on conflict do nothing";
        self.run_in(&tx, held, [hash.as_str().into(), actor.into(), now_ms.into()]).await?;
        let done = "update _nizhal_blob_uploads set stored = $1 where id = $2";
        self.run_in(&tx, done, [hash.as_str().into(), upload.into()]).await?;
        self.commit(tx).await?;
        Ok(path)
    }

    /// Lets a blob's row name another object, because the one that it names is lost; false where it names a third one by now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replace_blob(&self, sha256: BlobHash, lost: &str, path: &str) -> Result<bool, StoreError> {
        let sql = "update _nizhal_blobs set path = $3 where sha256 = $1 and path = $2";
        Ok(self.run(sql, [sha256.to_string().into(), lost.into(), path.into()]).await? > 0)
    }

    /// The secret that signed URLs are made with.
    ///
    /// # Errors
    /// When the database fails or is not provisioned.
    pub async fn signing_secret(&self) -> Result<String, StoreError> {
        self.control("secret").await
    }

    /// The numbers of blobs; relies on a scan of `_nizhal_blobs`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn blob_counts(&self) -> Result<BlobCounts, StoreError> {
        let sql = "select count(*) as stored, cast(coalesce(sum(size), 0) as bigint) as stored_bytes, \
            count(unreferenced_ms) as orphaned, \
            cast(coalesce(sum(case when unreferenced_ms is not null then size end), 0) as bigint) as orphaned_bytes, \
            (select count(*) from _nizhal_blob_uploads where stored is null) as uploads from _nizhal_blobs";
        let row = self.query_all(self.statement(sql, [])).await?.into_iter().next();
        let Some(row) = row else { return Ok(BlobCounts::default()) };
        Ok(BlobCounts {
            stored: row.try_get("", "stored")?,
            stored_bytes: row.try_get("", "stored_bytes")?,
            orphaned: row.try_get("", "orphaned")?,
            orphaned_bytes: row.try_get("", "orphaned_bytes")?,
            uploads: row.try_get("", "uploads")?,
        })
    }

    /// The actors that uploaded the most bytes that are still stored, at most so many; a blob counts for each who uploaded it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn blob_bytes_by_actor(&self, limit: u32) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = format!(
            "select h.actor, cast(sum(b.size) as bigint) as bytes from _nizhal_blob_holders h \
             join _nizhal_blobs b on b.sha256 = h.sha256 group by h.actor order by 2 desc, 1 limit {limit}"
        );
        let rows = self.query_all(self.statement(&sql, [])).await?;
        rows.into_iter().map(|row| Ok((row.try_get("", "actor")?, row.try_get("", "bytes")?))).collect()
    }

    pub(super) fn statement(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        let backend = self.connection().get_database_backend();
        Statement::from_sql_and_values(backend, sql, values)
    }

    pub(super) async fn run_in(
        &self,
        tx: &DatabaseTransaction,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, StoreError> {
        Ok(tx.execute_raw(self.statement(sql, values)).await?.rows_affected())
    }
}

fn stored(row: &QueryResult) -> Result<StoredBlob, StoreError> {
    let (hash, mime): (String, String) = (row.try_get("", "sha256")?, row.try_get("", "mime")?);
    let size: i64 = row.try_get("", "size")?;
    let mime: Mime = mime.parse().map_err(|_| damaged())?;
    let blob = BlobRef::new(hash_of(&hash)?, size.unsigned_abs(), mime).map_err(|_| damaged())?;
    Ok(StoredBlob { blob, path: row.try_get("", "path")? })
}

pub(super) fn hash_of(text: &str) -> Result<BlobHash, StoreError> {
    text.parse().map_err(|_| damaged())
}

/// Something in the tables of blobs that the engine never writes.
pub(super) fn damaged() -> StoreError {
    StoreError::Schema("the tables of blobs hold something that Nizhal does not write: restore them".to_owned())
}
