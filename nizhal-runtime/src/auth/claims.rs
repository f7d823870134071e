//! From verified claims to a principal: what every token must say, however it is signed.

use super::AuthError;
use crate::settings::Settings;
use nizhal_core::{Actor, DateTimeUtc, Principal};
use serde_json::{Map, Value};

/// For whom tokens must be, and from whom; empty where that does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// `aud` must be or contain one of these.
    pub audience: Vec<String>,
    /// `iss` must be this.
    pub issuer: Option<String>,
}

impl Expected {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { audience: settings.jwt_audience.clone(), issuer: settings.jwt_issuer.clone() }
    }

    fn met_by(&self, claims: &Map<String, Value>) -> bool {
        let text = |value: &Value, wanted: &str| value.as_str() == Some(wanted);
        let issued =
            self.issuer.as_deref().is_none_or(|issuer| claims.get("iss").is_some_and(|value| text(value, issuer)));
        let addressed = self.audience.is_empty()
            || self.audience.iter().any(|name| match claims.get("aud") {
                Some(Value::Array(names)) => names.iter().any(|value| text(value, name)),
                Some(value) => text(value, name),
                None => false,
            });
        issued && addressed
    }
}

/// Reads the claims of a token whose signature is good.
pub(super) fn principal<A: Actor>(
    mut claims: Map<String, Value>,
    expected: &Expected,
    now: DateTimeUtc,
) -> Result<Principal, AuthError> {
    for required in ["userId", "ownerId"] {
        if claims.get(required).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(AuthError::Invalid);
        }
    }
    // Postgres cannot keep U+0000, so no row can belong to such an actor.
    if claims.values().any(|claim| claim.as_str().is_some_and(|text| text.contains('\0'))) {
        return Err(AuthError::Invalid);
    }
    if !expected.met_by(&claims) {
        return Err(AuthError::Invalid);
    }
    let expires_at = claims.get("exp").and_then(moment).ok_or(AuthError::Invalid)?;
    if expires_at <= now {
        return Err(AuthError::Expired);
    }
    if let Some(not_before) = claims.get("nbf")
        && moment(not_before).is_none_or(|not_before| now < not_before)
    {
        return Err(AuthError::Invalid);
    }
    let claims = match serde_json::from_value::<A>(Value::Object(claims.clone())) {
        Ok(claims) => claims,
        // A claims type may refuse names it does not know; the registered ones are the token's, not the app's.
        Err(_) => {
            for registered in ["exp", "iat", "nbf", "iss", "aud", "sub", "jti"] {
                claims.remove(registered);
            }
            serde_json::from_value(Value::Object(claims)).map_err(|_| AuthError::Invalid)?
        }
    };
    Ok(Principal::new::<A>(claims, Some(expires_at)))
}

/// A `NumericDate` of RFC 7519: seconds, fractions allowed.
fn moment(value: &Value) -> Option<DateTimeUtc> {
    let seconds = value.as_f64()?;
    let micros = seconds * 1e6;
    // Beyond this an f64 no longer counts microseconds, and no calendar goes there.
    if !micros.is_finite() || micros.abs() > 9e18 {
        return None;
    }
    match value.as_i64() {
        Some(seconds) => DateTimeUtc::from_timestamp(seconds, 0),
        None => DateTimeUtc::from_timestamp_micros(micros as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn audience_and_issuer() {
        let expected = Expected { audience: vec!["web".into(), "phone".into()], issuer: Some("id".into()) };
        let met = |claims: Value| expected.met_by(claims.as_object().unwrap());
        for good in [json!({"iss": "id", "aud": "web"}), json!({"iss": "id", "aud": ["x", "phone"]})] {
            assert!(met(good.clone()), "{good}");
        }
        for bad in [
            json!({}),
            json!({"iss": "id"}),
            json!({"aud": "web"}),
            json!({"iss": "id", "aud": "we"}),
            json!({"iss": "id", "aud": []}),
            json!({"iss": "id", "aud": {"web": true}}),
            json!({"iss": ["id"], "aud": "web"}),
            json!({"iss": "id/", "aud": "web"}),
        ] {
            assert!(!met(bad.clone()), "{bad}");
        }
        assert!(Expected::default().met_by(&Map::new()));
    }
}
