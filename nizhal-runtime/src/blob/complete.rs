//! The end of an upload: its parts are put together and checked, and the blob is recorded.
//!
//! Decision: book/src/decisions/blobs.md#what-is-checked-is-what-is-served

use super::{
    error::BlobError,
    layout,
    state::Blobs,
    upload::{PartLength, reference},
};
use crate::store::{BlobUpload, StoredBlob};
use nizhal_core::{BlobRef, DateTimeUtc};
use std::collections::BTreeMap;

impl Blobs {
    /// Completes an upload of the actor's; again and again with the same answer.
    pub(crate) async fn complete(&self, actor: &str, key: &str, now: DateTimeUtc) -> Result<BlobRef, BlobError> {
        let upload = self.own_upload(actor, key, now).await?;
        if upload.stored.is_some() {
            return self.completed(&upload).await;
        }
        self.check_mime(&upload.mime)?;
        match self.join_parts(&upload).await {
            Ok(new) => self.record(&upload, new, now.timestamp_millis()).await?,
            // Another request completes the same upload, and has removed the parts.
            Err(BlobError::Objects(object_store::Error::NotFound { .. }) | BlobError::PartsMissing(_))
                if self.is_complete(&upload).await? => {}
            Err(BlobError::Objects(object_store::Error::NotFound { .. })) => {
                let sent = self.objects.part_sizes(&layout::upload_folder(&upload.id)).await?;
                wanted(&upload, &sent)?;
                // All are here again by now.
                return Err(BlobError::PartsMissing(Vec::new()));
            }
            Err(error) => return Err(error),
        }
        // What is left of its parts goes with the next collection at the latest.
        if let Err(error) = self.objects.remove_folder(&layout::upload_folder(&upload.id)).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the parts of an upload could not be removed yet");
        }
        self.completed(&upload).await
    }

    async fn is_complete(&self, upload: &BlobUpload) -> Result<bool, BlobError> {
        Ok(self.store.blob_upload(&upload.id).await?.is_some_and(|upload| upload.stored.is_some()))
    }

    /// The blob of an upload that is complete.
    pub(super) async fn completed(&self, upload: &BlobUpload) -> Result<BlobRef, BlobError> {
        let upload = self.store.blob_upload(&upload.id).await?.ok_or(BlobError::NotFound)?;
        let stored = self.held(upload.stored.ok_or(BlobError::NotFound)?).await?.ok_or(BlobError::NotFound)?;
        Ok(reference(&stored.blob, &upload.mime))
    }

    /// Puts the parts together in a new object, and checks it; what is wrong is removed with its parts.
    async fn join_parts(&self, upload: &BlobUpload) -> Result<StoredBlob, BlobError> {
        let folder = layout::upload_folder(&upload.id);
        let parts = match wanted(upload, &self.objects.part_sizes(&folder).await?) {
            Err(error @ BlobError::TooLarge { .. }) => {
                self.objects.remove_folder(&folder).await?;
                return Err(error);
            }
            wanted => wanted?,
        };
        let path = layout::new_blob_path(&self.store.signing_secret().await?);
        let (sha256, size) = self.objects.join(&parts, &path, &upload.mime).await?;
        let checked = check(upload, sha256, size, self.settings.max_bytes).and_then(|()| {
            let empty = |_| BlobError::Declared("a blob has at least one byte");
            BlobRef::new(sha256, size, upload.mime.clone()).map_err(empty)
        });
        match checked {
            Ok(blob) => Ok(StoredBlob { blob, path }),
            Err(error) => {
                self.objects.remove(&path).await?;
                // None of the parts is known to be good.
                self.objects.remove_folder(&folder).await?;
                Err(error)
            }
        }
    }

    /// Records a blob whose object is written, and keeps one object where there are two.
    pub(super) async fn record(&self, upload: &BlobUpload, new: StoredBlob, now_ms: i64) -> Result<(), BlobError> {
        let (sha256, size) = (new.blob.sha256(), new.blob.size());
        let path = self.store.record_blob(&upload.id, &upload.actor, &new, now_ms).await?;
        if path == new.path {
            return Ok(());
        }
        if self.objects.size(&path).await? != Some(size) && self.store.replace_blob(sha256, &path, &new.path).await? {
            tracing::info!(lost = path, path = new.path, "a blob's object was lost, and this upload replaces it");
            return Ok(());
        }
        Ok(self.objects.remove(&new.path).await?)
    }
}

/// The paths of the parts in order, if all were sent and none is too long.
fn wanted(upload: &BlobUpload, sent: &BTreeMap<u32, u64>) -> Result<Vec<String>, BlobError> {
    let last = sent.keys().next_back().copied().unwrap_or_default();
    let bytes = upload.size.unwrap_or(upload.max_bytes);
    let (mut parts, mut missing) = (Vec::new(), Vec::new());
    for (number, _, size) in layout::parts(bytes, upload.part_size) {
        let length = match upload.size {
            Some(_) => PartLength::Exactly(size),
            // Of what has no declared size, the last part that was sent is the last one.
            None if number > last.max(1) => break,
            None if number < last => PartLength::Exactly(size),
            None => PartLength::AtMost(size),
        };
        match length.check(sent.get(&number).copied().unwrap_or_default()) {
            Ok(()) => parts.push(layout::part_path(&upload.id, number)),
            Err(error @ BlobError::TooLarge { .. }) => return Err(error),
            Err(_) => missing.push(number),
        }
    }
    if missing.is_empty() { Ok(parts) } else { Err(BlobError::PartsMissing(missing)) }
}

/// Holds what was put together to what was declared: parts may have been written again since they were listed.
fn check(upload: &BlobUpload, found: nizhal_core::BlobHash, size: u64, limit: u64) -> Result<(), BlobError> {
    let limit = limit.min(upload.max_bytes);
    if size > limit {
        return Err(BlobError::TooLarge { bytes: size, limit });
    }
    if let Some(declared) = upload.size.filter(|declared| *declared != size) {
        return Err(BlobError::PartLength { found: size, declared });
    }
    match upload.sha256 {
        Some(declared) if declared != found => Err(BlobError::HashMismatch { declared, found }),
        _ => Ok(()),
    }
}
