//! Where databases are: in memory where the system has such a place, and gone afterwards.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A directory of one simulation: what all incarnations share, and a directory for each of them.
///
/// No incarnation has a path that another one had: a connection that was dropped closes in a thread of its own, and SQLite's last
/// one takes the journal away by its name, which by then could be the next one's.
#[derive(Debug)]
pub(crate) struct Workdir {
    root: PathBuf,
    incarnation: AtomicU64,
}

static MADE: AtomicU64 = AtomicU64::new(0);

impl Workdir {
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let root = base.join(format!("nizhal-sim-{}-{}", std::process::id(), MADE.fetch_add(1, Relaxed)));
        let workdir = Self { root, incarnation: AtomicU64::new(0) };
        workdir.make();
        workdir
    }

    /// A file that all incarnations share.
    pub(crate) fn shared(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A file of this incarnation.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// Takes away the files of this incarnation; the next one has a directory of its own.
    pub(crate) fn clear(&self) {
        // What still closes there may be quicker with a file, then the rest goes with the whole.
        let _ = std::fs::remove_dir_all(self.directory());
        self.incarnation.fetch_add(1, Relaxed);
        self.make();
    }

    fn directory(&self) -> PathBuf {
        self.root.join(self.incarnation.load(Relaxed).to_string())
    }

    fn make(&self) {
        let path = self.directory();
        std::fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{} is not made: {error}", path.display()));
    }
}

impl Drop for Workdir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

#[test]
fn no_incarnation_has_the_paths_of_another() {
    let workdir = Workdir::new();
    let (kept, before) = (workdir.shared("template.db"), workdir.path("server.db"));
    for file in [&kept, &before] {
        std::fs::write(file, "").unwrap();
    }
    workdir.clear();
    assert!(kept.exists() && !before.exists());
    let after = workdir.path("server.db");
    assert_ne!(after, before);
    std::fs::write(after, "").unwrap();
}
