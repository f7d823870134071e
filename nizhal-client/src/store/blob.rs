//! What a device knows of its blobs: which are to be uploaded, which were, and which may be dropped.

use super::blob_file::{BlobFiles, Whole};
use super::{ChangedTables, NewId, SqliteStore, StoreError, tx::Tx};
use crate::session::Failure;
use nizhal_core::{BlobHash, BlobRef, Mime};
use sea_orm::{ConnectionTrait as _, DbBackend, QueryResult, Statement, Value};
use serde::Deserialize as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Failures that no other try mends.
const FINAL: [&str; 4] = ["too_large", "mime_refused", "hash_mismatch", "bytes_lost"];
/// How often the bytes of a blob may arrive as others, before the fault is the file's.
const MAX_MISMATCHES: i64 = 2;
/// Uploads in a row after which the server may lack a blob, before the mutation that names it becomes a dead letter.
const MAX_LACKS: i64 = 3;

/// What is to become of a blob that is here; the number stands in `_nizhal_blobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlobState {
    /// It is to be uploaded.
    Queued,
    /// The server will not have it.
    Failed,
    /// The server has it, and it stays here until the rows that name it have come back with a pull.
    Sent,
    /// The server has it, and it is dropped when space is needed.
    Cached,
    /// Its file is to be removed.
    Dropped,
}

/// One blob.
#[derive(Clone, Debug)]
pub(crate) struct BlobNote {
    pub(crate) blob: BlobRef,
    pub(crate) state: BlobState,
    pub(crate) bucket: Option<String>,
    /// The upload that was begun.
    pub(crate) upload: Option<String>,
    /// The last failure of its upload.
    pub(crate) failure: Option<(String, String)>,
    lacks: i64,
    mismatches: i64,
}

const READ: &str =
    "select sha256, size, mime, state, bucket, upload, code, error, lacks, mismatches from _nizhal_blobs";

impl SqliteStore {
    /// The files of blobs.
    pub(crate) fn blob_files(&self) -> &Arc<BlobFiles> {
        &self.blob_files
    }

    /// Sets how many bytes of blobs are kept that the server has too.
    pub fn set_blob_cache_bytes(&self, bytes: u64) {
        self.blob_cache_bytes.store(bytes, Relaxed);
    }

    /// Keeps bytes and notes them; durable when this returns. Of bytes that are known, the reference by which they are known.
    pub(crate) async fn keep_blob(
        &self,
        whole: Whole,
        mime: &Mime,
        bucket: Option<String>,
        cached: bool,
    ) -> Result<BlobRef, StoreError> {
        let (sha256, size) = (whole.sha256, whole.size);
        let tx = self.begin().await?;
        // Wanted for a row that is to come: it stays until that one is there, and a refusal is not the last word.
        let wanted = "state = case state when 1 then 0 when 3 then 2 when 4 then 0 else state end, \
            named = case when state in (1, 3, 4) then 0 else named end, upload = case when state in (1, 4) then null else upload end, \
            code = null, error = null";
        let known = if cached { "state = case state when 4 then 3 else state end" } else { wanted };
        let sql = format!(
            "insert into _nizhal_blobs (sha256, size, mime, state, used, bucket) \
             values ($1, $2, $3, $4, (select coalesce(max(used), 0) + 1 from _nizhal_blobs), $5) \
             on conflict (sha256) do update set {known}"
        );
        let state = i64::from(cached) * number(BlobState::Cached);
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let values: [Value; 5] =
            [sha256.to_string().into(), size.into(), mime.as_str().into(), state.into(), bucket.into()];
        tx.run(&sql, values).await?;
        let note = tx.blob(sha256).await?.ok_or_else(|| StoreError::Broken("a blob is not noted".to_owned()))?;
        let files = self.blob_files.clone();
        tokio::task::spawn_blocking(move || files.keep(whole)).await.map_err(std::io::Error::other)??;
        tx.commit().await?;
        Ok(note.blob)
    }

