//! Tokens good and bad.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// The secret that the harness gives to every server it starts.
pub const SECRET: &str = "the harness's secret, 32 bytes or more, never used elsewhere";

/// The claims of a user, with a shop or without, good for an hour.
pub fn claims(user: &str, shop: Option<&str>) -> Value {
    let mut claims = json!({"userId": user, "ownerId": "o1", "exp": expiry(3600)});
    if let Some(shop) = shop {
        claims["shopId"] = json!(shop);
    }
    claims
}

/// The time `seconds` from now, as `exp` has it.
pub fn expiry(seconds: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(now.as_secs()).expect("seconds fit") + seconds
}

/// The password of the admin of servers under test.
pub const ADMIN: &str = "the admin's password";

/// A good token for these claims.
pub fn signed(claims: &Value) -> String {
    signed_by(claims, Algorithm::HS256, SECRET)
}

/// A token signed otherwise.
///
/// # Panics
/// When `algorithm` is not one with a shared secret.
pub fn signed_by(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).expect("claims are JSON")
}

/// A token that says it needs no signature.
pub fn unsigned(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(claims))
}

/// A good token whose claims were changed after signing.
pub fn altered(claims: &Value, field: &str, value: &str) -> String {
    let mut forged = claims.clone();
    forged[field] = json!(value);
    let token = signed(claims);
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(forged.to_string()), parts[2])
}
