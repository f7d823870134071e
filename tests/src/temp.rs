//! Directories that live as long as a test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What a run of the suites needs in memory, in KiB.
const MEMORY_KIB: u64 = 4 << 20;

/// The folder whose files are in memory, where the system has one with room enough.
pub(crate) fn memory() -> Option<&'static str> {
    static MEMORY: OnceLock<Option<&str>> = OnceLock::new();
    *MEMORY.get_or_init(|| {
        let output = Command::new("df").args(["-P", "-k", "/dev/shm"]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let room: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
        (room > MEMORY_KIB).then_some("/dev/shm")
    })
}

/// A fresh directory, removed when dropped.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes one whose name begins with `nizhal-<what>-`.
    ///
    /// # Panics
    /// When the directory for temporary files cannot be written.
    pub fn new(what: &str) -> Self {
        Self::within(&std::env::temp_dir(), what)
    }

    /// One in memory where the system has such a place, for what needs no disk.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn in_memory(what: &str) -> Self {
        memory().map_or_else(|| Self::new(what), |memory| Self::within(Path::new(memory), what))
    }

    fn within(folder: &Path, what: &str) -> Self {
        let path = folder.join(format!("nizhal-{what}-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{} cannot be made: {error}", path.display()));
        Self(path)
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
