//! A set of public keys, each bound to the one algorithm that it verifies.

use jsonwebtoken::{
    Algorithm, DecodingKey, Header, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The shortest modulus that RFC 7518 lets RS256 have, in bytes.
const MIN_RSA_BYTES: usize = 256;

/// A key for signatures.
pub(super) struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// The keys of a set.
#[derive(Default)]
pub(super) struct Keys {
    keys: Vec<Key>,
    /// Counts the sets that were read, so that who waited for one sees that it came.
    pub(super) generation: u64,
}

/// The verification of a token by a set.
#[derive(Debug)]
pub(super) enum Verification {
    /// Signed by one of its keys.
    Good(Map<String, Value>),
    /// Not signed by the key that it names.
    Bad,
    /// A newer set might know its key.
    Unknown,
}

/// Why a document is no set of keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("it is no JSON object with `keys`")]
    Malformed(#[source] serde_json::Error),
    #[error("it holds no public key for RS256, ES256 or EdDSA")]
    Empty,
}

impl Keys {
    /// Reads RFC 7517; keys for other uses and algorithms are passed over.
    pub(super) fn parse(document: &[u8], generation: u64) -> Result<Self, KeyError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(document).map_err(KeyError::Malformed)?;
        // One that does not read says nothing about its neighbours.
        let keys: Vec<Key> =
            document.keys.into_iter().filter_map(|key| Key::of(serde_json::from_value(key).ok()?)).collect();
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self { keys, generation })
    }

    /// Verifies a token that says this of itself.
    pub(super) fn verify(&self, token: &str, header: &Header) -> Verification {
        let named = |key: &&Key| key.id.is_some() && key.id == header.kid;
        if header.kid.is_some() && self.keys.iter().any(|key| named(&key)) {
            let fits = |key: &&Key| named(key) && key.algorithm == header.alg;
            return match self.keys.iter().find(fits).and_then(|key| key.claims(token)) {
                Some(claims) => Verification::Good(claims),
                None => Verification::Bad,
            };
        }
        // The only key may go without a name; so may a token for the only key of its algorithm.
        let fitting: Vec<&Key> = self.keys.iter().filter(|key| key.algorithm == header.alg).collect();
        let claims = match fitting[..] {
            [only] if header.kid.is_none() || (only.id.is_none() && self.keys.len() == 1) => only.claims(token),
            _ => None,
        };
        claims.map_or(Verification::Unknown, Verification::Good)
    }
}

impl Key {
    fn of(jwk: Jwk) -> Option<Self> {
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(rsa) => {
                let bytes = base64_bytes(&rsa.n)?;
                (bytes >= MIN_RSA_BYTES).then_some((Algorithm::RS256, KeyAlgorithm::RS256))?
            }
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            // A shared secret in a public document is none.
            _ => return None,
        };
        let common = &jwk.common;
        let for_signatures = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let same = common.key_algorithm.is_none_or(|algorithm| algorithm == named);
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| for_signatures && same)?;
        Some(Self { id: jwk.common.key_id, algorithm, key })
    }

    /// The claims, when this key signed them with its own algorithm and no other.
    fn claims(&self, token: &str) -> Option<Map<String, Value>> {
        let mut rules = Validation::new(self.algorithm);
        // Claims are checked elsewhere, times against the caller's clock.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        jsonwebtoken::decode(token, &self.key, &rules).ok().map(|token| token.claims)
    }
}

fn base64_bytes(text: &str) -> Option<usize> {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(bytes.iter().skip_while(|byte| **byte == 0).count())
}
