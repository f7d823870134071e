//! Files of a blob store that is a folder of this machine.

use super::layout::{BLOBS, IMAGES, UPLOADS};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
    time::{Duration, SystemTime},
};

/// Bytes of an object, as they come.
pub(crate) type Piece = BoxStream<'static, object_store::Result<Bytes>>;

/// How much of a file is read at a time.
const READ_BYTES: u64 = 256 * 1024;

/// The bytes of a file, read as they are taken, on a thread that may wait for the disk.
pub(super) fn read(file: File, range: Range<u64>) -> Piece {
    let next = |(mut file, range): (File, Range<u64>)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let reading = tokio::task::spawn_blocking(move || {
            let length = READ_BYTES.min(range.end - range.start);
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
            (&mut file).take(length).read_to_end(&mut bytes)?;
            if bytes.len() as u64 != length {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            Ok((Bytes::from(bytes), (file, range.start + length..range.end)))
        });
        match reading.await {
            Ok(Ok(read)) => Ok(Some(read)),
            Ok(Err(error)) => Err(object_store::Error::Generic { store: "blobs", source: error.into() }),
            Err(error) => Err(error.into()),
        }
    };
    stream::try_unfold((file, range), next).boxed()
}

/// Removes files that were being written when a server was killed, older than this: the crate writes `name#1` and gives it its name at
/// the end, and lists no such file. Returns how many there were.
pub(super) fn remove_unfinished(root: &Path, older_than: Duration) -> io::Result<u64> {
    let Some(before) = SystemTime::now().checked_sub(older_than) else { return Ok(0) };
    let mut removed = 0;
    for folder in [UPLOADS, BLOBS, IMAGES] {
        removed += remove_in(&root.join(folder), before)?;
    }
    Ok(removed)
}

fn remove_in(folder: &Path, before: SystemTime) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            removed += remove_in(&entry.path(), before)?;
        } else if is_unfinished(&entry.file_name().to_string_lossy()) && entry.metadata()?.modified()? < before {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_unfinished(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}
