use super::*;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Claims {
    user_id: String,
    owner_id: String,
    shop_id: Option<String>,
}

impl Actor for Claims {
    fn user_id(&self) -> &str {
        &self.user_id
    }
    fn owner_id(&self) -> &str {
        &self.owner_id
    }
}

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn now() -> DateTimeUtc {
    DateTimeUtc::from_timestamp(1_800_000_000, 0).unwrap()
}

fn sign(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn verify(token: &str) -> Result<Principal, AuthError> {
    JwtHs256::<Claims>::new(SECRET).verify(token, now())
}

fn good() -> Value {
    json!({"userId": "u1", "ownerId": "o1", "shopId": "s1", "exp": 1_800_000_060})
}

#[test]
fn a_good_token_names_its_bearer() {
    let principal = verify(&sign(Algorithm::HS256, SECRET, &good())).unwrap();
    assert_eq!(principal.user_id(), "u1");
    assert_eq!(principal.claims::<Claims>().unwrap().shop_id.as_deref(), Some("s1"));
    assert_eq!(principal.expires_at().unwrap().timestamp(), 1_800_000_060);
}

#[test]
fn an_issued_token_verifies_until_it_expires() {
    let claims = Claims { user_id: "u1".into(), owner_id: "o1".into(), shop_id: None };
    let token = issue_token(SECRET, &claims, Duration::from_secs(60), now()).unwrap();
    let verifier = JwtHs256::<Claims>::new(SECRET);
    let at = |seconds| now() + chrono::Duration::milliseconds(seconds);
    assert!(verifier.verify(&token, at(59_999)).is_ok());
    assert!(matches!(verifier.verify(&token, at(60_000)), Err(AuthError::Expired)));
    assert!(matches!(issue_token(SECRET, &json!([1]), Duration::ZERO, now()), Err(IssueError::NotAnObject)));
}

#[test]
fn claims_that_do_not_do() {
    let without = |name: &str| {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let with = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        claims
    };
    let table = [
        without("exp"),
        without("userId"),
        without("ownerId"),
        with("exp", json!("1800000060")),
        with("exp", json!(null)),
        with("exp", json!(1e300)),
        with("userId", json!(7)),
        with("userId", json!("")),
        with("ownerId", json!(["o1"])),
        with("shopId", json!({"a": 1})),
        with("nbf", json!(1_800_000_001)),
        with("nbf", json!("soon")),
    ];
    for claims in table {
        let outcome = verify(&sign(Algorithm::HS256, SECRET, &claims));
        assert!(matches!(outcome, Err(AuthError::Invalid)), "{claims}: {outcome:?}");
    }
    for exp in [json!(1_800_000_000), json!(1_799_999_999), json!(0), json!(-5), json!(1_799_999_999.5)] {
        let outcome = verify(&sign(Algorithm::HS256, SECRET, &with("exp", exp.clone())));
        assert!(matches!(outcome, Err(AuthError::Expired)), "{exp}: {outcome:?}");
    }
}

#[test]
fn forged_tokens_name_nobody() {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let good_token = sign(Algorithm::HS256, SECRET, &good());
    let parts: Vec<&str> = good_token.split('.').collect();
    let other = encode(&json!({"userId": "u2", "ownerId": "o1", "exp": 1_800_000_060}));
    let none = encode(&json!({"alg": "none", "typ": "JWT"}));
    let table = [
        String::new(),
        "..".to_owned(),
        "not a token".to_owned(),
        "ü.ü.ü".to_owned(),
        sign(Algorithm::HS256, b"another secret, just as long as..", &good()),
        sign(Algorithm::HS384, SECRET, &good()),
        sign(Algorithm::HS512, SECRET, &good()),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.", encode(&json!({"alg": "None"})), parts[1]),
        format!("{}.{}.{}", encode(&json!({"alg": "RS256"})), parts[1], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{other}.{}", parts[0], parts[2]),
        format!("{good_token}A"),
        format!("{good_token}.{}", parts[2]),
        sign(Algorithm::HS256, SECRET, &json!(["userId"])),
    ];
    for token in table {
        let outcome = verify(&token);
        assert!(matches!(outcome, Err(AuthError::Invalid)), "{token}: {outcome:?}");
    }
}

#[test]
fn what_a_token_demands_of_its_reader_must_be_understood() {
    let signed = |header: &Value| {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(&good()));
        let key = EncodingKey::from_secret(SECRET);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    verify(&signed(&json!({"alg": "HS256", "typ": "JWT"}))).unwrap();
    for demand in [
        json!({"alg": "HS256", "crit": ["exp"]}),
        json!({"alg": "HS256", "crit": []}),
        json!({"alg": "HS256", "crit": null}),
        json!({"alg": "HS256", "b64": false, "crit": ["b64"]}),
        json!({"alg": "HS256", "b64": false}),
        json!({"alg": "HS256", "b64": true}),
    ] {
        assert!(matches!(verify(&signed(&demand)), Err(AuthError::Invalid)), "{demand}");
    }
}
