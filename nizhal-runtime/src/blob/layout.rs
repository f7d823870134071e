//! The paths of objects, and the parts that an upload is sent in.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// The folder of the parts of uploads.
pub(super) const UPLOADS: &str = "uploads";
/// The folder of blobs.
pub(super) const BLOBS: &str = "blobs";
/// The folder of images.
pub(super) const IMAGES: &str = "images";
/// The size of a part; of a larger upload they are larger, so that there are not more than so many.
pub(super) const PART_BYTES: u64 = 8 * 1024 * 1024;
const MAX_PARTS: u64 = 1_000;

/// The folder of one upload's parts.
pub(super) fn upload_folder(id: &str) -> String {
    format!("{UPLOADS}/{id}")
}

/// The path of a part.
pub(super) fn part_path(id: &str, number: u32) -> String {
    format!("{UPLOADS}/{id}/{number}")
}

/// The upload and the number that a path names.
pub(super) fn part_of(path: &str) -> Option<(&str, u32)> {
    let (id, number) = path.strip_prefix(UPLOADS)?.strip_prefix('/')?.split_once('/')?;
    Some((id, number.parse().ok()?))
}

/// The folder of one database's blobs: what another database keeps in the same store is never taken for garbage of this one.
pub(super) fn blob_folder(secret: &str) -> String {
    let mut mac = mac(secret.as_bytes());
    mac.update(b"nizhal blobs: folder");
    let digest = mac.finalize().into_bytes();
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{BLOBS}/{name}")
}

/// The folder of one database's images.
pub(super) fn image_folder(secret: &str) -> String {
    blob_folder(secret).replacen(BLOBS, IMAGES, 1)
}

/// A path that was never used before.
pub(super) fn new_blob_path(secret: &str) -> String {
    let name = Uuid::new_v4().simple().to_string();
    format!("{}/{}/{name}", blob_folder(secret), name.get(..2).unwrap_or_default())
}

/// The bytes of each part but the last.
pub(super) fn part_size(bytes: u64) -> u64 {
    let least = bytes.div_ceil(MAX_PARTS);
    least.div_ceil(PART_BYTES).max(1) * PART_BYTES
}

/// The number, offset and length of each part.
pub(super) fn parts(bytes: u64, part_size: u64) -> impl Iterator<Item = (u32, u64, u64)> {
    let offsets = (0..bytes.div_ceil(part_size.max(1))).map(move |index| index * part_size);
    (1..).zip(offsets).map(move |(number, offset)| (number, offset, part_size.min(bytes - offset)))
}

/// HMAC-SHA-256 (RFC 2104) with this key.
pub(super) fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_an_upload_without_gap() {
        for bytes in [1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, 100_000 * PART_BYTES + 7] {
            let size = part_size(bytes);
            let parts: Vec<_> = parts(bytes, size).collect();
            assert!(parts.len() as u64 <= MAX_PARTS, "{bytes}");
            let mut end = 0;
            for (index, (number, offset, length)) in parts.iter().enumerate() {
                assert_eq!((*number as usize, *offset), (index + 1, end));
                assert!((1..=size).contains(length));
                end += length;
            }
            assert_eq!(end, bytes);
        }
        assert_eq!(part_size(1), PART_BYTES);
    }

    #[test]
    fn paths_name_their_part() {
        assert_eq!(part_of(&part_path("u1", 7)), Some(("u1", 7)));
        for other in ["uploads/u1", "uploads/u1/x", "blobs/u1/1", "uploadsx/u1/1", "uploads/u1/1/2", "uploads/u1/-1"] {
            assert_eq!(part_of(other), None, "{other}");
        }
        assert_eq!(blob_folder("k").len(), "blobs/".len() + 16);
        assert_ne!(blob_folder("k"), blob_folder("another"));
        assert_ne!(new_blob_path("k"), new_blob_path("k"));
        assert!(new_blob_path("k").starts_with(&blob_folder("k")));
    }
}