    /// Keeps bytes that are to be uploaded, for a simulator; `name` is nobody else's.
    ///
    /// # Errors
    /// When the disk does not take them.
    #[doc(hidden)]
    pub async fn add_blob(&self, name: &str, bytes: &[u8], mime: &Mime) -> Result<BlobRef, StoreError> {
        let mut incoming = self.blob_files.begin(name)?;
        incoming.write(bytes)?;
        self.keep_blob(incoming.finish()?, mime, None, false).await
    }

    /// The bytes of a blob that are on this device, for a simulator.
    #[doc(hidden)]
    pub fn blob_bytes(&self, blob: &BlobRef) -> Option<Vec<u8>> {
        self.blob_files.read(blob.sha256(), 0, blob.size() + 1).ok()
    }

    /// What is known of a blob.
    pub(crate) async fn blob(&self, sha256: BlobHash) -> Result<Option<BlobNote>, StoreError> {
        let sql = format!("{READ} where sha256 = $1 and state < 4");
        let read = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [sha256.to_string().into()]);
        self.reads.query_one_raw(read).await?.as_ref().map(note).transpose()
    }

    /// The blobs that the server does not have, in the order in which they were added.
    pub(crate) async fn unsent_blobs(&self) -> Result<Vec<BlobNote>, StoreError> {
        let sql = format!("{READ} where state in (0, 1) order by used");
        let rows = self.reads.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
        rows.iter().map(note).collect()
    }

    /// The blob to upload next: one that was tried the least.
    pub(crate) async fn next_upload(&self) -> Result<Option<BlobNote>, StoreError> {
        let sql = format!("{READ} where state = 0 order by tries, used limit 1");
        self.reads.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?.as_ref().map(note).transpose()
    }

    /// Notes that an upload was begun, or `None` that it has to begin anew.
    pub(crate) async fn note_upload(&self, sha256: BlobHash, key: Option<&str>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let sql = "update _nizhal_blobs set upload = $2 where sha256 = $1 and state = 0";
        tx.run(sql, [sha256.to_string().into(), key.map(str::to_owned).into()]).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that the server has a blob; what waited for it gets its number.
    pub(crate) async fn upload_sent(&self, sha256: BlobHash) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let sql = "update _nizhal_blobs set state = 2, tries = 0, mismatches = 0, code = null, error = null \
            where sha256 = $1 and state = 0";
        tx.run(sql, [sha256.to_string().into()]).await?;
        tx.settle_blobs().await?;
        tx.release_held().await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that an upload failed. If no other try mends that, the mutations that name the blob become dead letters. Returns the
    /// tables that changed, and whether the failure was final.
    pub(crate) async fn upload_failed(
        &self,
        sha256: BlobHash,
        failure: &Failure,
        new_id: NewId<'_>,
    ) -> Result<(ChangedTables, bool), StoreError> {
        let tx = self.begin().await?;
        let Some(note) = tx.blob(sha256).await?.filter(|note| note.state == BlobState::Queued) else {
            return Ok((tx.commit().await?, true));
        };
        let mismatch = failure.code == "hash_mismatch";
        let mismatches = note.mismatches + i64::from(mismatch);
        let is_final = FINAL.contains(&failure.code.as_str()) && (!mismatch || mismatches >= MAX_MISMATCHES);
        // Bytes that arrived as others, or an upload that the server has forgotten, begin anew.
        let anew = is_final || mismatch || failure.code == "not_found";
        let sql = "update _nizhal_blobs set state = $2, tries = tries + 1, mismatches = $3, \
            upload = case when $4 then null else upload end, code = $5, error = $6 where sha256 = $1";
        let state = if is_final { BlobState::Failed } else { BlobState::Queued };
        let values: [Value; 6] = [
            sha256.to_string().into(),
            number(state).into(),
            (if is_final { 0 } else { mismatches }).into(),
            anew.into(),
            failure.code.clone().into(),
            failure.message.clone().into(),
        ];
        tx.run(sql, values).await?;
        if is_final {
            let sql = "select o.id from _nizhal_outbox o join _nizhal_named n on n.id = o.id where n.sha256 = $1 and o.state = 0";
            let named = tx.all(sql, [sha256.to_string().into()]).await?;
            let ids: Result<Vec<String>, _> = named.iter().map(|row| row.try_get("", "id")).collect();
            tx.set_aside(ids?, &failure.code, &failure.message, new_id).await?;
        }
        Ok((tx.commit().await?, is_final))
    }

    /// The server lacks blobs that a waiting mutation names: they are uploaded anew, or the mutation becomes a dead letter where that
    /// cannot be. Returns `None` when no waiting mutation names any of them.
    pub(crate) async fn blobs_missing(
        &self,
        failure: &Failure,
        new_id: NewId<'_>,
    ) -> Result<Option<ChangedTables>, StoreError> {
        let tx = self.begin().await?;
        let missing = serde_json::to_string(&failure.blobs).unwrap_or_default();
        // A server that does not say which lacks some that the first mutation names.
        let sql = "select id, number from _nizhal_outbox o where state = 0 and number > 0 and exists (select 1 from _nizhal_named n \
            where n.id = o.id and ($1 = '[]' or n.sha256 in (select value from json_each($1)))) order by number limit 1";
        let Some(row) = tx.one(sql, [missing.clone().into()]).await? else {
            tx.rollback().await;
            return Ok(None);
        };
        let id: String = row.try_get("", "id")?;
        let sql = "select sha256 from _nizhal_named where id = $1 and ($2 = '[]' or sha256 in (select value from json_each($2)))";
        let mut hopeless = false;
        for row in tx.all(sql, [id.clone().into(), missing.into()]).await? {
            let sha256: String = row.try_get("", "sha256")?;
            let here = sha256.parse().ok();
            let note = match here {
                Some(sha256) => tx.blob(sha256).await?,
                None => None,
            };
            let here = here.and_then(|sha256| self.blob_files.size(sha256));
            match note {
                Some(note) if note.state == BlobState::Queued => {}
                Some(note) if here == Some(note.blob.size()) && note.lacks < MAX_LACKS => {
                    let sql = "update _nizhal_blobs set state = 0, named = 1, upload = null, tries = 0, lacks = lacks + 1 \
                        where sha256 = $1";
                    tx.run(sql, [sha256.into()]).await?;
                }
                _ => hopeless = true,
            }
        }
        if hopeless {
            tx.set_aside(vec![id], &failure.code, &failure.message, new_id).await?;
        } else {
            // It gives its number back, and those behind it move up.
            tx.rotate(new_id, false).await?;
        }
        Ok(Some(tx.commit().await?))
    }

    /// Tries an upload again that failed for good; false when there is none.
    pub(crate) async fn retry_blob(&self, sha256: BlobHash) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let sql =
            "update _nizhal_blobs set state = 0, tries = 0, code = null, error = null where sha256 = $1 and state = 1";
        let count = tx.run(sql, [sha256.to_string().into()]).await?;
        tx.commit().await?;
        Ok(count > 0)
    }

    /// Forgets a blob that no mutation names; false when one does, or there is no such blob.
    pub(crate) async fn discard_blob(&self, sha256: BlobHash) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let sql = "update _nizhal_blobs set state = 4 where sha256 = $1 and state < 4 \
            and not exists (select 1 from _nizhal_named n where n.sha256 = $1)";
        let count = tx.run(sql, [sha256.to_string().into()]).await?;
        tx.commit().await?;
        self.sweep_blobs().await?;
        Ok(count > 0)
    }
}

