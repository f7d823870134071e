//! Collection: uploads that nobody completed, blobs that no row names, and objects that no row knows.

use super::{
    error::BlobError,
    layout::{self, UPLOADS},
    local,
    state::{Blobs, UPLOAD_TIME, seconds},
};
use futures_util::TryStreamExt;
use nizhal_core::DateTimeUtc;
use std::time::Duration;

/// The counts of what was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    /// Parts of uploads.
    pub(crate) parts: u64,
    /// Blobs that no row named for the whole grace.
    pub(crate) blobs: u64,
}

/// How many objects are asked for at a time.
const OBJECTS: usize = 500;

/// A day in milliseconds.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl Blobs {
    /// Removes uploads of more than a day ago, and blobs that no row named for so many days; for ever kept are those without such a
    /// number. Each step begins where it was left when it is tried again.
    pub(crate) async fn collect(&self, now: DateTimeUtc, grace_days: Option<u32>) -> Result<Collected, BlobError> {
        let now_ms = now.timestamp_millis();
        let mut collected = Collected { parts: self.remove_old_parts(now_ms).await?, blobs: 0 };
        let mut after = String::new();
        while let Some(last) = self.store.mark_some_blobs(&after, now_ms).await? {
            after = last;
        }
        let Some(days) = grace_days else { return Ok(collected) };
        let before_ms = now_ms - i64::from(days) * DAY_MS;
        while let Some(paths) = self.store.delete_some_blobs(before_ms).await? {
            for path in paths {
                self.objects.remove(&path).await?;
                collected.blobs += 1;
            }
        }
        Ok(collected)
    }

    /// Removes objects that no row knows and that were written before the grace began: a server was killed between writing an object
    /// and its row, or between deleting them. It lists the whole store, so it is done seldom.
    pub(crate) async fn remove_strays(&self, now: DateTimeUtc, grace_days: u32) -> Result<u64, BlobError> {
        let before_ms = now.timestamp_millis() - i64::from(grace_days) * DAY_MS;
        let folder = layout::blob_folder(&self.store.signing_secret().await?);
        let (mut list, mut some, mut removed) = (self.objects.list(&folder)?, Vec::new(), 0);
        while let Some(object) = list.try_next().await? {
            if object.written_ms < before_ms {
                some.push(object.path);
            }
            if some.len() >= OBJECTS {
                removed += self.remove_unknown(std::mem::take(&mut some)).await?;
            }
        }
        removed += self.remove_unknown(some).await?;
        if let Some(root) = self.objects.root().map(ToOwned::to_owned) {
            let grace = Duration::from_secs(u64::from(grace_days) * 24 * 60 * 60);
            let removing = tokio::task::spawn_blocking(move || local::remove_unfinished(&root, grace));
            let failed = |source| object_store::Error::Generic { store: "blobs", source };
            removed += removing.await.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))?;
        }
        Ok(removed)
    }

    async fn remove_unknown(&self, paths: Vec<String>) -> Result<u64, BlobError> {
        let known = self.store.known_blob_paths(&paths).await?;
        let mut removed = 0;
        for path in paths.iter().filter(|path| !known.contains(path)) {
            self.objects.remove(path).await?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Forgets uploads that began more than a day ago, and removes parts that were written before that: theirs, and those that nobody
    /// removed.
    async fn remove_old_parts(&self, now_ms: i64) -> Result<u64, BlobError> {
        let before_ms = now_ms - seconds(UPLOAD_TIME) * 1_000;
        self.store.forget_blob_uploads(before_ms).await?;
        let (mut list, mut removed) = (self.objects.list(UPLOADS)?, 0);
        while let Some(part) = list.try_next().await? {
            if part.written_ms < before_ms {
                self.objects.remove(&part.path).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
