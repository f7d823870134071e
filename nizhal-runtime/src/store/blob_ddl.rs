//! The tables of blobs and their indexes, in both dialects.

/// The tables of blobs: those whose bytes are stored, who uploaded each, and the uploads of the last day. Times are in milliseconds
/// since the Unix epoch, sizes in bytes.
pub(super) fn tables(text: &str, int: &str) -> [(&'static str, String); 3] {
    [
        (
            "_nizhal_blobs",
            format!(
                "create table _nizhal_blobs (sha256 {text} primary key, size {int} not null, mime {text} not null, \
                 path {text} not null, stored_ms {int} not null, unreferenced_ms {int})"
            ),
        ),
        (
            "_nizhal_blob_holders",
            format!(
                "create table _nizhal_blob_holders (sha256 {text} not null references _nizhal_blobs on delete cascade, \
                 actor {text} not null, at_ms {int} not null, primary key (sha256, actor))"
            ),
        ),
        (
            // The size is NULL where only a bound of it was declared; `stored` is the hash once the upload is complete.
            "_nizhal_blob_uploads",
            format!(
                "create table _nizhal_blob_uploads (id {text} primary key, actor {text} not null, bucket {text}, \
                 sha256 {text}, size {int}, max_bytes {int} not null, mime {text} not null, part_size {int} not null, \
                 at_ms {int} not null, stored {text})"
            ),
        ),
    ]
}

/// The indexes on these tables, and whether each is unique: objects by their path, blobs that collection marked, the blobs and the
/// uploads of one actor, and uploads by bucket and by age.
pub(super) const INDEXES: [(bool, &str); 6] = [
    (true, "\"_nizhal_blobs\" (path)"),
    (false, "\"_nizhal_blobs\" (unreferenced_ms) where unreferenced_ms is not null"),
    (false, "\"_nizhal_blob_holders\" (actor)"),
    (false, "\"_nizhal_blob_uploads\" (actor, at_ms)"),
    (false, "\"_nizhal_blob_uploads\" (bucket, at_ms) where bucket is not null"),
    (false, "\"_nizhal_blob_uploads\" (at_ms)"),
];
