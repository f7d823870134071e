//! How an upload begins, and goes on after an interruption.
//!
//! Decision: book/src/decisions/blobs.md#parts-are-objects-of-their-own

use super::{
    error::BlobError,
    layout,
    sign::{Method, SignedPath},
    state::{Blobs, UPLOAD_TIME, UPLOAD_URL_TIME, seconds},
};
use crate::store::{BlobUpload, UploadBegun, UploadQuota};
use nizhal_core::{BlobHash, BlobRef, DateTimeUtc, Mime};
use std::collections::BTreeMap;

/// The declaration of an upload.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) mime: Mime,
    pub(crate) sha256: Option<BlobHash>,
    pub(crate) size: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    /// The bucket that it counts for, as `rule:value`, one of the actor's.
    pub(crate) bucket: Option<String>,
}

/// The answer to a declaration.
#[derive(Debug)]
pub(crate) enum Presigned {
    /// The actor has sent all of these bytes before, or sees a row that names them.
    Done(BlobRef),
    /// The parts to send.
    Parts {
        /// The id of the upload.
        key: String,
        part_size: u64,
        parts: Vec<Part>,
        /// When the URLs end, in seconds since the Unix epoch.
        expires_s: i64,
    },
}

/// A part of an upload.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) offset: u64,
    /// Its length; the most that it may have where only a bound was declared.
    pub(crate) size: u64,
    /// Whether it was sent.
    pub(crate) is_done: bool,
}

impl Blobs {
    /// Begins an upload. `visible` is the blob of the declared hash, where the actor sees a row that names it.
    pub(crate) async fn begin(
        &self,
        actor: &str,
        declared: Declared,
        visible: Option<&BlobRef>,
        (id, now): (String, DateTimeUtc),
    ) -> Result<Presigned, BlobError> {
        self.check_mime(&declared.mime)?;
        let max_bytes = self.max_bytes(&declared)?;
        if let Some(blob) = self.known(actor, &declared, visible).await? {
            return Ok(Presigned::Done(blob));
        }
        let per_bucket = self.settings.max_bytes_per_bucket;
        if per_bucket.is_some() && declared.bucket.is_none() {
            return Err(BlobError::BucketNeeded);
        }
        let upload = BlobUpload {
            id,
            actor: actor.to_owned(),
            bucket: declared.bucket,
            sha256: declared.sha256,
            size: declared.size,
            max_bytes,
            mime: declared.mime,
            part_size: layout::part_size(max_bytes),
            at_ms: now.timestamp_millis(),
            stored: None,
        };
        let since_ms = upload.at_ms - seconds(UPLOAD_TIME) * 1_000;
        let quota = UploadQuota { since_ms, per_actor: self.settings.max_bytes_per_actor, per_bucket };
        match self.store.begin_blob_upload(&upload, quota).await? {
            UploadBegun::Begun => self.parts(&upload, &BTreeMap::new(), now.timestamp()).await,
            UploadBegun::ActorFull => Err(BlobError::ActorFull),
            UploadBegun::BucketFull => Err(BlobError::BucketFull),
        }
    }

    /// Goes on with an upload of the actor's.
    pub(crate) async fn resume(&self, actor: &str, key: &str, now: DateTimeUtc) -> Result<Presigned, BlobError> {
        let upload = self.own_upload(actor, key, now).await?;
        if let Some(sha256) = upload.stored {
            let stored = self.held(sha256).await?.ok_or(BlobError::NotFound)?;
            self.store.renew_blob(sha256).await?;
            return Ok(Presigned::Done(reference(&stored.blob, &upload.mime)));
        }
        let sent = self.objects.part_sizes(&layout::upload_folder(&upload.id)).await?;
        self.parts(&upload, &sent, now.timestamp()).await
    }

    /// The upload of this id, if it is the actor's and not too old.
    pub(super) async fn own_upload(&self, actor: &str, key: &str, now: DateTimeUtc) -> Result<BlobUpload, BlobError> {
        let upload = self.live_upload(key, now).await?;
        if upload.actor == actor { Ok(upload) } else { Err(BlobError::NotFound) }
    }

    /// The upload whose part a verified path names, and the length that the part is to have: exactly, or at most.
    pub(crate) async fn part(&self, path: &str, now: DateTimeUtc) -> Result<(BlobUpload, PartLength), BlobError> {
        let (id, number) = layout::part_of(path).ok_or(BlobError::NotFound)?;
        let upload = self.live_upload(id, now).await?;
        // What comes after the end would only wait to be removed.
        if upload.stored.is_some() {
            return Err(BlobError::NotFound);
        }
        let bytes = upload.size.unwrap_or(upload.max_bytes);
        let part = layout::parts(bytes, upload.part_size).find(|(of, ..)| *of == number);
        let (_, _, length) = part.ok_or(BlobError::NotFound)?;
        let length = if upload.size.is_some() { PartLength::Exactly(length) } else { PartLength::AtMost(length) };
        Ok((upload, length))
    }

