//! Where databases are: in memory where the system has such a place, and gone afterwards.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A directory of one simulation.
#[derive(Debug)]
pub(crate) struct Place(PathBuf);

static MADE: AtomicU64 = AtomicU64::new(0);

impl Place {
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = base.join(format!("nizhal-sim-{}-{}", std::process::id(), MADE.fetch_add(1, Relaxed)));
        std::fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{} is not made: {error}", path.display()));
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Takes away all files but the template.
    pub(crate) fn clear(&self) {
        for file in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if !file.file_name().to_string_lossy().starts_with("template") {
                let _ = std::fs::remove_file(file.path());
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
