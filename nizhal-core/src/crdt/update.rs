//! A Yjs update as an argument of a mutator: looked through at the door.

use super::scan::{Expected, scan};
use super::{CrdtError, MAX_UPDATE_BYTES, Nest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{borrow::Cow, fmt};

/// A change to a CRDT column, as Yjs encodes it (`Y.encodeStateAsUpdate`, the `update` event): version 1, base64 in JSON.
///
/// At most 1 MiB. Bytes that are no update are refused when the arguments are read, as `invalid_args`.
///
/// ```
/// # use nizhal_core::CrdtUpdate;
/// assert!(serde_json::from_str::<CrdtUpdate>(r#""AAA=""#).is_ok());
/// assert!(serde_json::from_str::<CrdtUpdate>(r#""AAAA""#).is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CrdtUpdate(Vec<u8>);

impl CrdtUpdate {
    /// The update of these bytes.
    ///
    /// # Errors
    /// [`CrdtError::Update`] when they are none, or more than 1 MiB.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, CrdtError> {
        if bytes.len() > MAX_UPDATE_BYTES {
            return Err(CrdtError::Update(format!("it has more than {MAX_UPDATE_BYTES} bytes: send several")));
        }
        scan(&bytes, Expected::Anything, &mut Nest::default()).map_err(CrdtError::Update)?;
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CrdtUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CrdtUpdate({} bytes)", self.0.len())
    }
}

impl Serialize for CrdtUpdate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for CrdtUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.as_bytes());
        let bytes = bytes.map_err(|_| D::Error::custom("a Yjs update is written in base64, padded"))?;
        Self::from_bytes(bytes).map_err(D::Error::custom)
    }
}

impl JsonSchema for CrdtUpdate {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "CrdtUpdate".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let chars = MAX_UPDATE_BYTES.div_ceil(3) * 4;
        json_schema!({"type": "string", "contentEncoding": "base64", "format": "yjs-update-v1", "maxLength": chars})
    }
}
