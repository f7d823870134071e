//! A text that must not be printed.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// A secret; its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// 256 random bits, as text.
    pub fn random() -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
    }

    /// The bytes, for the one who signs.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether `other` is the same, in a time that tells neither where they differ nor how long the secret is.
    pub fn matches(&self, other: &[u8]) -> bool {
        Sha256::digest(self.bytes()).ct_eq(&Sha256::digest(other)).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }

    #[test]
    fn compares_whole_texts() {
        let secret = Secret::new("hunter2");
        assert!(secret.matches(b"hunter2"));
        for wrong in [&b""[..], b"hunter", b"hunter22", b"Hunter2"] {
            assert!(!secret.matches(wrong));
        }
    }

    #[test]
    fn random_secrets_are_long_and_differ() {
        assert!(Secret::random().bytes().len() >= 32);
        assert_ne!(Secret::random(), Secret::random());
    }
}
