//! The objects of a blob store: a folder of this machine, or the bucket of a provider.

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
use super::cloud::{self, Cloud};
use super::{
    error::{BlobStoreError, BlobStoreFault},
    local::{self, Piece},
    sign::SignedPut,
};
use crate::settings::BlobStoreUrl;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use nizhal_core::{BlobHash, Mime};
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt,
    buffered::BufWriter, local::LocalFileSystem, path::Path,
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt, ops::Range, path::PathBuf, sync::Arc, time::Duration};
use tokio::io::AsyncWriteExt;

/// The objects of one store; cheap to clone.
#[derive(Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    /// What paths begin with; empty, or with a `/` at its end.
    prefix: String,
    place: Place,
}

#[derive(Clone)]
enum Place {
    /// This folder.
    Folder(PathBuf),
    /// A provider, which signs URLs.
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    Cloud(Cloud),
}

/// An object that was listed.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) path: String,
    pub(super) size: u64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub(super) written_ms: i64,
}

/// As much as is held of what is written to a provider, which takes parts of 5 MiB and more …
const SEND_BYTES: usize = 8 * 1024 * 1024;
/// … and to a file.
const WRITE_BYTES: usize = 256 * 1024;

impl Objects {
    /// The store at this URL; a folder is made.
    pub(crate) fn open(url: &BlobStoreUrl) -> Result<Self, BlobStoreError> {
        let opened = match url {
            BlobStoreUrl::File(path) => Self::folder(path),
            #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
            cloud => Self::cloud(cloud),
            #[cfg(not(any(feature = "s3", feature = "gcs", feature = "azure")))]
            cloud => Err(BlobStoreFault::NoFeature(feature(cloud))),
        };
        opened.map_err(|cause| BlobStoreError { url: url.clone(), cause })
    }

