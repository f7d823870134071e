//! The app's claims type without its name: what verifies its tokens and what fits it.

use crate::auth::{Authenticator, Expected, Jwks, JwtHs256, JwtJwks};
use nizhal_core::Actor;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The operations of an app's claims type, once the type itself is erased.
#[derive(Clone, Copy)]
pub(super) struct ClaimsType {
    /// The built-in verifier with this secret.
    pub(super) verifier: fn(&[u8], Expected) -> Arc<dyn Authenticator>,
    /// The built-in verifier with these public keys.
    pub(super) by_keys: fn(Arc<Jwks>, Expected) -> Arc<dyn Authenticator>,
    fits: fn(Value) -> Result<(), serde_json::Error>,
}

impl ClaimsType {
    pub(super) fn of<A: Actor>() -> Self {
        Self {
            verifier: |secret, expected| Arc::new(JwtHs256::<A>::new(secret).expecting(expected)),
            by_keys: |keys, expected| Arc::new(JwtJwks::<A>::new(keys, expected)),
            fits: |claims| serde_json::from_value::<A>(claims).map(drop),
        }
    }

    /// Reads `name=value` words: values are texts, or JSON where the type does not take a text.
    pub(super) fn read(self, words: &[String]) -> Result<Value, String> {
        if words.is_empty() {
            return Err("none are given: write name=value, such as userId=u1 ownerId=o1".to_owned());
        }
        let mut texts = Map::new();
        let mut typed = Map::new();
        for word in words {
            let Some((name, text)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(format!("`{word}` is no claim: write name=value, such as userId=u1"));
            };
            texts.insert(name.to_owned(), text.into());
            typed.insert(name.to_owned(), serde_json::from_str(text).unwrap_or_else(|_| text.into()));
        }
        let texts = Value::Object(texts);
        match (self.fits)(texts.clone()) {
            Ok(()) => Ok(texts),
            Err(error) => {
                let typed = Value::Object(typed);
                (self.fits)(typed.clone()).map(|()| typed).map_err(|_| error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Claims {
        user_id: String,
        owner_id: String,
        level: Option<i64>,
    }

    impl Actor for Claims {
        fn user_id(&self) -> &str {
            &self.user_id
        }
        fn owner_id(&self) -> &str {
            &self.owner_id
        }
    }

    fn read(words: &[&str]) -> Result<Value, String> {
        ClaimsType::of::<Claims>().read(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn texts_stay_texts_unless_the_type_wants_otherwise() {
        assert_eq!(read(&["userId=7", "ownerId=a=b"]).unwrap(), json!({"userId": "7", "ownerId": "a=b"}));
        assert_eq!(
            read(&["userId=u1", "ownerId=o1", "level=3"]).unwrap(),
            json!({"userId": "u1", "ownerId": "o1", "level": 3})
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(read(&["userId=u1"]).unwrap_err(), "missing field `ownerId`");
        assert!(read(&["userId"]).unwrap_err().contains("`userId` is no claim"));
        assert!(read(&[]).unwrap_err().contains("userId=u1"));
        assert!(read(&["=u1"]).unwrap_err().contains("name=value"));
    }
}
