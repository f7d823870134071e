//! One upload: it goes on where it was cut, and what it comes to is stored before it is told of.

use super::endpoint::{Begun, Endpoint, bytes_lost};
use crate::environment::Ids;
use crate::exchange::Caller;
use crate::session::{Failure, FailureKind};
use crate::store::{BlobNote, ChangedTables, SqliteStore};
use crate::transport::Transport;
use nizhal_core::BlobRef;

/// Uploads the blob that is next, if any is. `told` hears of tables that changed, since mutations became dead letters.
///
/// # Errors
/// When the blob is still to be uploaded.
pub async fn upload_next(
    store: &SqliteStore,
    transport: &dyn Transport,
    caller: &Caller,
    ids: &dyn Ids,
    told: &(dyn Fn(&ChangedTables) + Send + Sync),
) -> Result<(), Failure> {
    let Some(note) = store.next_upload().await? else { return Ok(()) };
    let sha256 = note.blob.sha256();
    let Err(failure) = send(store, &Endpoint { transport, caller }, &note).await else {
        return Ok(store.upload_sent(sha256).await?);
    };
    if !is_of_blob(&failure) {
        return Err(failure);
    }
    let (changed_tables, is_final) = store.upload_failed(sha256, &failure, &|| ids.new_id()).await?;
    told(&changed_tables);
    if is_final { Ok(()) } else { Err(failure) }
}

async fn send(store: &SqliteStore, endpoint: &Endpoint<'_>, note: &BlobNote) -> Result<(), Failure> {
    let (blob, files) = (&note.blob, store.blob_files());
    if files.size(blob.sha256()) != Some(blob.size()) {
        return Err(bytes_lost());
    }
    let (key, parts) = match endpoint.begin(blob, note.bucket.as_deref(), note.upload.as_deref()).await? {
        Begun::Stored { blob: stored } => return same(&stored, blob),
        Begun::Parts { key, parts } => (key, parts),
    };
    if note.upload.as_ref() != Some(&key) {
        // Before the first byte: whoever goes on after a crash must find what there is to go on with.
        store.note_upload(blob.sha256(), Some(&key)).await?;
    }
    for part in parts.iter().filter(|part| !part.done) {
        endpoint.put(part, files, blob.sha256()).await?;
    }
    same(&endpoint.complete(&key).await?, blob)
}

fn same(stored: &BlobRef, blob: &BlobRef) -> Result<(), Failure> {
    if (stored.sha256(), stored.size()) == (blob.sha256(), blob.size()) {
        return Ok(());
    }
    Err(Failure::new(FailureKind::Refused, "hash_mismatch", "the server has stored other bytes than were sent"))
}

/// Whether a failure is about this blob, rather than one that others would meet as well.
fn is_of_blob(failure: &Failure) -> bool {
    use FailureKind as Kind;
    let others = matches!(failure.kind, Kind::Aborted | Kind::Network | Kind::Busy | Kind::Unauthorized | Kind::Store);
    !others && failure.kind != Kind::StoreLost && failure.kind != Kind::UpgradeRequired
}
