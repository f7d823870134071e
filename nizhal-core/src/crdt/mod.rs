//! Columns that merge: a text and a map that many may edit at once, byte-compatible with Yjs.

mod column;
mod document;
mod merge;
mod nest;
mod scan;
mod update;

#[cfg(test)]
mod tests;

pub use column::{CrdtColumn, CrdtDocument};
pub use update::CrdtUpdate;

use crate::{ColumnDesc, Crdt, Error, TableDesc};
use nest::Nest;
use serde_json::Value as Json;
use std::fmt;
use yrs::{Any, Map as _, Text as _, WriteTxn as _};

/// How large an update may be.
const MAX_UPDATE_BYTES: usize = 1 << 20;
/// How large a document may grow: each merge reads all of it.
const MAX_STATE_BYTES: usize = 8 << 20;
/// Of how many pieces a document may consist. Merging can cost the square of it, when somebody means ill.
const MAX_STRUCTS: usize = 50_000;

/// Why a document and an update do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrdtError {
    /// The update is none, or not one for this column; as a mutator's error it is `invalid_args`.
    #[error("this is not a Yjs update that the column can take: {0}")]
    Update(String),
    /// The stored state is broken; as a mutator's error it is an internal fault.
    #[error("the stored state of a CRDT column is broken: {0}")]
    State(String),
}

impl From<CrdtError> for Error {
    fn from(error: CrdtError) -> Self {
        match error {
            CrdtError::Update(_) => Self::InvalidArgs(error.to_string()),
            CrdtError::State(_) => Self::internal(error),
        }
    }
}

/// What a document is to its column: which of Yjs' shared types it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Map,
}

impl Kind {
    /// The name of the shared type in a document whose column names no other.
    const fn root(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Map => "map",
        }
    }

    /// How JavaScript reaches it.
    const fn getter(self) -> &'static str {
        match self {
            Self::Text => "getText",
            Self::Map => "getMap",
        }
    }
}

/// Checks that the state of a column's document has the root that the column names, or none yet.
pub(crate) fn check_root(table: &TableDesc, column: &ColumnDesc, state: &[u8]) -> Result<(), String> {
    let kind = match column.crdt {
        None => return Ok(()),
        Some(Crdt::Text) => Kind::Text,
        Some(Crdt::Map) => Kind::Map,
    };
    let wanted = column.crdt_root.unwrap_or(kind.root());
    match document::check(kind, state).map_err(|error| error.to_string())? {
        Some(root) if root != wanted => Err(format!(
            "column {} of {} keeps its document under the root {wanted:?}, and the one that was set has {root:?}: make it \
             with `from_text_in`, `from_json_in` or `from_update_in`",
            column.name, table.name
        )),
        _ => Ok(()),
    }
}

macro_rules! documents {
    ($($(#[$doc:meta])* $Document:ident => $kind:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $Document {
            state: Vec<u8>,
            /// The name of the shared type that it keeps; nothing when nothing was written yet.
            root: Option<String>,
        }

        impl $Document {
            /// A document that nothing was written to.
            pub fn new() -> Self {
                Self { state: yrs::Update::EMPTY_V1.to_vec(), root: None }
            }

            /// The document that an update alone makes: how a device hands a new one over.
            ///
            /// # Errors
            /// [`CrdtError::Update`] when the update is not for a column of this type.
            pub fn from_update(update: &CrdtUpdate) -> Result<Self, CrdtError> {
                Self::from_update_in($kind.root(), update)
            }

            /// The same for a column with `#[nizhal(crdt_root = "…")]`, whose shared type has that name.
            ///
            /// # Errors
            /// As for [`from_update`](Self::from_update).
            pub fn from_update_in(root: &str, update: &CrdtUpdate) -> Result<Self, CrdtError> {
                let mut document = Self::new();
                document.merge_in(root, update)?;
                Ok(document)
            }

            /// Merges an update and drops what was deleted; answers whether it told anything new.
            ///
            /// Parts that build on changes which are not here yet are kept, and show when those come. Where only the
            /// writer's count has a gap, and the part's place is known, it is read here at once; Yjs shows it later.
            ///
            /// # Errors
            /// [`CrdtError::Update`] when the update is not for this column or the document would grow too large, in
            /// which case nothing was changed.
            pub fn merge(&mut self, update: &CrdtUpdate) -> Result<bool, CrdtError> {
                let root = self.root().to_owned();
                self.merge_in(&root, update)
            }

            /// The same where the shared type has this name.
            fn merge_in(&mut self, root: &str, update: &CrdtUpdate) -> Result<bool, CrdtError> {
                let Some(state) = document::merge($kind, root, &self.state, update.as_bytes())? else { return Ok(false) };
                *self = Self { root: document::check($kind, &state)?, state };
                Ok(true)
            }

            /// The state as one Yjs update, version 1: what the column stores.
            pub fn as_bytes(&self) -> &[u8] {
                &self.state
            }

            /// The document of a stored state.
            fn from_state(state: Vec<u8>) -> Result<Self, CrdtError> {
                Ok(Self { root: document::check($kind, &state)?, state })
            }

            /// The name of the shared type.
            fn root(&self) -> &str {
                self.root.as_deref().unwrap_or($kind.root())
            }
        }

        impl Default for $Document {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Debug for $Document {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($Document), "({} bytes)"), self.state.len())
            }
        }
    )*};
}

