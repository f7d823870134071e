//! Files that hold people's data: made for their owner alone.

use std::{fs::OpenOptions, io, path::Path};

/// Makes the file of a SQLite database where it is absent, for its owner alone (mode 0600 on Unix); SQLite gives the journals
/// beside it the same mode. A file that is there keeps the mode that its owner chose.
///
/// # Errors
/// When the file is absent and cannot be made.
pub fn make_private(path: &Path) -> io::Result<()> {
    match create_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes an empty file that must not be there yet, for its owner alone (mode 0600 on Unix).
///
/// # Errors
/// When the file is there, or cannot be made.
pub fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn a_new_file_is_its_owners_alone_and_an_old_one_keeps_its_mode() {
        let path = std::env::temp_dir().join(format!("nizhal-private-{}", uuid::Uuid::new_v4()));
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        make_private(&path).unwrap();
        assert_eq!(mode(), 0o600);
        assert_eq!(create_private(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        fs::write(&path, "kept").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        make_private(&path).unwrap();
        assert_eq!((mode(), fs::read_to_string(&path).unwrap().as_str()), (0o640, "kept"));
        fs::remove_file(&path).unwrap();
        assert!(make_private(&path.join("no/such/folder")).is_err());
    }
}
