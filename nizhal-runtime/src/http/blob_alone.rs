//! The endpoints of blobs without HTTP around them, for a simulator: the same steps on the same engine, a folder, and whole bodies.

use super::{
    blob::{PresignRequest, begin, shown},
    error::HttpError,
};
use crate::{
    blob::{BlobError, BlobStoreError, Blobs, Method, Objects},
    engine::Engine,
    settings::{BlobSettings, BlobStoreUrl},
};
use futures_util::TryStreamExt;
use nizhal_core::{BlobHash, DateTimeUtc, Principal};
use serde_json::json;
use std::path::Path;

/// A request about a blob.
#[derive(Clone, Copy, Debug)]
pub struct BlobCall<'a> {
    /// `GET`, `POST` or `PUT`.
    pub method: &'a str,
    /// The path and the query.
    pub url: &'a str,
    /// All of its body.
    pub body: &'a [u8],
}

/// The endpoints of blobs.
#[derive(Debug)]
pub struct BlobEndpoints {
    blobs: Blobs,
}

impl BlobEndpoints {
    /// Those of an engine, with the bytes in this folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(engine: &Engine, folder: &Path) -> Result<Self, BlobStoreError> {
        let objects = Objects::open(&BlobStoreUrl::File(folder.to_owned()))?;
        Ok(Self { blobs: Blobs::new(engine.store.clone(), objects, BlobSettings::default()) })
    }

    /// The status and the body of the answer.
    pub async fn answer(&self, engine: &Engine, principal: &Principal, call: BlobCall<'_>) -> (u16, Vec<u8>) {
        match self.answered(engine, principal, call).await {
            Ok(body) => (200, body),
            Err(error) => {
                let (status, body) = error.brief();
                (status, body.to_string().into_bytes())
            }
        }
    }

    async fn answered(&self, engine: &Engine, of: &Principal, call: BlobCall<'_>) -> Result<Vec<u8>, HttpError> {
        let (blobs, now) = (&self.blobs, engine.environment.now());
        let (path, query) = call.url.split_once('?').unwrap_or((call.url, ""));
        let path = path.strip_prefix("/nizhal/blob/").ok_or(HttpError::NotFound)?;
        match call.method {
            "POST" if path == "presign-upload" => {
                let wanted: PresignRequest = serde_json::from_slice(call.body).map_err(|_| HttpError::BadJson)?;
                let presigned = match wanted.key.as_deref() {
                    Some(key) => blobs.resume(of.key(), key, now).await?,
                    None => begin(engine, blobs, of, wanted).await?,
                };
                Ok(shown(presigned)?.to_string().into_bytes())
            }
            "POST" => {
                let key = path.strip_suffix("/complete").ok_or(HttpError::NotFound)?;
                let blob = blobs.complete(of.key(), key, now).await?;
                Ok(json!(blob).to_string().into_bytes())
            }
            "PUT" => {
                let signed = blobs.verify(Method::Put, path, query, now.timestamp()).await?;
                let (_, length) = blobs.part(&signed.path, now).await?;
                length.check(call.body.len() as u64)?;
                let mut writer = blobs.objects().write(&signed.path).map_err(BlobError::from)?;
                writer.put(call.body.to_vec().into()).await.map_err(BlobError::from)?;
                Objects::finish(&mut writer).await.map_err(BlobError::from)?;
                Ok(Vec::new())
            }
            _ if path.ends_with("/url") => {
                let sha256: BlobHash = path.trim_end_matches("/url").parse().map_err(|_| HttpError::NotFound)?;
                let blob = engine.visible_blob(of, sha256).await?.ok_or(HttpError::NotFound)?;
                let signed = blobs.download_url(&blob, of.key(), now.timestamp()).await?;
                Ok(json!({"url": signed.url, "expires": signed.expires_s}).to_string().into_bytes())
            }
            _ => {
                let signed = blobs.verify(Method::Get, path, query, now.timestamp()).await?;
                let bytes = blobs.objects().read(&signed.path, None).await.map_err(BlobError::from)?;
                let pieces: Vec<_> = bytes.try_collect().await.map_err(BlobError::from)?;
                Ok(pieces.concat())
            }
        }
    }

    /// Removes what nobody needs, as at this moment: how many blobs went.
    ///
    /// # Errors
    /// When the database or the folder fails, as text.
    pub async fn collect(&self, now: DateTimeUtc, grace_days: u32) -> Result<u64, String> {
        let collected = self.blobs.collect(now, Some(grace_days)).await;
        collected.map(|collected| collected.blobs).map_err(|error| format!("{error:?}"))
    }
}
