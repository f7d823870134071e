//! Sealed cursors: what a client keeps says nothing to whoever reads it, and is of use to one actor alone.
//!
//! XChaCha20-Poly1305 (RFC 8439, draft-irtf-cfrg-xchacha-03) with the actor as associated data. The engine draws no random numbers, so the
//! nonce is synthetic, as in AES-SIV (RFC 5297): a MAC of actor and cursor under a key of its own. The same cursor of the same actor so has
//! one text, and no nonce comes twice with two texts. Both keys come of the database's secret, each by its label (HMAC-SHA-256, as HKDF's
//! second step).

use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The first byte of a sealed text; a signed one of before begins with `{`.
const FORMAT: u8 = 4;
/// The bytes of a nonce.
const NONCE_BYTES: usize = 24;
const KEY_LABEL: &[u8] = b"nizhal cursor 4: key";
const NONCE_LABEL: &[u8] = b"nizhal cursor 4: nonce";

/// Whether these bytes are sealed, by their first.
pub(super) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.first() == Some(&FORMAT)
}

/// The text, sealed for this actor.
pub(super) fn seal(secret: &str, actor: &str, text: &[u8]) -> Vec<u8> {
    let mut mac = mac(&derive(secret, NONCE_LABEL));
    // The length keeps apart what one half ends with and the other begins with.
    mac.update(&actor.len().to_le_bytes());
    mac.update(actor.as_bytes());
    mac.update(text);
    let digest = mac.finalize().into_bytes();
    let mut nonce = [0; NONCE_BYTES];
    nonce.copy_from_slice(&digest[..NONCE_BYTES]);
    let payload = Payload { msg: text, aad: actor.as_bytes() };
    let sealed = cipher(secret).encrypt(&XNonce::from(nonce), payload);
    let sealed = sealed.unwrap_or_else(|_| unreachable!("a cursor is shorter than 256 GB"));
    [&[FORMAT][..], &nonce, &sealed].concat()
}

/// What was sealed for this actor with this secret.
pub(super) fn open(secret: &str, actor: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(&[FORMAT])?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
    cipher(secret).decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: actor.as_bytes() }).ok()
}

fn cipher(secret: &str) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(derive(secret, KEY_LABEL)))
}

fn derive(secret: &str, label: &[u8]) -> [u8; 32] {
    let mut mac = mac(secret.as_bytes());
    mac.update(label);
    mac.finalize().into_bytes().into()
}

/// HMAC-SHA-256 (RFC 2104) with this key.
pub(super) fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv19_what_is_sealed_is_one_actors_and_says_nothing() {
        let text = br#"{"e":"the epoch","l":[["shop-b"]]}"#;
        let sealed = seal("k", "ana", text);
        assert!(is_sealed(&sealed) && open("k", "ana", &sealed).as_deref() == Some(&text[..]));
        for (secret, actor) in [("k", "ben"), ("other", "ana"), ("k", "")] {
            assert_eq!(open(secret, actor, &sealed), None);
        }
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(open("k", "ana", &forged), None, "byte {at}");
            assert_eq!(open("k", "ana", &sealed[..at]), None, "{at} bytes");
        }
        assert!(!sealed.windows(5).any(|part| part == b"epoch"));
        assert_eq!(seal("k", "ana", text), sealed);
        assert_ne!(seal("k", "ben", text)[1..=NONCE_BYTES], sealed[1..=NONCE_BYTES]);
    }
}
