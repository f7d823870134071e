//! Which of several processes syncs a store: whoever holds the lock on the file beside it. The system lets go of it when its
//! holder dies, however it dies.

use super::beside;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// The lock of one store.
#[derive(Debug)]
pub struct Lock {
    file: Option<File>,
    acquired: bool,
}

impl Lock {
    /// The lock of the store at this path; a store in memory has no other process.
    ///
    /// # Errors
    /// When the file beside it cannot be made.
    pub fn of(path: Option<&Path>) -> std::io::Result<Self> {
        let Some(path) = path else { return Ok(Self { file: None, acquired: true }) };
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(file(path))?;
        Ok(Self { file: Some(file), acquired: false })
    }

    /// Takes it if nobody else has it; whether it is ours.
    ///
    /// # Errors
    /// When the system cannot lock files.
    pub fn try_acquire(&mut self) -> std::io::Result<bool> {
        if let (false, Some(file)) = (self.acquired, &self.file) {
            match file.try_lock() {
                Ok(()) => self.acquired = true,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(self.acquired)
    }
}

/// The file that is locked; it stays, so that a store that vanished is known to have been.
pub(super) fn file(path: &Path) -> PathBuf {
    beside(path, ".lock")
}
