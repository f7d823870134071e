//! The blobs of a device: added without a network, uploaded in the background, and kept to be looked at again.
//!
//! Decision: book/src/decisions/device.md#a-blob-is-dropped-only-when-nothing-on-the-device-needs-it

mod endpoint;
mod upload;

pub use upload::upload_next;

use crate::client::Inner;
use crate::exchange::{Caller, no_token};
use crate::session::{Failure, FailureKind};
use crate::store::{BlobState, Incoming, StoreError, Whole};
use endpoint::Endpoint;
use nizhal_core::{BlobRef, BlobRefError, Mime};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is read of a file at a time.
const PIECE_BYTES: usize = 1 << 18;

/// Writes the bytes of a blob, again where the disk was full the first time.
type Copied = Arc<dyn Fn(&mut Incoming) -> std::io::Result<()> + Send + Sync>;

/// Why something could not be done with a blob.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// It has no bytes, or no media type.
    #[error(transparent)]
    Ref(#[from] BlobRefError),
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bytes cannot be read or kept.
    #[error("the bytes of the blob cannot be read or kept on this device")]
    Io(#[from] std::io::Error),
    /// It is not here, and there is no server to ask for it.
    #[error("the blob is not on this device, and the client has no server to ask for it")]
    NoServer,
    /// The server, or the store of its blobs, did not give it out.
    #[error("the blob cannot be had now: {0}")]
    Refused(Failure),
    /// What came has another hash or size than the row says.
    #[error("the bytes that came are not those that the row names")]
    Changed,
    /// The client was closed while it worked.
    #[error("the client was closed")]
    Closed,
}

/// A blob that the server does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobUpload {
    /// The blob.
    pub blob: BlobRef,
    /// Whether the server will not have it: then the mutations that named it are dead letters.
    pub failed: bool,
    /// The code and the text of the last failure.
    pub error: Option<(String, String)>,
}

/// The blobs of a [`Client`](crate::Client).
#[derive(Clone)]
pub struct Blobs {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs").field("store", &self.inner.store).finish_non_exhaustive()
    }
}

impl Blobs {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// Keeps bytes on this device and queues their upload; works without a network.
    ///
    /// When this returns, the bytes are durable. Pass the reference to a mutation, which waits for the upload.
    ///
    /// ```ignore
    /// let photo = client.blobs().add(jpeg, "image/jpeg").await?;
    /// client.mutate::<set_photo>(SetPhoto { customer_id, photo }).await?;
    /// ```
    ///
    /// # Errors
    /// When there are no bytes, `mime` is no media type, or the disk does not take them.
    pub async fn add(&self, bytes: impl Into<Vec<u8>>, mime: &str) -> Result<BlobRef, BlobError> {
        let bytes = bytes.into();
        self.take_in(Arc::new(move |incoming: &mut Incoming| incoming.write(&bytes)), mime, None).await
    }

