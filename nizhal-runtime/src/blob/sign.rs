//! URLs of our own, for a blob store that signs none: a path, what it allows, until when, and a MAC of these.
//!
//! HMAC-SHA-256 under a key that comes of the database's secret by a label of its own, as the keys of cursors do. So every server of one
//! database reads the URLs of all, and a restart changes nothing.

use super::layout::mac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::Mac;
use nizhal_core::{BlobHash, Mime, bucket::percent_decode};
use std::{collections::BTreeMap, fmt::Write};

const KEY_LABEL: &[u8] = b"nizhal blob url 1: key";
const READER_LABEL: &[u8] = b"nizhal blob url 1: reader";
/// The route of these URLs.
const ROUTE: &str = "/nizhal/blob/";

/// The request that a URL allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Read a blob.
    Get,
    /// Write a part.
    Put,
}

impl Method {
    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
        }
    }
}

/// A path, and what its URL says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedPath {
    /// The path of the object.
    pub(crate) path: String,
    /// When the URL ends, in seconds since the Unix epoch.
    pub(crate) expires_s: i64,
    /// The hash of a blob.
    pub(crate) sha256: Option<BlobHash>,
    /// The media type that the row names.
    pub(crate) mime: Option<Mime>,
    /// The name of the reader, which says nothing to others; empty for a part.
    pub(crate) by: String,
}

/// A provider's URL to write an object, and the headers that go with it.
#[derive(Debug)]
pub(super) struct SignedPut {
    pub(super) url: String,
    pub(super) headers: BTreeMap<String, String>,
}

/// A name for an actor that only this database can tell.
pub(super) fn reader(secret: &str, actor: &str) -> String {
    let mut mac = mac(&derive(secret, READER_LABEL));
    mac.update(actor.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..12])
}

impl SignedPath {
    /// The URL, from the server's root on.
    pub(crate) fn url(&self, secret: &str, method: Method) -> String {
        let mut url = format!("{ROUTE}{}?expires={}", self.path, self.expires_s);
        let mut add = |name: &str, value: &str| {
            let _ = write!(url, "&{name}={}", percent_encoded(value));
        };
        if let Some(sha256) = self.sha256 {
            add("sha256", &sha256.to_string());
        }
        if let Some(mime) = &self.mime {
            add("type", mime.as_str());
        }
        if !self.by.is_empty() {
            add("by", &self.by);
        }
        add("token", &BASE64_URL_SAFE_NO_PAD.encode(self.mac(secret, method).finalize().into_bytes()));
        url
    }

    /// What the URL of this path and query allows, if it is ours and not over.
    pub(crate) fn verify(secret: &str, method: Method, path: &str, query: &str, now_s: i64) -> Option<Self> {
        let values = |wanted: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| percent_decode(value)).next()
        };
        let signed = Self {
            path: path.to_owned(),
            expires_s: values("expires")?.parse().ok()?,
            sha256: values("sha256").map_or(Some(None), |hash| hash.parse().ok().map(Some))?,
            mime: values("type").map_or(Some(None), |mime| mime.parse().ok().map(Some))?,
            by: values("by").unwrap_or_default(),
        };
        let token = BASE64_URL_SAFE_NO_PAD.decode(values("token")?).ok()?;
        // In constant time.
        signed.mac(secret, method).verify_slice(&token).ok()?;
        (now_s < signed.expires_s).then_some(signed)
    }

    fn mac(&self, secret: &str, method: Method) -> hmac::Hmac<sha2::Sha256> {
        let mut mac = mac(&derive(secret, KEY_LABEL));
        let sha256 = self.sha256.map(|hash| hash.to_string()).unwrap_or_default();
        let mime = self.mime.as_ref().map_or("", Mime::as_str);
        for field in [method.as_str(), &self.path, &self.expires_s.to_string(), &sha256, mime, &self.by] {
            // The length keeps apart what one field ends with and the next begins with.
            mac.update(&(field.len() as u64).to_le_bytes());
            mac.update(field.as_bytes());
        }
        mac
    }
}

fn derive(secret: &str, label: &[u8]) -> [u8; 32] {
    let mut mac = mac(secret.as_bytes());
    mac.update(label);
    mac.finalize().into_bytes().into()
}

/// RFC 3986: all but the unreserved characters and `/`, encoded.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => encoded.push(byte.into()),
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> SignedPath {
        SignedPath {
            path: "blobs/ab/abcd".to_owned(),
            expires_s: 1_000,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".parse().ok(),
            mime: "image/svg+xml".parse().ok(),
            by: reader("k", "ana"),
        }
    }

    fn verify(secret: &str, method: Method, url: &str, now_s: i64) -> Option<SignedPath> {
        let (path, query) = url.strip_prefix(ROUTE).unwrap().split_once('?').unwrap();
        SignedPath::verify(secret, method, path, query, now_s)
    }

    #[test]
    fn inv36_a_url_is_good_for_what_it_was_made_for() {
        let url = signed().url("k", Method::Get);
        assert_eq!(verify("k", Method::Get, &url, 999), Some(signed()));
        assert_eq!(verify("k", Method::Get, &url, 1_000), None, "over");
        assert_eq!(verify("other", Method::Get, &url, 0), None);
        assert_eq!(verify("k", Method::Put, &url, 0), None);
        for (part, other) in [
            ("ab/abcd", "ab/abce"),
            ("=1000", "=1001"),
            ("ba7816", "ba7817"),
            ("image", "audio"),
            ("&by=", "&by=x"),
            ("&type=image/svg%2Bxml", ""),
            ("token=", "token=A"),
        ] {
            assert!(url.contains(part), "{part}");
            assert_eq!(verify("k", Method::Get, &url.replacen(part, other, 1), 0), None, "{part} → {other}");
        }
        let part =
            SignedPath { path: "uploads/u/1".to_owned(), sha256: None, mime: None, by: String::new(), ..signed() };
        assert_eq!(verify("k", Method::Put, &part.url("k", Method::Put), 0), Some(part));
    }

    #[test]
    fn a_reader_has_one_name_that_says_nothing() {
        assert_eq!(reader("k", "ana"), reader("k", "ana"));
        assert_ne!(reader("k", "ana"), reader("k", "ben"));
        assert_ne!(reader("k", "ana"), reader("other", "ana"));
    }
}
