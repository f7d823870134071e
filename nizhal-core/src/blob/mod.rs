//! References to blobs: what a row names an image or a file by.

mod column;
mod hash;
mod mime;
mod search;

pub use hash::BlobHash;
pub use mime::Mime;
pub use search::find_blobs;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{borrow::Cow, fmt};

/// The most bytes that a blob can have: the largest whole number that JavaScript reads exactly.
const MAX_BLOB_BYTES: u64 = (1 << 53) - 1;

/// A reference to a blob, as a column and as an argument: the SHA-256 of its bytes, their number, and their media type.
///
/// The bytes are in the server's blob store, not in the row; a row can name a blob once its bytes are stored. In the database a
/// reference is a JSON column, on the wire the object `{"sha256": "…", "size": 123, "mime": "image/jpeg"}`.
///
/// ```
/// # use nizhal_core::BlobRef;
/// let json = r#"{"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":3,"mime":"text/plain"}"#;
/// let blob: BlobRef = serde_json::from_str(json).unwrap();
/// assert_eq!((blob.size(), blob.mime().as_str()), (3, "text/plain"));
/// assert_eq!(BlobRef::new(blob.sha256(), 3, blob.mime().clone()).unwrap(), blob);
/// assert_eq!(serde_json::to_string(&blob).unwrap(), json);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct BlobRef {
    sha256: BlobHash,
    size: u64,
    mime: Mime,
}

/// The reason why something is no reference to a blob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobRefError {
    /// A hash that is not written as 64 lower-case hexadecimal digits.
    #[error("a blob's sha256 is written as 64 lower-case hexadecimal digits")]
    Hash,
    /// A size out of range.
    #[error("a blob has 1 to {MAX_BLOB_BYTES} bytes, not {0}")]
    Size(u64),
    /// A media type that is none.
    #[error(
        "a blob's mime is a `type/subtype` of at most {} bytes without parameters, such as `image/jpeg`",
        mime::MAX_MIME_BYTES
    )]
    Mime,
}

impl BlobRef {
    /// The reference to a blob of this content.
    ///
    /// # Errors
    /// [`BlobRefError::Size`] when the size is 0, or too large for JavaScript to read exactly.
    pub fn new(sha256: BlobHash, size: u64, mime: Mime) -> Result<Self, BlobRefError> {
        match size {
            1..=MAX_BLOB_BYTES => Ok(Self { sha256, size, mime }),
            _ => Err(BlobRefError::Size(size)),
        }
    }

    /// The SHA-256 of the bytes.
    pub const fn sha256(&self) -> BlobHash {
        self.sha256
    }

    /// The number of bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The media type.
    pub const fn mime(&self) -> &Mime {
        &self.mime
    }
}

impl<'de> Deserialize<'de> for BlobRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("BlobRef", &["sha256", "size", "mime"], RefVisitor)
    }
}

/// Reads no list of the three, as a derived visitor would: [`find_blobs`] knows objects alone, and must miss none that this reads.
struct RefVisitor;

impl<'de> Visitor<'de> for RefVisitor {
    type Value = BlobRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the `sha256`, `size` and `mime` of a blob")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BlobRef, A::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "BlobRef", deny_unknown_fields)]
        struct Fields {
            sha256: BlobHash,
            size: u64,
            mime: Mime,
        }
        let Fields { sha256, size, mime } = Fields::deserialize(MapAccessDeserializer::new(map))?;
        BlobRef::new(sha256, size, mime).map_err(A::Error::custom)
    }
}

impl JsonSchema for BlobRef {
    fn schema_name() -> Cow<'static, str> {
        "BlobRef".into()
    }
    fn schema_id() -> Cow<'static, str> {
        "nizhal::BlobRef".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": {
                "sha256": generator.subschema_for::<BlobHash>(),
                "size": {"type": "integer", "minimum": 1, "maximum": MAX_BLOB_BYTES},
                "mime": generator.subschema_for::<Mime>(),
            },
            "required": ["sha256", "size", "mime"],
            "additionalProperties": false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn inv32_a_reference_is_exact_or_is_refused() {
        let read = |sent: &serde_json::Value| serde_json::from_value::<BlobRef>(sent.clone());
        let good = json!({"sha256": SHA256, "size": 1, "mime": "image/svg+xml"});
        let with = |field: &str, value: serde_json::Value| {
            let mut changed = good.clone();
            changed[field] = value;
            changed
        };
        assert_eq!(serde_json::to_value(read(&good).unwrap()).unwrap(), good);
        assert!(read(&with("size", json!(MAX_BLOB_BYTES))).is_ok());
        for (field, wrong, reason) in [
            ("sha256", json!(SHA256.to_uppercase()), "64 lower-case hexadecimal digits"),
            ("sha256", json!(&SHA256[1..]), "64 lower-case hexadecimal digits"),
            ("sha256", json!(format!("{SHA256}0")), "64 lower-case hexadecimal digits"),
            ("sha256", json!("é".repeat(32)), "64 lower-case hexadecimal digits"),
            ("sha256", json!(7), "invalid type"),
            ("size", json!(0), "1 to 9007199254740991 bytes, not 0"),
            ("size", json!(MAX_BLOB_BYTES + 1), "1 to 9007199254740991 bytes"),
            ("size", json!(-1), "invalid value"),
            ("size", json!(1.0), "invalid type"),
            ("size", json!("1"), "invalid type"),
            ("mime", json!("image"), "`type/subtype`"),
            ("mime", json!("text/plain; charset=utf-8"), "`type/subtype`"),
            ("mime", json!(null), "invalid type"),
            ("name", json!("me.jpg"), "unknown field `name`"),
        ] {
            let error = read(&with(field, wrong)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        for other in
            [json!(SHA256), json!([SHA256, 1, "a/b"]), json!({"sha256": SHA256, "size": 1}), json!(null), json!({})]
        {
            assert!(read(&other).is_err(), "{other}");
        }
        let twice = format!(r#"{{"sha256":"{SHA256}","size":1,"size":2,"mime":"a/b"}}"#);
        assert!(serde_json::from_str::<BlobRef>(&twice).is_err());
    }
}