impl Tx<'_> {
    pub(super) async fn blob(&self, sha256: BlobHash) -> Result<Option<BlobNote>, StoreError> {
        let sql = format!("{READ} where sha256 = $1 and state < 4");
        self.one(&sql, [sha256.to_string().into()]).await?.as_ref().map(note).transpose()
    }

    /// Lets go of blobs whose mutations are over: shown by the rows, or discarded.
    pub(super) async fn settle_blobs(&self) -> Result<(), StoreError> {
        if self.one("select 1 from _nizhal_named limit 1", []).await?.is_none() {
            return Ok(());
        }
        let sql = "delete from _nizhal_named where id not in (select id from _nizhal_outbox) and id not in (select id from _nizhal_dead)";
        if self.run(sql, []).await? == 0 {
            return Ok(());
        }
        let sql = "update _nizhal_blobs set state = case state when 2 then 3 else 4 end, upload = null, lacks = 0 \
            where state < 3 and named = 1 and not exists (select 1 from _nizhal_named n where n.sha256 = _nizhal_blobs.sha256)";
        self.run(sql, []).await?;
        Ok(())
    }

    /// Notes the blobs anew that saved mutations name, and whose bytes are here.
    pub(super) async fn adopt_blobs(&self) -> Result<(), StoreError> {
        for row in
            self.all("select id, args from _nizhal_outbox union all select id, args from _nizhal_dead", []).await?
        {
            let (id, args): (String, String) = (row.try_get("", "id")?, row.try_get("", "args")?);
            for blob in references(&args)
                .into_iter()
                .filter(|blob| self.store.blob_files.size(blob.sha256()) == Some(blob.size()))
            {
                let sql = "insert or ignore into _nizhal_blobs (sha256, size, mime, state, used) \
                    values ($1, $2, $3, 0, (select coalesce(max(used), 0) + 1 from _nizhal_blobs))";
                let size = i64::try_from(blob.size()).unwrap_or(i64::MAX);
                self.run(sql, [blob.sha256().to_string().into(), size.into(), blob.mime().as_str().into()]).await?;
            }
            self.note_names(&id, &args).await?;
        }
        Ok(())
    }
}