documents! {
    /// A text that many may edit at once: `doc.getText("text")` of a Yjs document.
    ///
    /// Formatting and embedded objects are kept; [`text`](Self::text) reads the characters alone.
    ///
    /// ```
    /// # use nizhal_core::CrdtText;
    /// assert_eq!(CrdtText::from_text("வணக்கம்").text()?, "வணக்கம்");
    /// # Ok::<(), nizhal_core::CrdtError>(())
    /// ```
    CrdtText => Kind::Text;
    /// A map that many may edit at once: `doc.getMap("map")` of a Yjs document, with plain values or nested
    /// `Y.Map`, `Y.Array` and `Y.Text`.
    ///
    /// ```
    /// # use nizhal_core::CrdtMap;
    /// let json = serde_json::json!({"colour": "red", "tags": ["a", "b"]});
    /// let map = CrdtMap::from_json(json.as_object().unwrap())?;
    /// assert_eq!(map.get("colour")?, Some("red".into()));
    /// assert_eq!(map.to_json()?, json);
    /// # Ok::<(), nizhal_core::CrdtError>(())
    /// ```
    CrdtMap => Kind::Map;
}

impl CrdtText {
    /// A document that holds this text. The same text makes the same document, on a device as on the server.
    pub fn from_text(text: &str) -> Self {
        Self::from_text_in(Kind::Text.root(), text)
    }

    /// The same for a column with `#[nizhal(crdt_root = "…")]`, whose shared type has that name.
    pub fn from_text_in(root: &str, text: &str) -> Self {
        if text.is_empty() {
            return Self::new();
        }
        let state = document::made(writer(text.as_bytes()), |tx| {
            tx.get_or_insert_text(root).insert(tx, 0, text);
        });
        Self { state, root: Some(root.to_owned()) }
    }

    /// The text.
    ///
    /// # Errors
    /// [`CrdtError::State`] when the database holds something that no merge wrote.
    pub fn text(&self) -> Result<String, CrdtError> {
        document::text(self.root(), &self.state)
    }
}

impl CrdtMap {
    /// A document that holds these values, each a plain one, numbers as JavaScript has them. The same values make the
    /// same document.
    ///
    /// # Errors
    /// [`CrdtError::Update`] when a value is nested more than 64 deep.
    pub fn from_json(values: &serde_json::Map<String, Json>) -> Result<Self, CrdtError> {
        Self::from_json_in(Kind::Map.root(), values)
    }

    /// The same for a column with `#[nizhal(crdt_root = "…")]`, whose shared type has that name.
    ///
    /// # Errors
    /// As for [`from_json`](Self::from_json).
    pub fn from_json_in(root: &str, values: &serde_json::Map<String, Json>) -> Result<Self, CrdtError> {
        let mut members: Vec<(&String, String)> = values.iter().map(|(key, value)| (key, value.to_string())).collect();
        members.sort();
        let told: Vec<u8> =
            members.iter().flat_map(|(key, value)| [key.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat()).collect();
        if members.is_empty() {
            return Ok(Self::new());
        }
        let mut read = Vec::with_capacity(members.len());
        for (key, value) in &members {
            read.push((key.as_str(), Any::from_json(value).map_err(|error| CrdtError::Update(error.to_string()))?));
        }
        let state = document::made(writer(&told), |tx| {
            let map = tx.get_or_insert_map(root);
            for (key, value) in read {
                map.insert(tx, key, value);
            }
        });
        scan::scan(&state, scan::Expected::Root(Kind::Map, root), &mut Nest::default()).map_err(CrdtError::Update)?;
        Ok(Self { state, root: Some(root.to_owned()) })
    }

    /// What this key holds; shared types as their JSON.
    ///
    /// # Errors
    /// As for [`to_json`](Self::to_json).
    pub fn get(&self, key: &str) -> Result<Option<Json>, CrdtError> {
        document::map(self.root(), &self.state, Some(key))
    }

    /// The whole map as a JSON object, bytes in base64.
    ///
    /// # Errors
    /// [`CrdtError::State`] when the database holds something that no merge wrote.
    pub fn to_json(&self) -> Result<Json, CrdtError> {
        Ok(document::map(self.root(), &self.state, None)?.unwrap_or_default())
    }
}

/// The writer's number for a first content: by FNV-1a, so that no two contents are written under the same ids, and
/// above 2^52, where no Yjs client is, since those draw 32 bits.
fn writer(content: &[u8]) -> u64 {
    let hash = content
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    (hash >> 12) | (1 << 52)
}
