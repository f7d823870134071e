//! Argument types that carry their own check: parsed at the door, trusted afterwards.

use crate::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{borrow::Cow, ops::Deref};

/// A text with something in it besides white space.
///
/// ```
/// # use nizhal_core::NonEmpty;
/// assert!(serde_json::from_str::<NonEmpty>(r#""Kamala""#).is_ok());
/// assert!(serde_json::from_str::<NonEmpty>(r#""  ""#).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct NonEmpty(String);

impl NonEmpty {
    /// The text.
    pub fn into_inner(self) -> String {
        self.0
    }
}

impl Deref for NonEmpty {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for NonEmpty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.trim().is_empty() {
            return Err(D::Error::custom("the text must not be empty"));
        }
        Ok(Self(text))
    }
}

impl JsonSchema for NonEmpty {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "NonEmpty".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "pattern": "\\S"})
    }
}

/// A [`Decimal`] above zero.
///
/// ```
/// # use nizhal_core::Positive;
/// assert_eq!(serde_json::from_str::<Positive>("250.50").unwrap().to_string(), "250.50");
/// assert!(serde_json::from_str::<Positive>("0").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Positive(Decimal);

impl Positive {
    /// The number.
    pub fn get(self) -> Decimal {
        self.0
    }
}

impl Deref for Positive {
    type Target = Decimal;
    fn deref(&self) -> &Decimal {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Decimal::deserialize(deserializer)?;
        if number <= Decimal::ZERO {
            return Err(D::Error::custom(format!("the number must be greater than 0, not {number}")));
        }
        Ok(Self(number))
    }
}

impl JsonSchema for Positive {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Positive".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["number", "string"], "exclusiveMinimum": 0, "pattern": "^[0-9]+(\\.[0-9]+)?$"})
    }
}