/// The references in a mutation's arguments.
fn references(args: &str) -> Vec<BlobRef> {
    let (mut found, mut left) = (Vec::new(), Vec::new());
    left.extend(serde_json::from_str::<serde_json::Value>(args));
    while let Some(value) = left.pop() {
        found.extend(BlobRef::deserialize(&value));
        match value {
            serde_json::Value::Array(parts) => left.extend(parts),
            serde_json::Value::Object(fields) => left.extend(fields.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    found
}

fn number(state: BlobState) -> i64 {
    match state {
        BlobState::Queued => 0,
        BlobState::Failed => 1,
        BlobState::Sent => 2,
        BlobState::Cached => 3,
        BlobState::Dropped => 4,
    }
}

fn note(row: &QueryResult) -> Result<BlobNote, StoreError> {
    let broken = |_| StoreError::Broken("a blob has a name that is none".to_owned());
    let (sha256, mime): (String, String) = (row.try_get("", "sha256")?, row.try_get("", "mime")?);
    let size = u64::try_from(row.try_get::<i64>("", "size")?).unwrap_or(0);
    let state = match row.try_get::<i64>("", "state")? {
        0 => BlobState::Queued,
        1 => BlobState::Failed,
        2 => BlobState::Sent,
        3 => BlobState::Cached,
        _ => BlobState::Dropped,
    };
    let code: Option<String> = row.try_get("", "code")?;
    Ok(BlobNote {
        blob: BlobRef::new(sha256.parse().map_err(broken)?, size, mime.parse().map_err(broken)?).map_err(broken)?,
        state,
        bucket: row.try_get("", "bucket")?,
        upload: row.try_get("", "upload")?,
        failure: code.zip(row.try_get("", "error")?),
        lacks: row.try_get("", "lacks")?,
        mismatches: row.try_get("", "mismatches")?,
    })
}
