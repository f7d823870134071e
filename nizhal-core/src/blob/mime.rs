//! The media type of a blob.

use super::BlobRefError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{borrow::Cow, fmt, str::FromStr};

/// The longest media type, in bytes: what RFC 6838 allows each half of one.
pub(super) const MAX_MIME_BYTES: usize = 127;

/// A media type without parameters, `type/subtype` of at most 127 bytes, whose halves are names by RFC 6838, section 4.2.
///
/// ```
/// # use nizhal_core::Mime;
/// let mime: Mime = "image/svg+xml".parse().unwrap();
/// assert_eq!(mime.as_str(), "image/svg+xml");
/// assert!("text/plain; charset=utf-8".parse::<Mime>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Mime(String);

impl Mime {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Mime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Mime {
    type Err = BlobRefError;

    /// Reads a media type.
    ///
    /// # Errors
    /// [`BlobRefError::Mime`] for any other text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((kind, subtype)) if text.len() <= MAX_MIME_BYTES && is_name(kind) && is_name(subtype) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(BlobRefError::Mime),
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_later = |char: u8| char.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&char);
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && text.bytes().all(is_later)
}

impl<'de> Deserialize<'de> for Mime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Mime {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Mime".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        const PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$";
        json_schema!({"type": "string", "maxLength": MAX_MIME_BYTES, "pattern": PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv32_a_media_type_has_two_names_and_no_more() {
        let longest = format!("a/{}", "b".repeat(MAX_MIME_BYTES - 2));
        for good in ["a/b", "image/jpeg", "application/vnd.ms-excel.sheet.macroEnabled.12", "0/1", longest.as_str()] {
            assert_eq!(good.parse::<Mime>().unwrap().as_str(), good);
        }
        let long = format!("{longest}b");
        for other in
            ["", "/", "a", "a/", "/b", "a/b/c", " a/b", "a/b ", "a/b\n", "a/*", ".a/b", "a/-b", "ä/b", "a/b;c", &long]
        {
            assert_eq!(other.parse::<Mime>(), Err(BlobRefError::Mime), "{other:?}");
        }
    }
}
