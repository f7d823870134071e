//! What can go wrong with an answer of the engine: one error for each question.

use crate::{scope::TooManyBuckets, store::StoreError};

/// Why an actor's buckets cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// There are too many.
    #[error(transparent)]
    TooManyBuckets(#[from] TooManyBuckets),
}

/// Why a pull had no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The actor's scope cannot be read.
    #[error(transparent)]
    TooManyBuckets(#[from] TooManyBuckets),
    /// The reader of a stream let a line wait too long.
    #[error("the reader is too slow; pull again")]
    SlowReader,
    /// The reader of a stream hung up.
    #[error("the reader hung up")]
    ReaderGone,
}
