//! Wire 2 as a device reads it: the shapes of the wire protocol, and a door that lets nothing else in.

use nizhal_core::wire::{Batch, Gone, ImageRef, Mutation, MutationResult, RevisedMutation};
use serde::{Deserialize, Serialize};

/// One answer of a pull, or the last line of one that came in lines. What lacks a field is refused whole.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<'a> {
    #[serde(borrow, default)]
    pub(crate) changed: Vec<Batch<'a>>,
    pub(crate) tombstoned: Vec<Gone>,
    pub(crate) removed: Vec<Gone>,
    pub(crate) removed_buckets: Vec<String>,
    pub(crate) cursor: String,
    pub(crate) epoch: String,
    #[serde(default)]
    pub(crate) cursor_reset: bool,
    #[serde(default)]
    pub(crate) has_more: bool,
    #[serde(default)]
    pub(crate) complete: bool,
    #[serde(default)]
    pub(crate) later_rules: Vec<String>,
    #[serde(default)]
    pub(crate) last_mutation_id: Option<i64>,
    #[serde(default)]
    pub(crate) images: Vec<ImageRef>,
    #[serde(default)]
    pub(crate) revised: Vec<RevisedMutation>,
}

impl Page<'_> {
    /// Whether it says nothing new of rows and results.
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty()
            && self.tombstoned.is_empty()
            && self.removed.is_empty()
            && self.removed_buckets.is_empty()
            && self.images.is_empty()
            && self.revised.is_empty()
            && !self.cursor_reset
    }
}

/// The body of a pull.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pull<'a> {
    pub(crate) cursor: &'a str,
    pub(crate) device_id: &'a str,
    pub(crate) limit: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) images: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) seeds: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) buckets: Option<&'a [String]>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) total: bool,
}

/// The images that an answer names and the total that it says, unread but for those.
#[derive(Debug, Deserialize)]
pub(crate) struct Named {
    #[serde(default)]
    pub(crate) images: Vec<ImageRef>,
    #[serde(default)]
    pub(crate) total: Option<u64>,
}

/// The body of a push.
#[derive(Debug, Serialize)]
pub(crate) struct Push<'a> {
    pub(crate) mutations: &'a [Mutation],
}

/// A push's answer, and what an error's body carries of one.
#[derive(Debug, Deserialize)]
pub(crate) struct Pushed {
    pub(crate) results: Vec<MutationResult>,
}

/// What an error says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    pub(crate) code: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) results: Vec<MutationResult>,
    /// The blobs that the server lacks.
    pub(crate) sha256: Vec<String>,
}
