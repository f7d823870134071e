//! Fetching the images that a pull names: each file goes on where it was cut, and is checked before it is unpacked.

use crate::session::{Failure, FailureKind};
use crate::store::{LocalImage, PullStart, Store, StoreError};
use crate::transport::{Response, Transport};
use flate2::read::GzDecoder;
use nizhal_core::BlobHash;
use nizhal_core::wire::{ImageFile, ImageRef};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// How often in a row no more of a file comes than came before, until its rows are asked for: they come from the server, which answers.
const MAX_MISSES: u32 = 3;

/// The images that an answer names; one of them cannot be had here.
pub(crate) enum Fetched {
    /// All are here.
    All(Vec<LocalImage>),
    /// One cannot be had, or is of no use here: the rows are to be asked for.
    Unusable,
}

/// Fetches images that are not here yet; `progress` hears how many rows are in those that are, again with every piece of the next one.
///
/// # Errors
/// When it may succeed another time.
pub(crate) async fn fetch(
    store: &dyn Store,
    transport: &dyn Transport,
    start: &PullStart,
    images: Vec<ImageRef>,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Fetched, Failure> {
    let (mut fetched, mut rows) = (Vec::new(), 0);
    for image in images {
        let Some(file) = &image.file else {
            let mut seeds = start.seeds.iter().map(|seed| &seed.image);
            let own = seeds.find(|seed| seed.bucket == image.bucket && seed.version == image.version);
            let Some(own) = own else { return Ok(Fetched::Unusable) };
            fetched.push(own.clone());
            continue;
        };
        if !is_sha256(&file.sha256) || !store.has_shape(&image.bucket, &file.shape) {
            tracing::info!(
                bucket = image.bucket,
                "an image is of other tables than this app's: its rows are asked for"
            );
            return Ok(Fetched::Unusable);
        }
        let (path, part) = store.image_paths(&file.sha256);
        let is_here = path.exists()
            || (bring(store, transport, (file, &part), &|| progress(rows)).await?
                && unpack_whole(file, &part, &path).await);
        if !is_here {
            tracing::warn!(bucket = image.bucket, "an image cannot be had: its rows are asked for");
            return Ok(Fetched::Unusable);
        }
        if !store.is_image(&path, &image).await {
            return Ok(Fetched::Unusable);
        }
        rows += u64::try_from(file.rows).unwrap_or_default();
        progress(rows);
        fetched.push(LocalImage { bucket: image.bucket, version: image.version, path });
    }
    Ok(Fetched::All(fetched))
}

/// It becomes part of a file's name.
fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Brings a file, or what is left of it; false when it cannot be had, or did not come any further for some time.
async fn bring(
    store: &dyn Store,
    transport: &dyn Transport,
    (file, part): (&ImageFile, &Path),
    alive: &(dyn Fn() + Send + Sync),
) -> Result<bool, Failure> {
    let failure = match download(transport, file, part, alive).await {
        Err(failure) if failure.kind != FailureKind::Aborted => failure,
        done => return done,
    };
    if store.note_image_part(&file.sha256, size(part)) < MAX_MISSES {
        return Err(failure);
    }
    tracing::warn!(?failure, "the store of images gives a file out no further");
    remove(part).map(|()| false).map_err(unwritable)
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

async fn download(
    transport: &dyn Transport,
    file: &ImageFile,
    part: &Path,
    alive: &(dyn Fn() + Send + Sync),
) -> Result<bool, Failure> {
    let there = size(part);
    if there == file.size {
        return Ok(true);
    }
    let from = if there < file.size { there } else { 0 };
    let mut response: Response = match transport.fetch(&file.url, from).await {
        // Such as a transport that fetches no files.
        Err(failure) if failure.kind == FailureKind::Refused => return Ok(false),
        answered => answered?,
    };
    let mut out = match response.status {
        200 => File::create(part),
        206 if from > 0 => OpenOptions::new().append(true).open(part),
        429 | 500.. => {
            let text = format!("the store of images answered {}", response.status);
            let failure = Failure::new(FailureKind::Busy, format!("http_{}", response.status), text);
            return Err(Failure { retry_after_ms: response.retry_after_ms, ..failure });
        }
        _ => return remove(part).map(|()| false).map_err(unwritable),
    }
    .map_err(unwritable)?;
    let mut length = if response.status == 206 { from } else { 0 };
    while let Some(chunk) = response.body.chunk().await? {
        length += chunk.len() as u64;
        if length > file.size {
            return remove(part).map(|()| false).map_err(unwritable);
        }
        out.write_all(&chunk).map_err(unwritable)?;
        alive();
    }
    if length < file.size {
        return Err(Failure::new(FailureKind::Network, "cut", "the image was cut"));
    }
    Ok(true)
}

/// Unpacks a file that came whole; false when it is not what was named, or finds no room: rows need less.
async fn unpack_whole(file: &ImageFile, part: &Path, path: &Path) -> bool {
    let (from, to, sha256) = (part.to_owned(), path.to_owned(), file.sha256.clone());
    let unpacking = tokio::task::spawn_blocking(move || {
        let unpacked = unpack(&from, &to, Some(&sha256));
        // Whole or not, it is not gone on with.
        remove(&from)?;
        unpacked
    });
    let unpacked = unpacking.await.map_err(io::Error::other).and_then(|unpacked| unpacked);
    unpacked.unwrap_or_else(|error| {
        tracing::warn!(%error, "the file of an image cannot be unpacked");
        false
    })
}

/// Unpacks a file, which appears under its name once it is whole; false when its SHA-256 is another one.
pub(crate) fn unpack(packed: &Path, plain: &Path, sha256: Option<&str>) -> io::Result<bool> {
    let mut name = plain.as_os_str().to_owned();
    name.push(".tmp");
    let unfinished = Path::new(&name);
    let unpacked = unpack_to(packed, unfinished, sha256);
    match unpacked {
        Ok(true) => std::fs::rename(unfinished, plain)?,
        // What came of it is of no use, and why is what counts.
        _ => _ = remove(unfinished),
    }
    unpacked
}

fn unpack_to(packed: &Path, plain: &Path, sha256: Option<&str>) -> io::Result<bool> {
    nizhal_core::make_private(plain)?;
    let mut out = OpenOptions::new().write(true).truncate(true).open(plain)?;
    let hashed = Hashed { inner: File::open(packed)?, sha256: Sha256::new() };
    let mut decoder = GzDecoder::new(BufReader::with_capacity(64 * 1024, hashed));
    let mut piece = vec![0; 256 * 1024];
    loop {
        match decoder.read(&mut piece)? {
            0 => break,
            length => out.write_all(&piece[..length])?,
        }
    }
    let mut rest = decoder.into_inner().into_inner();
    io::copy(&mut rest, &mut io::sink())?;
    let found = BlobHash::new(rest.sha256.finalize().into()).to_string();
    Ok(sha256.is_none_or(|named| named.eq_ignore_ascii_case(&found)))
}

/// A reader that hashes what passes.
struct Hashed {
    inner: File,
    sha256: Sha256,
}

impl Read for Hashed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(into)?;
        self.sha256.update(&into[..length]);
        Ok(length)
    }
}

/// Deletes a file; one that is not there counts as deleted.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn unwritable(error: io::Error) -> Failure {
    StoreError::from(error).into()
}
