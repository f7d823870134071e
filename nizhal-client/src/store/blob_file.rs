//! The bytes of blobs: files in a folder beside the database, or memory where the database is in memory.
//!
//! A file has its final name only when all of it is on the disk. It gets that name, and is removed, while its transaction holds the
//! database's write lock, so no process removes what another is about to note.

use super::beside;
use nizhal_core::BlobHash;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What follows a database's name in that of the folder beside it.
const FOLDER: &str = ".blobs";
/// The end of the name of a file that is not whole yet.
const PARTIAL: &str = ".part";

/// Where bytes are.
#[derive(Debug)]
pub(crate) enum BlobFiles {
    Folder(PathBuf),
    Memory(Mutex<HashMap<BlobHash, Arc<[u8]>>>),
}

/// Bytes on their way in. Dropped before [`BlobFiles::keep`], they leave nothing behind.
#[derive(Debug)]
pub(crate) struct Incoming {
    hash: Sha256,
    size: u64,
    bytes: Bytes,
}

/// All bytes of a blob, safe on the disk, and not under its name yet.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) sha256: BlobHash,
    pub(crate) size: u64,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    /// The file is locked, by which others know that its writer lives.
    File(File, Partial),
    Memory(Vec<u8>),
}

/// The path of a file that is not whole; removed when it is dropped, unless the file has its name by then.
#[derive(Debug)]
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl BlobFiles {
    /// The files of the database at this path.
    pub(super) fn of(path: Option<&Path>) -> Self {
        match path {
            Some(path) => Self::Folder(beside(path, FOLDER)),
            None => Self::Memory(Mutex::default()),
        }
    }

    /// Begins to take bytes in; `name` is nobody else's.
    pub(crate) fn begin(&self, name: &str) -> io::Result<Incoming> {
        let bytes = match self {
            Self::Memory(_) => Bytes::Memory(Vec::new()),
            Self::Folder(folder) => {
                make_folder(folder)?;
                let partial = Partial(folder.join(format!("{name}{PARTIAL}")));
                nizhal_core::create_private(&partial.0)?;
                let file = OpenOptions::new().write(true).open(&partial.0)?;
                file.lock()?;
                Bytes::File(file, partial)
            }
        };
        Ok(Incoming { hash: Sha256::new(), size: 0, bytes })
    }

    /// Gives bytes their name; the caller holds the database's write lock.
    pub(super) fn keep(&self, whole: Whole) -> io::Result<()> {
        match (self, whole.bytes) {
            (Self::Folder(folder), Bytes::File(_file, partial)) => {
                fs::rename(&partial.0, folder.join(whole.sha256.to_string()))?;
                sync_folder(folder)
            }
            (Self::Memory(all), Bytes::Memory(bytes)) => {
                lock(all).insert(whole.sha256, bytes.into());
                Ok(())
            }
            _ => Err(io::Error::other("the bytes were taken in elsewhere")),
        }
    }

    /// How many bytes there are, if there are any.
    pub(crate) fn size(&self, sha256: BlobHash) -> Option<u64> {
        match self {
            Self::Folder(folder) => Some(fs::metadata(folder.join(sha256.to_string())).ok()?.len()),
            Self::Memory(all) => lock(all).get(&sha256).map(|bytes| bytes.len() as u64),
        }
    }

    /// A piece of the bytes; shorter where they end before.
    pub(crate) fn read(&self, sha256: BlobHash, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
        match self {
            Self::Folder(folder) => {
                let mut file = File::open(folder.join(sha256.to_string()))?;
                file.seek(SeekFrom::Start(offset))?;
                let mut read = Vec::new();
                file.take(bytes).read_to_end(&mut read)?;
                Ok(read)
            }
            Self::Memory(all) => {
                let all = lock(all).get(&sha256).cloned().ok_or(io::ErrorKind::NotFound)?;
                let skip = usize::try_from(offset).unwrap_or(usize::MAX);
                let most = usize::try_from(bytes).unwrap_or(usize::MAX);
                Ok(all.iter().skip(skip).take(most).copied().collect())
            }
        }
    }

    /// The path of the file, where there are files.
    pub(crate) fn path(&self, sha256: BlobHash) -> Option<PathBuf> {
        match self {
            Self::Folder(folder) => Some(folder.join(sha256.to_string())),
            Self::Memory(_) => None,
        }
    }

    /// Removes the bytes; the caller holds the database's write lock.
    pub(super) fn remove(&self, sha256: BlobHash) -> io::Result<()> {
        match self {
            Self::Folder(folder) => match fs::remove_file(folder.join(sha256.to_string())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            Self::Memory(all) => {
                lock(all).remove(&sha256);
                Ok(())
            }
        }
    }

    /// The blobs whose bytes are here. Removes what a process that died left unfinished.
    pub(super) fn list(&self) -> io::Result<Vec<BlobHash>> {
        let Self::Folder(folder) = self else { return Ok(Vec::new()) };
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Ok(sha256) = name.parse() {
                found.push(sha256);
            } else if name.ends_with(PARTIAL) && is_abandoned(&entry.path()) {
                drop(Partial(entry.path()));
            }
        }
        Ok(found)
    }
}

/// The hash of bytes.
pub(crate) fn hash(bytes: &[u8]) -> BlobHash {
    BlobHash::new(Sha256::digest(bytes).into())
}

impl Incoming {
    /// How many bytes have come.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Takes more bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        match &mut self.bytes {
            Bytes::File(file, _) => file.write_all(bytes),
            Bytes::Memory(all) => {
                all.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// All bytes have come: when this returns, they are on the disk.
    pub(crate) fn finish(self) -> io::Result<Whole> {
        if let Bytes::File(file, _) = &self.bytes {
            file.sync_all()?;
        }
        Ok(Whole { sha256: BlobHash::new(self.hash.finalize().into()), size: self.size, bytes: self.bytes })
    }
}

/// Whether nobody writes to the file any more.
fn is_abandoned(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    folder.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // Elsewhere a folder cannot be opened as a file, and renaming is durable by itself.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