    async fn live_upload(&self, key: &str, now: DateTimeUtc) -> Result<BlobUpload, BlobError> {
        let upload = self.store.blob_upload(key).await?.ok_or(BlobError::NotFound)?;
        let age_ms = now.timestamp_millis() - upload.at_ms;
        if age_ms < seconds(UPLOAD_TIME) * 1_000 { Ok(upload) } else { Err(BlobError::NotFound) }
    }

    pub(super) fn check_mime(&self, mime: &Mime) -> Result<(), BlobError> {
        if self.settings.takes(mime.as_str()) { Ok(()) } else { Err(BlobError::MimeRefused(mime.to_string())) }
    }

    /// The most bytes that the declaration allows.
    fn max_bytes(&self, declared: &Declared) -> Result<u64, BlobError> {
        let limit = self.settings.max_bytes;
        if declared.size == Some(0) {
            return Err(BlobError::Declared("a blob has at least one byte, and `size` is 0"));
        }
        match (declared.size, declared.max_bytes) {
            (Some(bytes), most) if bytes > most.unwrap_or(bytes) => {
                Err(BlobError::Declared("`size` is more than `maxBytes`"))
            }
            (Some(bytes), _) if bytes > limit => Err(BlobError::TooLarge { bytes, limit }),
            (Some(bytes), _) => Ok(bytes),
            (None, Some(0)) => Err(BlobError::Declared("a blob has at least one byte, and `maxBytes` is 0")),
            (None, Some(most)) if most > limit => Err(BlobError::TooLarge { bytes: most, limit }),
            (None, Some(most)) => Ok(most),
            (None, None) => Err(BlobError::Declared("say how large the blob is: `size`, or `maxBytes`")),
        }
    }

    /// The blob of the declared hash, where the actor has it already. Whether others have it is not told.
    async fn known(
        &self,
        actor: &str,
        declared: &Declared,
        visible: Option<&BlobRef>,
    ) -> Result<Option<BlobRef>, BlobError> {
        let Some(sha256) = declared.sha256 else { return Ok(None) };
        if visible.is_none() && !self.store.holds_blob(actor, sha256).await? {
            return Ok(None);
        }
        let Some(stored) = self.held(sha256).await? else { return Ok(None) };
        let fits = declared.size.is_none_or(|size| size == stored.blob.size());
        if !fits || !self.store.renew_blob(sha256).await? {
            return Ok(None);
        }
        Ok(Some(reference(&stored.blob, &declared.mime)))
    }

    async fn parts(&self, upload: &BlobUpload, sent: &BTreeMap<u32, u64>, now_s: i64) -> Result<Presigned, BlobError> {
        let expires_s = now_s + seconds(UPLOAD_URL_TIME);
        let secret = self.store.signing_secret().await?;
        let bytes = upload.size.unwrap_or(upload.max_bytes);
        let mut parts = Vec::new();
        for (number, offset, size) in layout::parts(bytes, upload.part_size) {
            let path = layout::part_path(&upload.id, number);
            let length = upload.size.map(|_| size);
            let (url, headers) = match self.objects.signed_put(&path, UPLOAD_URL_TIME).await? {
                Some(signed) => (signed.url, signed.headers),
                None => {
                    let part = SignedPath { path, expires_s, sha256: None, mime: None, by: String::new() };
                    (part.url(&secret, Method::Put), BTreeMap::new())
                }
            };
            let is_done = sent.get(&number).is_some_and(|found| match length {
                Some(length) => *found == length,
                None => *found <= size,
            });
            parts.push(Part { number, url, headers, offset, size, is_done });
        }
        Ok(Presigned::Parts { key: upload.id.clone(), part_size: upload.part_size, parts, expires_s })
    }
}

/// The length of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartLength {
    Exactly(u64),
    AtMost(u64),
}

impl PartLength {
    /// The most bytes.
    pub(crate) const fn most(self) -> u64 {
        match self {
            Self::Exactly(bytes) | Self::AtMost(bytes) => bytes,
        }
    }

    /// Checks the length of what came.
    pub(crate) fn check(self, found: u64) -> Result<(), BlobError> {
        match self {
            Self::Exactly(declared) | Self::AtMost(declared) if found > declared => {
                Err(BlobError::TooLarge { bytes: found, limit: declared })
            }
            Self::Exactly(declared) if found < declared => Err(BlobError::PartLength { found, declared }),
            _ if found == 0 => Err(BlobError::PartLength { found, declared: self.most() }),
            _ => Ok(()),
        }
    }
}

/// A stored blob under the media type that this actor declared.
pub(super) fn reference(stored: &BlobRef, mime: &Mime) -> BlobRef {
    BlobRef::new(stored.sha256(), stored.size(), mime.clone()).unwrap_or_else(|_| stored.clone())
}
