//! First syncs by image: which images a pull goes on from, which buckets are to get one, and how they are made.
//!
//! Decision: book/src/decisions/pulling.md#an-image-takes-the-place-of-a-buckets-rows

mod demand;
mod keep;
mod make;
mod offer;

pub use demand::Demand;
pub(crate) use demand::Images;
pub use keep::{ImageReader, ImageStore, ImageStoreError};
pub use make::{ImageError, ImageFileAnswer, Making};
pub(super) use offer::{Offers, Placed, fresh_buckets};
