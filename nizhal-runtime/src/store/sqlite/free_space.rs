//! The room that is left on the disk of a database. SQLite reuses its log, so small writes may succeed on a full disk for a while, and
//! say nothing of whether the next ones will.

use crate::store::error::StoreError;
use std::{fs, io::Write, path::PathBuf};

/// The least room on the disk, in bytes: a few large transactions.
const MIN_FREE_BYTES: usize = 1 << 20;

/// Writes and removes a file beside the database.
///
/// # Errors
/// When it does not fit.
pub(super) async fn check_free_space(database: PathBuf) -> Result<(), StoreError> {
    let write = move || {
        let mut probe = database.into_os_string();
        probe.push("-room");
        let written = fs::File::create(&probe).and_then(|mut file| file.write_all(&vec![0; MIN_FREE_BYTES]));
        // Where it cannot be removed, the next probe takes its place.
        let _ = fs::remove_file(&probe);
        written
    };
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(StoreError::Schema(format!(
            "the disk of the database has no {MIN_FREE_BYTES} bytes left: make room ({error})"
        ))),
        Err(_) => Err(StoreError::Schema("the room on the disk of the database could not be looked at".to_owned())),
    }
}
