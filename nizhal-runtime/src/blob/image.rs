//! The files of images among the objects of the blob store.

use super::{Blobs, error::BlobError, layout, local, object::Objects};
use crate::engine::{ImageReader, ImageStore, ImageStoreError};
use futures_util::TryStreamExt;
use nizhal_core::{__private::BoxFuture, DateTimeUtc, Mime};
use std::path::Path;

/// The media type of a file.
const MIME: &str = "application/gzip";

impl ImageStore for Blobs {
    fn put<'a>(&'a self, name: &'a str, file: &'a Path) -> BoxFuture<'a, Result<String, ImageStoreError>> {
        Box::pin(async move { self.put_image(name, file).await.map_err(failed) })
    }

    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), ImageStoreError>> {
        Box::pin(async move { self.objects.remove(path).await.map_err(failed) })
    }

    fn url<'a>(&'a self, reader: ImageReader<'a>, now: DateTimeUtc) -> BoxFuture<'a, Result<String, ImageStoreError>> {
        Box::pin(async move { self.image_url(reader, now).await.map_err(failed) })
    }

    fn list(&self, before_ms: i64) -> BoxFuture<'_, Result<Vec<String>, ImageStoreError>> {
        Box::pin(async move { self.image_paths(before_ms).await.map_err(failed) })
    }

    fn is_there<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<bool, ImageStoreError>> {
        Box::pin(async move { Ok(self.objects.size(path).await.map_err(failed)?.is_some()) })
    }
}

impl Blobs {
    async fn put_image(&self, name: &str, file: &Path) -> Result<String, BlobError> {
        let path = format!("{}/{name}", layout::image_folder(&self.store.signing_secret().await?));
        let file = std::fs::File::open(file).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut writer = self.objects.write(&path)?;
        let mut bytes = local::read(file, 0..length);
        let copied = async {
            while let Some(bytes) = bytes.try_next().await? {
                writer.put(bytes).await?;
            }
            Objects::finish(&mut writer).await
        };
        if let Err(error) = copied.await {
            // What was sent of it is of no use, and the error is what counts.
            let _ = writer.abort().await;
            return Err(error.into());
        }
        Ok(path)
    }

    async fn image_url(&self, reader: ImageReader<'_>, now: DateTimeUtc) -> Result<String, BlobError> {
        let ImageReader { path, sha256, actor, secret } = reader;
        let mime: Mime = MIME.parse().map_err(|_| BlobError::NotFound)?;
        Ok(self.read_url(path, (sha256.parse().ok(), &mime), (actor, Some(secret)), now.timestamp()).await?.url)
    }

    async fn image_paths(&self, before_ms: i64) -> Result<Vec<String>, BlobError> {
        let folder = layout::image_folder(&self.store.signing_secret().await?);
        let old = self.objects.list(&folder)?.try_filter(|object| std::future::ready(object.written_ms < before_ms));
        Ok(old.map_ok(|object| object.path).try_collect().await?)
    }
}

fn failed(error: impl Into<BlobError>) -> ImageStoreError {
    ImageStoreError(Box::new(error.into()))
}

fn unreadable(error: std::io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "blobs", source: error.into() }
}
