//! The blobs that a mutation names in its arguments, and whether its actor may name them.
//!
//! To know a blob's hash is not to have the blob: else whoever learns the hash of another tenant's blob could make a row of its own
//! that names it, and download it. So an actor names what it uploaded, or what a row names that it sees. For all else the answer is
//! that of a blob which nobody stored.
//!
//! Decision: book/src/decisions/blobs.md#an-actor-names-a-blob-that-it-has

use super::reply::PushError;
use crate::{engine::Engine, store::StoreError};
use nizhal_core::{Principal, find_blobs, wire::Mutation};
use sea_orm::DatabaseTransaction;
use std::collections::BTreeSet;

impl Engine {
    /// The refusal of mutations that name blobs which their actor may not name: its device uploads them and sends the mutations again.
    /// Final where arguments cannot be searched for blobs.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn missing_blobs(
        &self,
        tx: &DatabaseTransaction,
        principal: &Principal,
        mutations: &[Mutation],
    ) -> Result<Option<PushError>, StoreError> {
        let mut named = BTreeSet::new();
        for mutation in mutations.iter().filter(|_| self.has_blobs) {
            if let Err(error) = find_blobs(mutation.args.get(), &mut named) {
                // Without serde's position, which means nothing inside a larger body.
                let text = error.to_string();
                let text = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
                return Ok(Some(PushError::InvalidArgs(text.to_owned())));
            }
        }
        if named.is_empty() {
            return Ok(None);
        }
        let missing = self.store.on(tx).unnameable_blobs(principal, &named).await?;
        Ok((!missing.is_empty()).then_some(PushError::BlobMissing(missing)))
    }
}