    /// The same for a file, which is copied. `bucket`, as `rule:value`, is the one to whose limit the upload counts, where the server
    /// has such limits.
    ///
    /// # Errors
    /// As for [`add`](Self::add), and when the file cannot be read.
    pub async fn add_file(
        &self,
        path: impl AsRef<Path>,
        mime: &str,
        bucket: Option<&str>,
    ) -> Result<BlobRef, BlobError> {
        let path = path.as_ref().to_owned();
        let copy = move |incoming: &mut Incoming| {
            let mut file = std::fs::File::open(&path)?;
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                match file.read(&mut piece)? {
                    0 => return Ok(()),
                    bytes => incoming.write(piece.get(..bytes).unwrap_or_default())?,
                }
            }
        };
        self.take_in(Arc::new(copy), mime, bucket.map(str::to_owned)).await
    }

    /// The bytes of a blob that a row names: those that are kept here, else the server's, which are checked and kept.
    ///
    /// # Errors
    /// When they are not here and cannot be had.
    pub async fn open(&self, blob: &BlobRef) -> Result<Vec<u8>, BlobError> {
        if let Some(bytes) = self.kept(blob).await? {
            return Ok(bytes);
        }
        self.fetch(blob).await?;
        self.kept(blob).await?.ok_or(BlobError::Changed)
    }

    /// The path of a blob's file, fetched where it is not here; `None` where the device's database is in memory. The file is not to be
    /// changed, and may go when the cache is full.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn file(&self, blob: &BlobRef) -> Result<Option<PathBuf>, BlobError> {
        self.open(blob).await?;
        Ok(self.inner.store.blob_files().path(blob.sha256()))
    }

    /// A URL of the server's to read a blob from for a while, for a view that loads it by itself.
    ///
    /// # Errors
    /// When the server cannot be reached, or no row that the user sees names the blob.
    pub async fn url(&self, blob: &BlobRef) -> Result<String, BlobError> {
        let sha256 = blob.sha256();
        self.asking(async |endpoint| endpoint.url(sha256).await).await
    }

    /// The blobs that the server does not have yet, and those that it will not have.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn uploads(&self) -> Result<Vec<BlobUpload>, StoreError> {
        let notes = self.inner.store.unsent_blobs().await?.into_iter();
        let upload = |note: crate::store::BlobNote| BlobUpload {
            failed: note.state == BlobState::Failed,
            blob: note.blob,
            error: note.failure,
        };
        Ok(notes.map(upload).collect())
    }

    /// Tries an upload again that failed for good; false when there is none. [`Client::retry`](crate::Client::retry) of a mutation that
    /// names the blob does so too.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retry(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        let retried = self.inner.store.retry_blob(blob.sha256()).await?;
        self.inner.wrote().await;
        Ok(retried)
    }

    /// Forgets a blob that no mutation names, uploaded or not; false when one does, or the blob is not here.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn discard(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        let gone = self.inner.store.discard_blob(blob.sha256()).await?;
        self.inner.wrote().await;
        Ok(gone)
    }

    async fn take_in(&self, copy: Copied, mime: &str, bucket: Option<String>) -> Result<BlobRef, BlobError> {
        let mime: Mime = mime.parse()?;
        let this = self.clone();
        // A task of its own: a caller that is dropped half way must not keep sync from hearing of what was queued.
        let adding = tokio::spawn(async move {
            let whole = match this.written(copy.clone()).await {
                // A cache gives way to what only this device has.
                Err(error) if is_full(&error) && this.inner.store.drop_all_cached().await? => this.written(copy).await,
                written => written,
            }?;
            BlobRef::new(whole.sha256, whole.size, mime.clone())?;
            let blob = this.inner.store.keep_blob(whole, &mime, bucket, false).await?;
            this.inner.wrote().await;
            Ok(blob)
        });
        adding.await.map_err(|_| BlobError::Closed)?
    }

    async fn written(&self, copy: Copied) -> Result<Whole, BlobError> {
        let mut incoming = self.incoming()?;
        let writing = move || {
            copy(&mut incoming)?;
            incoming.finish()
        };
        Ok(tokio::task::spawn_blocking(writing).await.map_err(|_| BlobError::Closed)??)
    }

    fn incoming(&self) -> std::io::Result<Incoming> {
        self.inner.store.blob_files().begin(&self.inner.ids.new_id().to_string())
    }

    /// The bytes that are here, if they are those that the reference names.
    async fn kept(&self, blob: &BlobRef) -> Result<Option<Vec<u8>>, BlobError> {
        let (store, sha256) = (&self.inner.store, blob.sha256());
        let Some(note) = store.blob(sha256).await? else { return Ok(None) };
        let (files, size) = (store.blob_files().clone(), note.blob.size());
        let reading = move || {
            let bytes = files.read(sha256, 0, size + 1).ok()?;
            let is_whole = bytes.len() as u64 == size && crate::store::hash(&bytes) == sha256;
            is_whole.then_some(bytes)
        };
        let bytes = tokio::task::spawn_blocking(reading).await.map_err(|_| BlobError::Closed)?;
        match (&bytes, note.state) {
            (Some(_), _) => store.use_blob(sha256).await?,
            (None, BlobState::Cached) => store.drop_cached(sha256).await?,
            // One that is to be uploaded is missed when its turn comes; one that was uploaded is fetched again.
            _ => {}
        }
        Ok(bytes)
    }

    /// Fetches a blob, checks it and keeps it.
    async fn fetch(&self, blob: &BlobRef) -> Result<(), BlobError> {
        let incoming = self
            .asking(async |endpoint| {
                let mut incoming =
                    self.incoming().map_err(|error| Failure::new(FailureKind::Store, "storage", error.to_string()))?;
                endpoint.get(endpoint.url(blob.sha256()).await?, blob, &mut incoming).await?;
                Ok(incoming)
            })
            .await?;
        let whole = tokio::task::spawn_blocking(|| incoming.finish()).await.map_err(|_| BlobError::Closed)??;
        if (whole.sha256, whole.size) != (blob.sha256(), blob.size()) {
            return Err(BlobError::Changed);
        }
        self.inner.store.keep_blob(whole, blob.mime(), None, true).await?;
        Ok(())
    }

    /// Asks the server; once more with a renewed token, where it refuses the first.
    async fn asking<T>(&self, ask: impl AsyncFn(Endpoint<'_>) -> Result<T, Failure>) -> Result<T, BlobError> {
        let inner = &self.inner;
        let Some(transport) = &inner.transport else { return Err(BlobError::NoServer) };
        let user = inner.store.principal().key().to_owned();
        let asked = async || {
            let caller = Caller::of(&*inner.credentials, &user, inner.contract_version.clone()).await?;
            ask(Endpoint { transport: &**transport, caller: &caller }).await
        };
        match asked().await {
            Err(failure) if failure.kind == FailureKind::Unauthorized => {
                inner.credentials.refresh().await.map_err(|error| BlobError::Refused(no_token(&error)))?;
                asked().await.map_err(BlobError::Refused)
            }
            answer => answer.map_err(BlobError::Refused),
        }
    }
}

fn is_full(error: &BlobError) -> bool {
    matches!(error, BlobError::Io(error) if error.kind() == std::io::ErrorKind::StorageFull)
}
