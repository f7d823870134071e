//! A change of who is in a bucket, as its listeners hear of it.

use nizhal_core::Bucket;
use serde_json::{Map, Value};

/// `{"<userId>": [{"presence_ref", …payload}]}`.
pub type PresenceState = Map<String, Value>;

/// The entries that came to a bucket and those that left it.
#[derive(Clone, Debug, PartialEq)]
pub struct PresenceDiff {
    /// The bucket.
    pub bucket: Bucket,
    /// New entries.
    pub joins: PresenceState,
    /// Entries that are no more.
    pub leaves: PresenceState,
}
