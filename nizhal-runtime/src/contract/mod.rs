//! The contract: one OpenAPI 3.1 document that says what the wire carries for this app.

mod compare;
mod document;
mod paths;

use crate::schema::Schema;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{fmt::Write, sync::Arc};

/// The finished document: built once, the same bytes for the same app.
#[derive(Clone, Debug)]
pub struct Contract {
    bytes: Arc<[u8]>,
    hash: String,
}

impl Contract {
    /// Describes an app.
    pub fn new(app: &str, version: &str, schema: &Schema) -> Self {
        let mut document = document::document(app, version, schema);
        // Sorted whatever map the build gave serde_json, so that the hash is the app's and not the build's.
        document.sort_all_objects();
        let hash = hex(&Sha256::digest(document.to_string().as_bytes()));
        document["x-nizhal"]["hash"] = json!(hash);
        document.sort_all_objects();
        Self { bytes: pretty(&document).into_bytes().into(), hash }
    }

    /// The document as JSON.
    pub fn bytes(&self) -> Arc<[u8]> {
        self.bytes.clone()
    }

    /// What clients of `old`, the JSON of an earlier contract, could not survive in this one; none means that all is additive.
    ///
    /// # Errors
    /// When `old` is no JSON.
    pub fn breaks(&self, old: &str) -> Result<Vec<String>, serde_json::Error> {
        let (old, new) = (serde_json::from_str(old)?, serde_json::from_slice(&self.bytes)?);
        Ok(compare::breaks(&old, &new))
    }

    /// SHA-256 of the document without this hash, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

fn pretty(document: &Value) -> String {
    format!("{document:#}\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap_or_else(|_| unreachable!("a String takes every write"));
        text
    })
}

#[cfg(test)]
mod tests;
