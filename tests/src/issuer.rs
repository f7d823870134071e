//! An identity provider: keys made for the test, and a web server that publishes them.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use rsa::pkcs1::EncodeRsaPrivateKey;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A private key and its public half.
#[derive(Clone)]
pub struct Key {
    algorithm: Algorithm,
    private: EncodingKey,
    /// The public half, as RFC 7517 has it.
    pub public: Value,
    id: Option<String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Key {
    /// A fresh key for RS256 (the same for a whole process: they take long to make), ES256 or EdDSA.
    ///
    /// # Panics
    /// For any other algorithm.
    pub fn new(algorithm: Algorithm, id: &str) -> Self {
        static RSA: OnceLock<Vec<u8>> = OnceLock::new();
        let secret = *uuid::Uuid::new_v4().as_bytes();
        // PKCS #8 as RFC 5915 and RFC 8410 have it, up to the 32 bytes of the secret itself.
        let der = |head: &[u8]| [head, &secret, &secret].concat();
        let private = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_der(RSA.get_or_init(|| rsa_key(2048))),
            Algorithm::ES256 => EncodingKey::from_ec_der(&der(&[
                0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04,
                0x20,
            ])),
            Algorithm::EdDSA => EncodingKey::from_ed_der(&der(&[
                0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
            ])),
            other => panic!("no keys are made for {other:?}"),
        };
        Self::of(algorithm, private, id)
    }

    /// An RSA key that is too short to be trusted.
    pub fn short_rsa(id: &str) -> Self {
        Self::of(Algorithm::RS256, EncodingKey::from_rsa_der(&rsa_key(1024)), id)
    }

    fn of(algorithm: Algorithm, private: EncodingKey, id: &str) -> Self {
        let public = Jwk::from_encoding_key(&private, algorithm).expect("the key has a public half");
        let mut public = serde_json::to_value(public).expect("a key is JSON");
        public["kid"] = json!(id);
        public["use"] = json!("sig");
        Self { algorithm, private, public, id: Some(id.to_owned()) }
    }

    /// The same key, that goes without a name.
    #[must_use]
    pub fn nameless(mut self) -> Self {
        self.public.as_object_mut().expect("a key is an object").remove("kid");
        self.id = None;
        self
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(claims, self.id.as_deref())
    }

    /// A token that says it is signed by the key of this name.
    ///
    /// # Panics
    /// When it cannot be signed.
    pub fn sign_as(&self, claims: &Value, id: Option<&str>) -> String {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.private).expect("the token is signed")
    }
}

fn rsa_key(bits: usize) -> Vec<u8> {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).expect("an RSA key");
    key.to_pkcs1_der().expect("a key is DER").as_bytes().to_vec()
}

/// A set of these keys.
pub fn set(keys: &[&Key]) -> String {
    json!({"keys": keys.iter().map(|key| &key.public).collect::<Vec<_>>()}).to_string()
}

#[derive(Debug, Default)]
struct State {
    /// Status and body.
    answer: (u16, String),
    asked: usize,
}

/// A web server that publishes a set of keys.
#[derive(Clone, Debug)]
pub struct Issuer {
    state: Arc<Mutex<State>>,
    /// Where the keys are.
    pub url: String,
}

impl Issuer {
    /// Starts it with these keys; it ends with the test's runtime.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}/.well-known/jwks.json", listener.local_addr().expect("an address"));
        let issuer = Self { state: Arc::default(), url };
        issuer.publish(&set(keys));
        let state = issuer.state.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    request.push(byte);
                }
                let text = {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.asked += 1;
                    let (status, body) = &state.answer;
                    format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
                };
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        issuer
    }

    /// From now on it publishes this document.
    pub fn publish(&self, document: &str) {
        self.state().answer = (200, document.to_owned());
    }

    /// From now on it answers with this status.
    pub fn fail(&self, status: u16) {
        self.state().answer.0 = status;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.state().asked
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
