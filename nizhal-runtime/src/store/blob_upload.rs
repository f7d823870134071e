//! Uploads of blobs: what was declared, and how many bytes of one actor and one bucket were within a day.

use super::{
    blob::{damaged, hash_of},
    database::Store,
    error::StoreError,
    sql::Dialect,
};
use nizhal_core::{BlobHash, Mime};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};

/// An upload that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobUpload {
    /// Its id, which is in the URLs of its parts.
    pub id: String,
    /// The key of the actor.
    pub actor: String,
    /// The bucket that it counts for, as `rule:value`.
    pub bucket: Option<String>,
    /// The hash that was declared.
    pub sha256: Option<BlobHash>,
    /// The size that was declared; only its bound is known where there is none.
    pub size: Option<u64>,
    /// The most bytes.
    pub max_bytes: u64,
    /// The media type that was declared.
    pub mime: Mime,
    /// The bytes of each part but the last.
    pub part_size: u64,
    /// When it began, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The hash of what was uploaded, once it is complete.
    pub stored: Option<BlobHash>,
}

/// The most bytes that may be declared from a moment on.
#[derive(Clone, Copy, Debug)]
pub struct UploadQuota {
    /// The moment, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// By one actor.
    pub per_actor: u64,
    /// For one bucket.
    pub per_bucket: Option<u64>,
}

/// The decision on a new upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadBegun {
    /// It is recorded.
    Begun,
    /// The actor declared as many bytes as it may.
    ActorFull,
    /// As many bytes were declared for the bucket as may be.
    BucketFull,
}

impl Store {
    /// Records a new upload within its quotas. On Postgres a lock for each quota lets others that count for it wait, so that two do not
    /// take the same room.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_blob_upload(&self, upload: &BlobUpload, quota: UploadQuota) -> Result<UploadBegun, StoreError> {
        let tx = self.begin_undrawn().await?;
        let begun = self.begin_upload_in(&tx, upload, quota).await;
        match begun {
            Ok(UploadBegun::Begun) => self.commit(tx).await?,
            _ => self.roll_back(tx).await?,
        }
        begun
    }

    async fn begin_upload_in(
        &self,
        tx: &DatabaseTransaction,
        upload: &BlobUpload,
        quota: UploadQuota,
    ) -> Result<UploadBegun, StoreError> {
        if self.dialect() == Dialect::Postgres {
            self.lock_quota(tx, "actor", &upload.actor).await?;
        }
        let own = self.declared(tx, "actor", &upload.actor, quota.since_ms).await?;
        if own.saturating_add(upload.max_bytes) > quota.per_actor {
            return Ok(UploadBegun::ActorFull);
        }
        if let (Some(bucket), Some(most)) = (&upload.bucket, quota.per_bucket) {
            if self.dialect() == Dialect::Postgres {
                self.lock_quota(tx, "bucket", bucket).await?;
            }
            let all = self.declared(tx, "bucket", bucket, quota.since_ms).await?;
            if all.saturating_add(upload.max_bytes) > most {
                return Ok(UploadBegun::BucketFull);
            }
        }
        let insert = "insert into _nizhal_blob_uploads (id, actor, bucket, sha256, size, max_bytes, mime, part_size, at_ms) \
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = [
            upload.id.as_str().into(),
            upload.actor.as_str().into(),
            upload.bucket.clone().into(),
            upload.sha256.map(|hash| hash.to_string()).into(),
            upload.size.map(signed).into(),
            signed(upload.max_bytes).into(),
            upload.mime.as_str().into(),
            signed(upload.part_size).into(),
            upload.at_ms.into(),
        ];
        self.run_in(tx, insert, values).await?;
        Ok(UploadBegun::Begun)
    }

    async fn lock_quota(&self, tx: &DatabaseTransaction, kind: &str, name: &str) -> Result<(), StoreError> {
        let sql = "select pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || $1 || '/' || $2, 0))";
        self.run_in(tx, sql, [format!("nizhal blobs of {kind}").into(), name.into()]).await.map(drop)
    }

    /// The bytes that were declared for one actor or one bucket since a moment.
    async fn declared(
        &self,
        tx: &DatabaseTransaction,
        column: &str,
        name: &str,
        since_ms: i64,
    ) -> Result<u64, StoreError> {
        let sql = format!(
            "select cast(coalesce(sum(max_bytes), 0) as bigint) as bytes from _nizhal_blob_uploads \
             where {column} = $1 and at_ms >= $2"
        );
        let row = tx.query_one_raw(self.statement(&sql, [name.into(), since_ms.into()])).await?;
        let bytes: i64 = row.map(|row| row.try_get("", "bytes")).transpose()?.unwrap_or_default();
        Ok(bytes.unsigned_abs())
    }

    /// The upload of this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn blob_upload(&self, id: &str) -> Result<Option<BlobUpload>, StoreError> {
        let sql = "select id, actor, bucket, sha256, size, max_bytes, mime, part_size, at_ms, stored \
            from _nizhal_blob_uploads where id = $1";
        let row = self.query_one(self.statement(sql, [id.into()])).await?;
        row.as_ref().map(upload).transpose()
    }
}

fn upload(row: &QueryResult) -> Result<BlobUpload, StoreError> {
    let hash = |name: &str| -> Result<Option<BlobHash>, StoreError> {
        let text: Option<String> = row.try_get("", name)?;
        text.as_deref().map(hash_of).transpose()
    };
    let (max_bytes, part_size): (i64, i64) = (row.try_get("", "max_bytes")?, row.try_get("", "part_size")?);
    let size: Option<i64> = row.try_get("", "size")?;
    let mime: String = row.try_get("", "mime")?;
    Ok(BlobUpload {
        id: row.try_get("", "id")?,
        actor: row.try_get("", "actor")?,
        bucket: row.try_get("", "bucket")?,
        sha256: hash("sha256")?,
        size: size.map(i64::unsigned_abs),
        max_bytes: max_bytes.unsigned_abs(),
        mime: mime.parse().map_err(|_| damaged())?,
        part_size: part_size.unsigned_abs(),
        at_ms: row.try_get("", "at_ms")?,
        stored: hash("stored")?,
    })
}

/// A number of bytes as the tables hold it.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
