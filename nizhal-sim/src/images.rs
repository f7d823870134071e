//! The object store of the server's images: it outlives every restore of the database, and so knows of other histories.

use crate::net::ServerResponse;
use nizhal_core::{__private::BoxFuture, DateTimeUtc};
use nizhal_runtime::engine::{ImageReader, ImageStore, ImageStoreError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Files in memory.
#[derive(Debug, Default)]
pub(crate) struct ImageFiles(Mutex<BTreeMap<String, Vec<u8>>>);

impl ImageFiles {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loses the file of this place among all; false when there is none.
    pub(crate) fn lose(&self, draw: u32) -> bool {
        let mut files = self.files();
        let count = files.len().max(1);
        let path = files.keys().nth(usize::try_from(draw).unwrap_or_default() % count).cloned();
        path.and_then(|path| files.remove(&path)).is_some()
    }

    /// Answers a request for a file, or for the rest of it.
    pub(crate) fn answer(&self, body: &[u8]) -> ServerResponse {
        let wanted: Value = serde_json::from_slice(body).unwrap_or_default();
        let path = wanted.get("url").and_then(Value::as_str).unwrap_or_default();
        let from = wanted.get("from").and_then(Value::as_u64).and_then(|from| usize::try_from(from).ok());
        let from = from.unwrap_or_default();
        match self.files().get(path).map(|file| file.get(from..)) {
            Some(Some(rest)) => ServerResponse::of(if from > 0 { 206 } else { 200 }, false, rest.to_vec()),
            Some(None) => ServerResponse::refusal(416, "range_not_satisfiable", None),
            None => ServerResponse::refusal(404, "not_found", None),
        }
    }
}

impl ImageStore for ImageFiles {
    fn put<'a>(&'a self, name: &'a str, file: &'a Path) -> BoxFuture<'a, Result<String, ImageStoreError>> {
        Box::pin(async move {
            let bytes = std::fs::read(file).map_err(|error| ImageStoreError(error.into()))?;
            let path = format!("/images/{name}");
            self.files().insert(path.clone(), bytes);
            Ok(path)
        })
    }

    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), ImageStoreError>> {
        self.files().remove(path);
        Box::pin(async { Ok(()) })
    }

    fn url<'a>(&'a self, reader: ImageReader<'a>, _: DateTimeUtc) -> BoxFuture<'a, Result<String, ImageStoreError>> {
        Box::pin(async move { Ok(reader.path.to_owned()) })
    }

    fn list(&self, _: i64) -> BoxFuture<'_, Result<Vec<String>, ImageStoreError>> {
        Box::pin(async { Ok(self.files().keys().cloned().collect()) })
    }

    fn is_there<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<bool, ImageStoreError>> {
        let is_there = self.files().contains_key(path);
        Box::pin(async move { Ok(is_there) })
    }
}