    fn folder(path: &std::path::Path) -> Result<Self, BlobStoreFault> {
        std::fs::create_dir_all(path).map_err(BlobStoreFault::Folder)?;
        let root = path.canonicalize().map_err(BlobStoreFault::Folder)?;
        // An acknowledged blob outlives a power cut, as an acknowledged write does.
        let store = LocalFileSystem::new_with_prefix(&root)?.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self { store: Arc::new(store), prefix: String::new(), place: Place::Folder(root) })
    }

    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    fn cloud(url: &BlobStoreUrl) -> Result<Self, BlobStoreFault> {
        let (store, prefix, cloud) = cloud::open(url)?;
        Ok(Self { store, prefix, place: Place::Cloud(cloud) })
    }

    /// The folder that the objects are in, where it is one of this machine.
    pub(crate) fn root(&self) -> Option<&std::path::Path> {
        match &self.place {
            Place::Folder(root) => Some(root),
            #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
            Place::Cloud(_) => None,
        }
    }

    fn at(&self, path: &str) -> object_store::Result<Path> {
        Ok(Path::parse(format!("{}{path}", self.prefix))?)
    }

    /// A provider's URL that reads an object as one of this media type; none where URLs are our own.
    pub(super) async fn signed_get(
        &self,
        path: &str,
        mime: &Mime,
        time: Duration,
    ) -> object_store::Result<Option<String>> {
        match &self.place {
            Place::Folder(_) => {
                let _ = (path, mime, time);
                Ok(None)
            }
            #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
            Place::Cloud(cloud) => cloud.get(&self.at(path)?, mime, time).await.map(Some),
        }
    }

    /// The same that writes an object.
    pub(super) async fn signed_put(&self, path: &str, time: Duration) -> object_store::Result<Option<SignedPut>> {
        match &self.place {
            Place::Folder(_) => {
                let _ = (path, time);
                Ok(None)
            }
            #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
            Place::Cloud(cloud) => cloud.put(&self.at(path)?, time).await.map(Some),
        }
    }

    /// The size of an object, if it is there.
    pub(crate) async fn size(&self, path: &str) -> object_store::Result<Option<u64>> {
        match self.store.head(&self.at(path)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The bytes of an object, or of a range of it.
    pub(crate) async fn read(&self, path: &str, range: Option<Range<u64>>) -> object_store::Result<Piece> {
        let got = self.store.get_opts(&self.at(path)?, GetOptions::new().with_range(range)).await?;
        let range = got.range.clone();
        match got.payload {
            GetResultPayload::File(file, _) => Ok(local::read(file, range)),
            GetResultPayload::Stream(stream) => Ok(stream),
        }
    }

    /// The objects in a folder and its folders.
    pub(super) fn list(&self, folder: &str) -> object_store::Result<BoxStream<'static, object_store::Result<Listed>>> {
        let skip = self.prefix.len();
        let listed = move |meta: ObjectMeta| Listed {
            path: meta.location.as_ref().get(skip..).unwrap_or_default().to_owned(),
            size: meta.size,
            written_ms: meta.last_modified.timestamp_millis(),
        };
        let list = self.store.list(Some(&self.at(folder)?));
        // A folder that was never written to is empty.
        let found = |result: &object_store::Result<_>| !matches!(result, Err(Error::NotFound { .. }));
        Ok(list.filter(move |result| std::future::ready(found(result))).map_ok(listed).boxed())
    }

    /// The sizes of the parts of an upload that were sent, by their numbers.
    pub(super) async fn part_sizes(&self, folder: &str) -> object_store::Result<BTreeMap<u32, u64>> {
        let mut sizes = BTreeMap::new();
        let mut list = self.list(folder)?;
        while let Some(part) = list.try_next().await? {
            let number = part.path.rsplit('/').next().and_then(|number| number.parse().ok());
            sizes.extend(number.map(|number| (number, part.size)));
        }
        Ok(sizes)
    }

    /// Removes an object; one that is not there counts as removed.
    pub(super) async fn remove(&self, path: &str) -> object_store::Result<()> {
        match self.store.delete(&self.at(path)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes all objects in a folder.
    pub(super) async fn remove_folder(&self, folder: &str) -> object_store::Result<()> {
        let mut list = self.list(folder)?;
        while let Some(object) = list.try_next().await? {
            self.remove(&object.path).await?;
        }
        Ok(())
    }

    /// Begins to write an object of a folder, which appears once it is finished.
    pub(crate) fn write(&self, path: &str) -> object_store::Result<BufWriter> {
        self.writer(path, Attributes::new())
    }

    /// Lets an object appear that was written.
    pub(crate) async fn finish(writer: &mut BufWriter) -> object_store::Result<()> {
        writer.shutdown().await.map_err(|error| Error::Generic { store: "blobs", source: error.into() })
    }

    fn writer(&self, path: &str, attributes: Attributes) -> object_store::Result<BufWriter> {
        let held = if self.root().is_some() { WRITE_BYTES } else { SEND_BYTES };
        let writer = BufWriter::with_capacity(self.store.clone(), self.at(path)?, held);
        Ok(writer.with_attributes(attributes).with_max_concurrency(1))
    }

    /// Copies objects, one behind the other, into a new one, and returns the hash and the size of what is in it. The originals may
    /// change meanwhile: what is hashed is what the new object has.
    pub(super) async fn join(&self, parts: &[String], to: &str, mime: &Mime) -> object_store::Result<(BlobHash, u64)> {
        if let ([part], Place::Folder(_)) = (parts, &self.place) {
            // Another name for the same file: whoever writes the part again makes a new one.
            self.store.copy(&self.at(part)?, &self.at(to)?).await?;
            let mut hashing = Hashing::default();
            let mut bytes = self.read(to, None).await?;
            while let Some(bytes) = bytes.try_next().await? {
                hashing.add(&bytes);
            }
            return Ok(hashing.end());
        }
        let mut attributes = Attributes::new();
        if self.root().is_none() {
            attributes.insert(Attribute::ContentType, mime.as_str().to_owned().into());
            attributes.insert(Attribute::ContentDisposition, "attachment".into());
        }
        let mut writer = self.writer(to, attributes)?;
        match self.copy_into(parts, &mut writer).await {
            Ok(found) => Ok(found),
            Err(error) => {
                // What was sent of it is of no use, and the error is what counts.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    async fn copy_into(&self, parts: &[String], writer: &mut BufWriter) -> object_store::Result<(BlobHash, u64)> {
        let mut hashing = Hashing::default();
        for part in parts {
            let mut bytes = self.read(part, None).await?;
            while let Some(bytes) = bytes.try_next().await? {
                hashing.add(&bytes);
                writer.put(bytes).await?;
            }
        }
        Self::finish(writer).await?;
        Ok(hashing.end())
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.store, self.prefix)
    }
}

#[cfg(not(any(feature = "s3", feature = "gcs", feature = "azure")))]
fn feature(url: &BlobStoreUrl) -> &'static str {
    match url {
        BlobStoreUrl::File(_) => "server",
        BlobStoreUrl::S3(_) => "s3",
        BlobStoreUrl::Gcs(_) => "gcs",
        BlobStoreUrl::Azure(_) => "azure",
    }
}

/// The hash and the number of bytes until now.
#[derive(Default)]
struct Hashing {
    sha256: Sha256,
    bytes: u64,
}

impl Hashing {
    fn add(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn end(self) -> (BlobHash, u64) {
        (BlobHash::new(self.sha256.finalize().into()), self.bytes)
    }
}
