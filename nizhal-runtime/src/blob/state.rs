//! The blobs of one app: where their rows and their bytes are, and how one is read.

use super::{
    error::BlobError,
    object::Objects,
    sign::{self, Method, SignedPath},
};
use crate::{
    settings::BlobSettings,
    store::{Store, StoredBlob},
};
use nizhal_core::{BlobHash, BlobRef, Mime};
use std::{fmt, sync::Arc, time::Duration};

/// How long the URL of a part is good.
pub(super) const UPLOAD_URL_TIME: Duration = Duration::from_secs(60 * 60);
/// How long the URL of a blob is good.
const DOWNLOAD_URL_TIME: Duration = Duration::from_secs(15 * 60);
/// How long an upload may take, and how long what was declared counts for its actor.
pub(super) const UPLOAD_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The blobs of one app; cheap to clone.
#[derive(Clone)]
pub(crate) struct Blobs {
    pub(super) store: Arc<Store>,
    pub(super) objects: Objects,
    pub(super) settings: BlobSettings,
}

/// A URL to read a blob from.
#[derive(Debug)]
pub(crate) struct DownloadUrl {
    pub(crate) url: String,
    /// When it ends, in seconds since the Unix epoch.
    pub(crate) expires_s: i64,
}

impl Blobs {
    /// The blobs whose rows are in this store and whose bytes are in these objects.
    pub(crate) fn new(store: Arc<Store>, objects: Objects, settings: BlobSettings) -> Self {
        Self { store, objects, settings }
    }

    /// The objects that hold the bytes.
    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// A URL to read the blob from that a row names, for the actor who sees this row.
    pub(crate) async fn download_url(&self, blob: &BlobRef, actor: &str, now_s: i64) -> Result<DownloadUrl, BlobError> {
        let stored = self.held(blob.sha256()).await?.ok_or(BlobError::NotFound)?;
        self.read_url(&stored.path, (Some(blob.sha256()), blob.mime()), (actor, None), now_s).await
    }

    /// A URL by which this actor reads an object for a while: the provider's, or one of our own, by the secret where the caller knows it.
    pub(super) async fn read_url(
        &self,
        path: &str,
        (sha256, mime): (Option<BlobHash>, &Mime),
        (actor, secret): (&str, Option<&str>),
        now_s: i64,
    ) -> Result<DownloadUrl, BlobError> {
        let expires_s = now_s + seconds(DOWNLOAD_URL_TIME);
        let url = match self.objects.signed_get(path, mime, DOWNLOAD_URL_TIME).await? {
            Some(url) => url,
            None => {
                let secret = match secret {
                    Some(secret) => secret.to_owned(),
                    None => self.store.signing_secret().await?,
                };
                let by = sign::reader(&secret, actor);
                let signed = SignedPath { path: path.to_owned(), expires_s, sha256, mime: Some(mime.clone()), by };
                signed.url(&secret, Method::Get)
            }
        };
        Ok(DownloadUrl { url, expires_s })
    }

    /// What a URL of our own allows.
    pub(crate) async fn verify(
        &self,
        method: Method,
        path: &str,
        query: &str,
        now_s: i64,
    ) -> Result<SignedPath, BlobError> {
        let secret = self.store.signing_secret().await?;
        SignedPath::verify(&secret, method, path, query, now_s).ok_or(BlobError::BadSignature)
    }

    /// The stored blob of this hash, if its object is there.
    pub(super) async fn held(&self, sha256: BlobHash) -> Result<Option<StoredBlob>, BlobError> {
        let Some(stored) = self.store.stored_blob(sha256).await? else { return Ok(None) };
        let is_there = self.objects.size(&stored.path).await? == Some(stored.blob.size());
        if !is_there {
            tracing::error!(
                path = stored.path,
                "a blob's object is lost: the next upload of the same content replaces it"
            );
        }
        Ok(is_there.then_some(stored))
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blobs").field("objects", &self.objects).finish_non_exhaustive()
    }
}

/// Whole seconds, as moments are counted.
pub(super) fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
