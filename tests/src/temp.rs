//! Directories that live as long as a test.

use std::path::{Path, PathBuf};

/// A fresh directory, removed when dropped.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes one whose name begins with `nizhal-<what>-`.
    ///
    /// # Panics
    /// When the directory for temporary files cannot be written.
    pub fn new(what: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nizhal-{what}-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{} cannot be made: {error}", path.display()));
        Self(path)
    }

    /// One in memory where the system has such a place, for what needs no disk.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn in_memory(what: &str) -> Self {
        let path = Path::new("/dev/shm").join(format!("nizhal-{what}-{}", uuid::Uuid::now_v7().simple()));
        if std::fs::create_dir(&path).is_ok() { Self(path) } else { Self::new(what) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
