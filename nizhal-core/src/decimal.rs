//! Exact decimal numbers that keep every digit in both databases and on the wire.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr};
use sea_orm::{ActiveValue, ColIdx, DbErr, IntoActiveValue, QueryResult, TryFromU64, TryGetError, TryGetable, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, iter::Sum, ops, str::FromStr};

/// An exact decimal of up to 28 digits: `numeric` in Postgres, text in SQLite.
///
/// JSON numbers and strings are both read, digit by digit and never through a float; a number with more digits than
/// fit is refused, not rounded. Trailing zeros are kept.
///
/// ```
/// # use nizhal_core::Decimal;
/// let price: Decimal = serde_json::from_str("1234567890123456.10").unwrap();
/// assert_eq!(price.to_string(), "1234567890123456.10");
/// assert_eq!((price + Decimal::from(1)).to_string(), "1234567890123457.10");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(rust_decimal::Decimal);

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self(rust_decimal::Decimal::ZERO);

    /// The number as `rust_decimal` has it.
    pub const fn inner(self) -> rust_decimal::Decimal {
        self.0
    }
}

impl From<rust_decimal::Decimal> for Decimal {
    fn from(number: rust_decimal::Decimal) -> Self {
        Self(number)
    }
}

macro_rules! whole {
    ($($whole:ty),*) => {$(
        impl From<$whole> for Decimal {
            fn from(number: $whole) -> Self {
                Self(number.into())
            }
        }
    )*};
}
whole!(i16, i32, i64, u16, u32, u64);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Decimal {
    type Err = rust_decimal::Error;

    /// Reads plain or scientific notation.
    ///
    /// # Errors
    /// When the text is no number, or has more digits than 28.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(['e', 'E']) {
            return rust_decimal::Decimal::from_scientific(text).map(Self);
        }
        rust_decimal::Decimal::from_str_exact(text).map(Self)
    }
}

impl ops::Neg for Decimal {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

macro_rules! operators {
    ($($op:ident $fun:ident $Assign:ident $assign:ident $checked:ident),*) => {
        impl Decimal {$(
            #[doc = concat!("`", stringify!($fun), "`, or `None` where the operator would panic: the result has no place in 28 digits.")]
            ///
            /// For numbers that a device sends, so that an absurd one is a refusal and no fault:
            ///
            /// ```
            /// # use nizhal_core::Decimal;
            /// let most: Decimal = "9999999999999999999999999999".parse().unwrap();
            /// assert_eq!(most.checked_mul(most), None);
            /// ```
            #[must_use]
            pub fn $checked(self, other: Self) -> Option<Self> {
                self.0.$checked(other.0).map(Self)
            }
        )*}
        $(
        impl ops::$Assign for Decimal {
            fn $assign(&mut self, other: Self) {
                *self = ops::$op::$fun(*self, other);
            }
        }
        impl ops::$op for Decimal {
            type Output = Self;
            fn $fun(self, other: Self) -> Self {
                Self(ops::$op::$fun(self.0, other.0))
            }
        }
        )*
    };
}
operators!(
    Add add AddAssign add_assign checked_add,
    Sub sub SubAssign sub_assign checked_sub,
    Mul mul MulAssign mul_assign checked_mul,
    Div div DivAssign div_assign checked_div
);

impl Sum for Decimal {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::ZERO, |sum, number| sum + number)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The raw text, because serde_json would hand a number over as f64 and lose digits.
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text: Cow<'_, str> = match raw.get().as_bytes().first() {
            Some(b'"') => Cow::Owned(serde_json::from_str(raw.get()).map_err(de::Error::custom)?),
            _ => Cow::Borrowed(raw.get()),
        };
        text.parse().map_err(|_| {
            de::Error::custom(format!("expected a decimal number of at most 28 digits, not {}", raw.get()))
        })
    }
}

impl JsonSchema for Decimal {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["number", "string"], "format": "decimal", "pattern": "^-?[0-9]+(\\.[0-9]+)?$"})
    }
}

impl From<Decimal> for Value {
    fn from(number: Decimal) -> Self {
        Value::Decimal(Some(number.0))
    }
}

impl Nullable for Decimal {
    fn null() -> Value {
        Value::Decimal(None)
    }
}

impl ValueType for Decimal {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        <rust_decimal::Decimal as ValueType>::try_from(value).map(Self)
    }
    fn type_name() -> String {
        "Decimal".to_owned()
    }
    fn array_type() -> ArrayType {
        ArrayType::Decimal
    }
    fn column_type() -> ColumnType {
        ColumnType::Decimal(None)
    }
}

impl IntoActiveValue<Decimal> for Decimal {
    fn into_active_value(self) -> ActiveValue<Decimal> {
        ActiveValue::Set(self)
    }
}

impl TryFromU64 for Decimal {
    fn try_from_u64(number: u64) -> Result<Self, DbErr> {
        Ok(Self(number.into()))
    }
}

impl TryGetable for Decimal {
    /// From `numeric` in Postgres, from text in SQLite, where sea-orm's own decimal would pass through a float.
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        match String::try_get_by(row, index) {
            Ok(text) => text
                .parse()
                .map_err(|_| TryGetError::DbErr(DbErr::Type(format!("{text:?} is not a decimal of 28 digits")))),
            Err(TryGetError::Null(column)) => Err(TryGetError::Null(column)),
            Err(_) => rust_decimal::Decimal::try_get_by(row, index).map(Self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_digit_is_lost() {
        for text in
            ["0.1", "-12.30", "9007199254740993", "1234567890123456789012345678", "0.0000000000000000000000000001"]
        {
            assert_eq!(serde_json::from_str::<Decimal>(text).unwrap().to_string(), text);
            assert_eq!(serde_json::from_str::<Decimal>(&format!("{text:?}")).unwrap().to_string(), text);
        }
        assert_eq!(serde_json::from_str::<Decimal>("1e3").unwrap(), Decimal::from(1000));
    }

    #[test]
    fn too_many_digits_are_refused_not_rounded() {
        for text in
            ["12345678901234567890123456789012", "0.00000000000000000000000000001", "true", "\"x\"", "null", "[1]"]
        {
            assert!(serde_json::from_str::<Decimal>(text).is_err(), "{text}");
        }
    }
}
