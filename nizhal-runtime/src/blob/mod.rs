//! Blobs: how their bytes get into the blob store, out of it, and away.
//!
//! The parts of an upload are objects of their own in the folder of uploads, which whoever has their URLs can write. A complete upload is copied
//! to an object in the folder of blobs, whose path is random and which nobody else can write; the copy's hash and size are checked, and then its
//! row is recorded. So what was checked is what is served, and deleting an object never meets a new upload of the same content.
//!
//! After a crash between two of these steps there are objects that no row names, and never a row without its object. `collect` removes
//! them.
//!
//! Decision: book/src/decisions/blobs.md#the-record-comes-after-the-object-and-goes-before-it

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod cloud;
mod collect;
mod complete;
mod error;
mod image;
mod layout;
mod local;
mod object;
mod sign;
mod state;
mod upload;

pub(crate) use collect::Collected;
pub(crate) use error::BlobError;
pub use error::{BlobStoreError, BlobStoreFault};
pub(crate) use local::Piece;
pub(crate) use object::Objects;
pub(crate) use sign::Method;
pub(crate) use state::Blobs;
pub(crate) use upload::{Declared, Part, PartLength, Presigned};
