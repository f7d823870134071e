//! The server's endpoints of blobs, and the places that it signs URLs of.

use crate::exchange::{Caller, malformed, refusal, whole};
use crate::session::{Failure, FailureKind};
use crate::store::{BlobFiles, Incoming};
use crate::transport::{BlobMethod, BlobRequest, Response, Transport};
use nizhal_core::{BlobHash, BlobRef};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Who is asked, and by whom.
pub(super) struct Endpoint<'a> {
    pub(super) transport: &'a dyn Transport,
    pub(super) caller: &'a Caller,
}

/// The answer to the declaration of an upload.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Begun {
    /// The server has it.
    Stored { blob: BlobRef },
    /// The parts to send.
    Parts { key: String, parts: Vec<Part> },
}

/// A piece of a blob, and where it goes.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    offset: u64,
    size: u64,
    /// Whether it is there already.
    #[serde(default)]
    pub(super) done: bool,
}

#[derive(Debug, Deserialize)]
struct Signed {
    url: String,
}

impl Endpoint<'_> {
    /// Begins the upload of a blob, or goes on with the one of this key.
    pub(super) async fn begin(
        &self,
        blob: &BlobRef,
        bucket: Option<&str>,
        key: Option<&str>,
    ) -> Result<Begun, Failure> {
        let mut wanted =
            json!({"mime": blob.mime(), "sha256": blob.sha256(), "size": blob.size(), "maxBytes": blob.size()});
        for (name, value) in [("bucket", bucket), ("key", key)] {
            if let Some(value) = value {
                wanted[name] = value.into();
            }
        }
        self.ask(BlobMethod::Post, "/nizhal/blob/presign-upload".to_owned(), wanted).await
    }

    /// Sends one part.
    pub(super) async fn put(&self, part: &Part, files: &BlobFiles, sha256: BlobHash) -> Result<(), Failure> {
        let body = files.read(sha256, part.offset, part.size).map_err(|_| bytes_lost())?;
        let headers = part.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let bytes = body.len() as u64;
        // No token: the URL itself says what is allowed, and it may be another company's.
        let request =
            BlobRequest { method: BlobMethod::Put, url: part.url.clone(), caller: None, headers, body, bytes };
        let mut response = accepted(self.transport.send_blob(request).await?).await?;
        whole(&mut response).await.map(drop)
    }

    /// Ends an upload: the server checks what it has.
    pub(super) async fn complete(&self, key: &str) -> Result<BlobRef, Failure> {
        self.ask(BlobMethod::Post, format!("/nizhal/blob/{}/complete", encoded(key)), json!({})).await
    }

    /// A URL to read a blob from for a while.
    pub(super) async fn url(&self, sha256: BlobHash) -> Result<String, Failure> {
        let signed: Signed = self.ask(BlobMethod::Get, format!("/nizhal/blob/{sha256}/url"), Value::Null).await?;
        Ok(signed.url)
    }

    /// Reads a blob into a file, and no more bytes than it may have.
    pub(super) async fn get(&self, url: String, blob: &BlobRef, into: &mut Incoming) -> Result<(), Failure> {
        let (headers, body) = (Vec::new(), Vec::new());
        let request = BlobRequest { method: BlobMethod::Get, url, caller: None, headers, body, bytes: 0 };
        let mut response = accepted(self.transport.send_blob(request).await?).await?;
        while let Some(chunk) = response.body.chunk().await? {
            into.write(&chunk).map_err(|error| Failure::new(FailureKind::Store, "storage", error.to_string()))?;
            if into.size() > blob.size() {
                break;
            }
        }
        Ok(())
    }

    async fn ask<T: DeserializeOwned>(&self, method: BlobMethod, url: String, body: Value) -> Result<T, Failure> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let caller = Some(self.caller.clone());
        let request = BlobRequest { method, url, caller, headers: Vec::new(), body, bytes: 0 };
        let mut response = accepted(self.transport.send_blob(request).await?).await?;
        serde_json::from_slice(&whole(&mut response).await?).map_err(malformed)
    }
}

/// The failure when the bytes that are to be sent are not on the disk any more.
pub(super) fn bytes_lost() -> Failure {
    let text = "this device no longer has the bytes of the blob: add it again";
    Failure::new(FailureKind::Refused, "bytes_lost", text)
}

async fn accepted(response: Response) -> Result<Response, Failure> {
    if (200..300).contains(&response.status) { Ok(response) } else { Err(refusal(response).await.0) }
}

/// A key as a part of a path: whatever is no letter, digit or dash is written as bytes.
fn encoded(key: &str) -> String {
    let byte = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    key.bytes().map(byte).collect()
}
