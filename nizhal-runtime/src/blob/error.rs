//! Why a request about blobs fails, and why a blob store cannot be used.

use crate::{settings::BlobStoreUrl, store::StoreError};
use nizhal_core::BlobHash;

/// Why a request about blobs fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// No upload and no blob of this name is the actor's to ask for.
    #[error("nothing is here")]
    NotFound,
    /// The bytes are not those that were declared.
    #[error("the bytes have the SHA-256 {found}, and {declared} was declared: begin a new upload")]
    HashMismatch {
        /// The hash that was declared.
        declared: BlobHash,
        /// The hash of the bytes.
        found: BlobHash,
    },
    /// More bytes than may be.
    #[error("the blob has {bytes} bytes, and may have {limit}")]
    TooLarge {
        /// The size.
        bytes: u64,
        /// The most that it may have.
        limit: u64,
    },
    /// A media type that is not taken.
    #[error("blobs of the type {0} are not taken here (NIZHAL_BLOB_MIMES)")]
    MimeRefused(String),
    /// Parts that were not sent, or not as a whole.
    #[error("parts of the upload are missing; send them, then complete it")]
    PartsMissing(Vec<u32>),
    /// A part of another length than declared.
    #[error("the part has {found} bytes, and {declared} were declared")]
    PartLength {
        /// The bytes that came.
        found: u64,
        /// The bytes that were to come.
        declared: u64,
    },
    /// The actor declared as many bytes within a day as it may.
    #[error("the actor began uploads of as many bytes within a day as it may (NIZHAL_BLOB_MAX_BYTES_PER_ACTOR)")]
    ActorFull,
    /// As many bytes were declared for the bucket within a day as may be.
    #[error(
        "uploads of as many bytes as may be were begun for the bucket within a day (NIZHAL_BLOB_MAX_BYTES_PER_BUCKET)"
    )]
    BucketFull,
    /// An upload that counts for no bucket where it must.
    #[error("name the bucket that the upload counts for: \"bucket\": \"rule:value\"")]
    BucketNeeded,
    /// A declaration that does not fit.
    #[error("{0}")]
    Declared(&'static str),
    /// A URL that is not ours, or too old.
    #[error("this URL is not valid any more: ask for another one")]
    BadSignature,
    /// The database failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The blob store failed.
    #[error("the blob store is unavailable; try again")]
    Objects(#[from] object_store::Error),
}

/// Why a blob store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the blob store {url} cannot be used (NIZHAL_BLOBS)")]
pub struct BlobStoreError {
    /// Its URL.
    pub url: BlobStoreUrl,
    /// Why.
    #[source]
    pub cause: BlobStoreFault,
}

/// The cause of a [`BlobStoreError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobStoreFault {
    /// This build has no support for it.
    #[error("this build has no support for it: add the feature `{0}` to the dependency on nizhal")]
    NoFeature(&'static str),
    /// The folder cannot be made or read.
    #[error("the folder cannot be made: name one that can be written")]
    Folder(#[source] std::io::Error),
    /// The settings of its provider do not do.
    #[error(transparent)]
    Settings(#[from] object_store::Error),
}
