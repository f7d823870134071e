use super::*;
use crate::testing::{Claims, clock};
use jsonwebtoken::{EncodingKey, jwk::Jwk};
use serde_json::json;

/// A fresh key for EdDSA, as RFC 8410 writes it, and its public half of this name.
fn key(id: &str) -> (EncodingKey, Value) {
    let head = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let private = EncodingKey::from_ed_der(&[&head[..], &rand::random::<[u8; 32]>()].concat());
    let public = Jwk::from_encoding_key(&private, Algorithm::EdDSA).unwrap();
    let mut public = serde_json::to_value(public).unwrap();
    public["kid"] = json!(id);
    (private, public)
}

fn sign(private: &EncodingKey, id: &str) -> String {
    let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::EdDSA) };
    let claims = json!({"userId": "u1", "ownerId": "o1", "shopId": "s1", "exp": 1_800_000_060});
    jsonwebtoken::encode(&header, &claims, private).unwrap()
}

fn set(keys: &[&Value]) -> String {
    json!({ "keys": keys }).to_string()
}

struct File(std::path::PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let file = Self(std::env::temp_dir().join(format!("nizhal-jwks-{}", uuid::Uuid::new_v4())));
        file.write(text);
        file
    }

    /// In one step, as who rotates keys should.
    fn write(&self, text: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }

    fn source(&self) -> JwksSource {
        JwksSource::File(self.0.clone())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn verify_token(jwks: &Arc<Jwks>, token: &str) -> Result<(), AuthError> {
    let verifier = JwtJwks::<Claims>::new(jwks.clone(), Expected::default());
    verifier.authenticate(token, crate::environment::Environment::now(&clock())).await.map(drop)
}

#[tokio::test]
async fn a_key_that_is_withdrawn_is_forgotten_by_itself() {
    let ((old, old_public), (new, new_public)) = (key("old"), key("new"));
    let file = File::new(&set(&[&old_public]));
    let jwks = Arc::new(Jwks::open(file.source(), None).await.unwrap());
    let token = sign(&old, "old");
    verify_token(&jwks, &token).await.unwrap();
    file.write(&set(&[&new_public]));
    verify_token(&jwks, &token).await.unwrap();
    let (stop, stopping) = watch::channel(false);
    let task = tokio::spawn(jwks.clone().keep_fresh(Duration::from_millis(1), stopping));
    let forgotten = async {
        while verify_token(&jwks, &token).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), forgotten).await.expect("it is forgotten");
    // A document that is broken takes no key away.
    file.write("{");
    jwks.read().await.unwrap_err();
    verify_token(&jwks, &sign(&new, "new")).await.unwrap();
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test]
async fn a_file_that_holds_no_key_stops_the_start() {
    let (_, public) = key("k");
    let mut encryption = public.clone();
    encryption["use"] = json!("enc");
    let mut signing_only = public.clone();
    signing_only["key_ops"] = json!(["sign"]);
    let mut other = public.clone();
    other["alg"] = json!("RS256");
    let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "k"});
    for document in ["", "[]", "{}", r#"{"keys": []}"#, r#"{"keys": [7, {"kty": "x"}]}"#] {
        assert!(Jwks::open(File::new(document).source(), None).await.is_err(), "{document}");
    }
    for key in [&encryption, &signing_only, &other, &secret] {
        assert!(Jwks::open(File::new(&set(&[key])).source(), None).await.is_err(), "{key}");
    }
    // A neighbour that does not read takes nothing from one that does.
    let file = File::new(&set(&[&json!(7), &secret, &public]));
    Jwks::open(file.source(), None).await.unwrap();
    let missing = Jwks::open(JwksSource::File("/nowhere/keys.json".into()), None).await.unwrap_err();
    assert!(missing.to_string().contains("/nowhere/keys.json") && missing.to_string().contains("NIZHAL_JWKS"));
}

#[tokio::test]
async fn an_authority_that_is_none_stops_the_start() {
    let (_, public) = key("k");
    let keys = File::new(&set(&[&public]));
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        let file = File::new(text);
        let error = Jwks::open(keys.source(), Some(&file.0)).await.unwrap_err();
        assert!(matches!(error, JwksError::Authority { .. }), "{text}: {error}");
    }
    let error = Jwks::open(keys.source(), Some(Path::new("/nowhere/ca.pem"))).await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/ca.pem") && error.contains("NIZHAL_JWKS_CA"), "{error}");
}

#[tokio::test]
async fn inv17_a_token_of_a_key_that_could_not_be_read_is_tried_again() {
    let ((_, old_public), (new, new_public)) = (key("old"), key("new"));
    let file = File::new(&set(&[&old_public]));
    let jwks = Arc::new(Jwks::open(file.source(), None).await.unwrap());
    let token = sign(&new, "new");
    // The set was read for this token, and does not have its key.
    assert!(matches!(verify_token(&jwks, &token).await, Err(AuthError::Invalid)));
    // Tokens with made-up keys use up how often it may be read …
    while jwks.limit.check().is_ok() {}
    file.write(&set(&[&new_public]));
    // … so that nobody can say whether this one is bad.
    assert!(matches!(verify_token(&jwks, &token).await, Err(AuthError::Unavailable(_))));
    jwks.read().await.unwrap();
    verify_token(&jwks, &token).await.unwrap();
}

#[tokio::test]
async fn what_a_token_calls_critical_must_be_understood() {
    let (private, public) = key("k");
    let file = File::new(&set(&[&public]));
    let jwks = Arc::new(Jwks::open(file.source(), None).await.unwrap());
    let mut header = Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::EdDSA) };
    header.crit = Some(vec!["exp".to_owned()]);
    let claims = json!({"userId": "u1", "ownerId": "o1", "shopId": "s1", "exp": 1_800_000_060});
    let token = jsonwebtoken::encode(&header, &claims, &private).unwrap();
    assert!(matches!(verify_token(&jwks, &token).await, Err(AuthError::Invalid)));
}
