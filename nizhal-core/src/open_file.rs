//! Whether a SQLite database that is open is still the one that its name leads to: what is written into a file that was removed is
//! on no disk once it is closed, and SQLite says nothing of it.

use std::{
    fs::Metadata,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// What tells a file from another of the same name.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = ();

/// The files of an open database.
#[derive(Debug)]
pub struct OpenFile {
    path: PathBuf,
    /// The database itself, which never changes while it is open.
    main: Identity,
    log: Mutex<Log>,
}

/// The log beside it, which goes when the last connection closes, and comes anew with the next.
#[derive(Debug, Default)]
struct Log {
    identity: Option<Identity>,
    is_lost: bool,
}

/// What became of an open database's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Displaced {
    /// Its name leads to another file, or to none.
    #[error(
        "the file of the database was removed or replaced while it was open, so that what is written would be lost"
    )]
    Main,
    /// The same for its log.
    #[error("the -wal file of the database was removed while it was open, so that what is written would be lost")]
    Log,
}

impl OpenFile {
    /// The database at this path, of which a connection is open; `None` where no file is there.
    pub fn at(path: &Path) -> Option<Self> {
        let main = identity(path)?;
        let open = Self { path: path.to_owned(), main, log: Mutex::default() };
        open.reopened();
        Some(open)
    }

    /// Notes the log of a connection that was opened just now, and has read from the file.
    pub fn reopened(&self) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).identity = identity(&self.log_path());
    }

    /// Whether all files are where they were opened.
    ///
    /// # Errors
    /// When one of them is not. A database that is put back is well again; a log that is gone stays so until all is opened anew.
    pub fn check(&self) -> Result<(), Displaced> {
        if identity(&self.path) != Some(self.main) {
            return Err(Displaced::Main);
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.is_lost |= log.identity.is_some() && identity(&self.log_path()) != log.identity;
        if log.is_lost { Err(Displaced::Log) } else { Ok(()) }
    }

    fn log_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push("-wal");
        path.into()
    }
}

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().as_ref().map(of)
}

#[cfg(unix)]
fn of(file: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

/// Where an open file can be neither removed nor replaced, that it is there is enough.
#[cfg(not(unix))]
fn of(_: &Metadata) -> Identity {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn inv13_a_file_of_the_same_name_is_not_the_one_that_is_open() {
        let path = std::env::temp_dir().join(format!("nizhal-open-{}", uuid::Uuid::new_v4()));
        let beside = |end: &str| PathBuf::from(format!("{}{end}", path.display()));
        assert!(OpenFile::at(&path).is_none());
        fs::write(&path, "main").unwrap();
        fs::write(beside("-wal"), "log").unwrap();
        let open = OpenFile::at(&path).unwrap();
        assert_eq!(open.check(), Ok(()));
        fs::write(&path, "written again").unwrap();
        assert_eq!(open.check(), Ok(()));
        fs::rename(&path, beside("-aside")).unwrap();
        assert_eq!(open.check(), Err(Displaced::Main));
        fs::write(&path, "another").unwrap();
        assert_eq!(open.check(), Err(Displaced::Main));
        fs::rename(beside("-aside"), &path).unwrap();
        assert_eq!(open.check(), Ok(()));
        fs::remove_file(beside("-wal")).unwrap();
        open.reopened();
        assert_eq!(open.check(), Ok(()), "a connection without a log");
        fs::write(beside("-wal"), "log").unwrap();
        open.reopened();
        fs::remove_file(beside("-wal")).unwrap();
        assert_eq!(open.check(), Err(Displaced::Log));
        open.reopened();
        assert_eq!(open.check(), Err(Displaced::Log), "other connections still have it");
        fs::remove_file(path).unwrap();
    }
}
