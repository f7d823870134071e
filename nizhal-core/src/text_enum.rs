//! What `#[nizhal::text_enum]` writes: an enum whose variants are texts, in the database, on the wire and in rules.

use std::fmt;

/// An enum annotated with `#[nizhal::text_enum]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an enum of texts",
    label = "not annotated",
    note = "annotate the enum with #[nizhal::text_enum]"
)]
pub trait TextEnum: Copy + 'static {
    /// Every text, in the order of the variants.
    const TEXTS: &'static [&'static str];
    /// This variant's text.
    fn text(self) -> &'static str;
    /// The variant of this text.
    ///
    /// # Errors
    /// [`UnknownText`] when no variant has it.
    fn of(text: &str) -> Result<Self, UnknownText>;
}

/// A text that no variant of an enum has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {name}: it is one of {}", Listed(.texts))]
pub struct UnknownText {
    text: String,
    name: &'static str,
    texts: &'static [&'static str],
}

impl UnknownText {
    /// This text, where one of the enum of this name was meant.
    pub fn new<E: TextEnum>(text: &str, name: &'static str) -> Self {
        Self { text: text.to_owned(), name, texts: E::TEXTS }
    }
}

struct Listed<'a>(&'a [&'static str]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, text) in self.0.iter().enumerate() {
            write!(f, "{}{text:?}", if at > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// Implements an enum of texts: conversions, serde, JSON Schema, the column, sea-orm's traits.
#[doc(hidden)]
#[macro_export]
macro_rules! __text_enum {
    ($Enum:ident { $($Variant:ident $text:literal),* }) => {
        const _: () = {
            // The user's types are named in here: nothing but this one odd name may shadow theirs.
            use $crate::__private as __p;

            impl $crate::TextEnum for $Enum {
                const TEXTS: &'static [&'static str] = &[$($text),*];
                fn text(self) -> &'static str {
                    match self { $(Self::$Variant => $text),* }
                }
                fn of(text: &str) -> __p::Result<Self, $crate::UnknownText> {
                    match text {
                        $($text => __p::Result::Ok(Self::$Variant),)*
                        _ => __p::Result::Err($crate::UnknownText::new::<Self>(text, ::std::stringify!($Enum))),
                    }
                }
            }
            impl ::std::fmt::Display for $Enum {
                fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                    f.pad($crate::TextEnum::text(*self))
                }
            }
            impl ::std::str::FromStr for $Enum {
                type Err = $crate::UnknownText;
                fn from_str(text: &str) -> __p::Result<Self, Self::Err> {
                    <Self as $crate::TextEnum>::of(text)
                }
            }
            impl __p::serde::Serialize for $Enum {
                fn serialize<__S: __p::serde::Serializer>(&self, serializer: __S) -> __p::Result<__S::Ok, __S::Error> {
                    serializer.serialize_str($crate::TextEnum::text(*self))
                }
            }
            impl<'de> __p::serde::Deserialize<'de> for $Enum {
                fn deserialize<__D: __p::serde::Deserializer<'de>>(deserializer: __D) -> __p::Result<Self, __D::Error> {
                    let text = <__p::String as __p::serde::Deserialize>::deserialize(deserializer)?;
                    <Self as $crate::TextEnum>::of(&text).map_err(__p::serde::de::Error::custom)
                }
            }
            impl __p::schemars::JsonSchema for $Enum {
                fn schema_name() -> ::std::borrow::Cow<'static, str> {
                    ::std::stringify!($Enum).into()
                }
                fn json_schema(_: &mut __p::schemars::SchemaGenerator) -> __p::schemars::Schema {
                    $crate::text_enum::schema::<Self>()
                }
            }
            impl $crate::ColumnType for $Enum {
                const SQL: $crate::SqlType = $crate::SqlType::Text;
                const TEXTS: &'static [&'static str] = <Self as $crate::TextEnum>::TEXTS;
            }
            impl $crate::ConstColumn for $Enum {
                type Literal = &'static str;
                type Named = Self;
            }
            impl ::std::convert::From<$Enum> for $crate::ConstValue {
                fn from(value: $Enum) -> Self {
                    Self::Text($crate::TextEnum::text(value))
                }
            }
            $crate::__stored!(
                $Enum as __p::String,
                |value| __p::String::from($crate::TextEnum::text(value)),
                |text| <$Enum as $crate::TextEnum>::of(&text).map_err(|unknown| __p::ToString::to_string(&unknown))
            );
        };
    };
}

/// The JSON Schema of an enum of texts.
pub fn schema<E: TextEnum>() -> schemars::Schema {
    schemars::json_schema!({"type": "string", "enum": E::TEXTS})
}

#[cfg(test)]
mod tests {
    use crate::{ColumnType, TextEnum};
    use sea_orm::Value;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Status {
        Open,
        InProgress,
    }
    crate::__text_enum!(Status { Open "open", InProgress "in_progress" });

    #[test]
    fn variants_are_their_texts_everywhere() {
        assert_eq!(<Status as ColumnType>::TEXTS, ["open", "in_progress"]);
        assert_eq!(serde_json::to_string(&Status::InProgress).unwrap(), r#""in_progress""#);
        assert_eq!(serde_json::from_str::<Status>(r#""open""#).unwrap(), Status::Open);
        assert_eq!(Value::from(Status::Open), Value::from("open"));
        assert_eq!(format!("{:>6}", Status::Open), "  open");
        let schema = schemars::schema_for!(Status).to_value();
        assert_eq!(schema["enum"], serde_json::json!(["open", "in_progress"]));
    }

    #[test]
    fn an_unknown_text_is_named_with_those_that_are_known() {
        let wanted = r#""Open" is no Status: it is one of "open", "in_progress""#;
        assert_eq!(Status::of("Open").unwrap_err().to_string(), wanted);
        let error = serde_json::from_str::<Status>(r#""Open""#).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{error}");
        assert!(crate::entity::unwrap::<Status>("Open".into()).is_err());
    }
}
