//! Making a broken file anew. It is marked first: whatever interrupts this, the next opening goes on with it.
//!
//! Decision: book/src/decisions/device.md#a-broken-file-is-marked-before-it-is-put-aside

use super::{Lock, StoreError, beside};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What follows a database's name in that of the mark beside it.
const MARK: &str = ".damaged";
/// The same for its files; the one that is moved last tells that the others were.
const FILES: [&str; 3] = ["-wal", "-shm", ""];

/// A broken file that is being made anew. Nobody else opens it meanwhile.
pub(super) struct Rebuild {
    path: PathBuf,
    _lock: Lock,
    /// What was wrong with it.
    pub(super) cause: String,
    /// Where it is put.
    pub(super) kept_as: PathBuf,
}

/// Whether the file at this path is known to be broken.
pub(super) fn is_marked(path: &Path) -> bool {
    beside(path, MARK).exists()
}

/// Notes that the file is broken: what is damaged may be out of sight when it is opened again.
pub(super) fn mark(path: &Path, cause: &str) -> std::io::Result<()> {
    let mark = beside(path, MARK);
    if read(&mark).is_some() {
        return Ok(());
    }
    let free = (1_u32..).map(|number| beside(path, &format!(".broken-{number}"))).find(|aside| !aside.exists());
    let aside = free.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let mut file = File::create(mark)?;
    file.write_all(format!("{aside}\n{cause}").as_bytes())?;
    file.sync_all()
}

impl Rebuild {
    /// Puts a marked file aside.
    ///
    /// # Errors
    /// When another process works on it, or files cannot be moved.
    pub(super) fn begin(path: &Path) -> Result<Self, StoreError> {
        let mut lock = Lock::of(Some(path))?;
        if !lock.try_acquire()? {
            return Err(StoreError::InUse);
        }
        // One that was cut short is written again; nothing was moved then.
        mark(path, "it was found to be broken")?;
        let (aside, cause) = read(&beside(path, MARK)).unwrap_or_default();
        let kept_as = path.with_file_name(aside);
        let moved = kept_as.exists();
        for file in FILES {
            let (old, kept) = (beside(path, file), beside(&kept_as, file));
            match (old.exists(), moved) {
                (true, false) => std::fs::rename(old, kept)?,
                // Of a rebuilding that was interrupted: nobody has worked with it.
                (true, true) => std::fs::remove_file(old)?,
                (false, _) => {}
            }
        }
        Ok(Self { path: path.to_owned(), _lock: lock, cause, kept_as })
    }

    /// The new file holds all that it will.
    ///
    /// # Errors
    /// When the mark cannot be taken away.
    pub(super) fn end(self) -> Result<(String, PathBuf), StoreError> {
        std::fs::remove_file(beside(&self.path, MARK))?;
        Ok((self.cause, self.kept_as))
    }
}

fn read(mark: &Path) -> Option<(String, String)> {
    let text = std::fs::read_to_string(mark).ok()?;
    let (aside, cause) = text.split_once('\n')?;
    Some((aside.to_owned(), cause.to_owned()))
}
