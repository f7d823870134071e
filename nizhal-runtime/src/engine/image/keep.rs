//! Where the files of images are kept, as the engine knows it.

use nizhal_core::{__private::BoxFuture, DateTimeUtc};
use std::path::Path;

/// Who is to read which file.
#[derive(Clone, Copy, Debug)]
pub struct ImageReader<'a> {
    /// Where the file is.
    pub path: &'a str,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: &'a str,
    /// The key of the actor.
    pub actor: &'a str,
    /// The database's secret, for a store that signs URLs by itself. Whoever asks for a URL holds a connection, so a store must not ask
    /// for another one.
    pub secret: &'a str,
}

/// The store of images failed.
#[derive(Debug, thiserror::Error)]
#[error("the store of images failed")]
pub struct ImageStoreError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where the files of images are kept, each under a path.
pub trait ImageStore: Send + Sync + 'static {
    /// Keeps a file under a name that no other has; the path that it got.
    fn put<'a>(&'a self, name: &'a str, file: &'a Path) -> BoxFuture<'a, Result<String, ImageStoreError>>;
    /// Deletes a file; one that is not there counts as deleted.
    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), ImageStoreError>>;
    /// Where whoever holds the URL can read the file for a while, from now on.
    fn url<'a>(&'a self, reader: ImageReader<'a>, now: DateTimeUtc) -> BoxFuture<'a, Result<String, ImageStoreError>>;
    /// The files that were written before this moment, in milliseconds since the Unix epoch.
    fn list(&self, before_ms: i64) -> BoxFuture<'_, Result<Vec<String>, ImageStoreError>>;
    /// Whether a file is there.
    fn is_there<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<bool, ImageStoreError>>;
}
