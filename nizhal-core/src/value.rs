//! Argument types that carry their own check: parsed at the door, trusted afterwards.

use crate::{Decimal, Error};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{borrow::Cow, ops::Deref, str::FromStr};

/// A text with something in it besides white space.
///
/// ```
/// # use nizhal_core::NonEmpty;
/// assert!(serde_json::from_str::<NonEmpty>(r#""Kamala""#).is_ok());
/// assert!(serde_json::from_str::<NonEmpty>(r#""  ""#).is_err());
/// assert_eq!(NonEmpty::try_from("Kamala")?.into_inner(), "Kamala");
/// # Ok::<(), nizhal_core::Error>(())
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

impl TryFrom<String> for NonEmpty {
    /// [`Error::InvalidArgs`] of a text without anything in it.
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Err(Error::InvalidArgs("the text must not be empty".to_owned()));
        }
        Ok(Self(text))
    }
}

impl TryFrom<&str> for NonEmpty {
    /// As of a `String`.
    type Error = Error;
    fn try_from(text: &str) -> Result<Self, Error> {
        text.to_owned().try_into()
    }
}

impl<'de> Deserialize<'de> for NonEmpty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
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
/// assert_eq!(Positive::try_from("250.50")?.into_inner(), "250.50".parse().unwrap());
/// assert_eq!(*Positive::try_from(250)?, 250.into());
/// # Ok::<(), nizhal_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Positive(Decimal);

impl Positive {
    /// The number.
    pub fn into_inner(self) -> Decimal {
        self.0
    }
}

impl Deref for Positive {
    type Target = Decimal;
    fn deref(&self) -> &Decimal {
        &self.0
    }
}

impl TryFrom<Decimal> for Positive {
    /// [`Error::InvalidArgs`] of zero and of what is below.
    type Error = Error;
    fn try_from(number: Decimal) -> Result<Self, Error> {
        if number <= Decimal::ZERO {
            return Err(Error::InvalidArgs(format!("the number must be greater than 0, not {number}")));
        }
        Ok(Self(number))
    }
}

impl TryFrom<i64> for Positive {
    /// As of a `Decimal`.
    type Error = Error;
    fn try_from(number: i64) -> Result<Self, Error> {
        Decimal::from(number).try_into()
    }
}

impl TryFrom<&str> for Positive {
    /// As of a `Decimal`, and of a text that is no number.
    type Error = Error;
    fn try_from(text: &str) -> Result<Self, Error> {
        let number =
            Decimal::from_str(text).map_err(|error| Error::InvalidArgs(format!("{text:?} is no number: {error}")))?;
        number.try_into()
    }
}

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Decimal::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
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
