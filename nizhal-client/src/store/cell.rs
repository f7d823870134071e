//! A row's JSON as the values that SQLite keeps: the other direction of the server's row encoding.

use super::StoreError;
use crate::schema::{LocalColumn, LocalTable};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, NaiveDate, NaiveTime};
use nizhal_core::{SqlType, Uuid};
use sea_orm::Value;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The rows of one table: the columns that they carry, and their values row by row.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Indexes into the table's columns.
    pub(super) columns: Vec<usize>,
    pub(super) values: Vec<Value>,
}

/// Reads an array of rows. All rows of one array carry the same columns; what the table does not know is passed over.
///
/// # Errors
/// When it is not what the protocol says.
pub(super) fn rows(table: &LocalTable, json: &RawValue) -> Result<Vec<Rows>, StoreError> {
    let mut reader = serde_json::Deserializer::from_str(json.get());
    let rows = reader.deserialize_seq(RowsVisitor { table });
    rows.map_err(|error| StoreError::Malformed(format!("a row of `{}`: {error}", table.desc.name)))
}

struct RowsVisitor<'a> {
    table: &'a LocalTable,
}

impl<'de> Visitor<'de> for RowsVisitor<'_> {
    type Value = Vec<Rows>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Vec<Rows>, A::Error> {
        // One group as long as the rows look alike, which those of one server do.
        let mut groups: Vec<Rows> = Vec::new();
        let mut row = Row { table: self.table, columns: Vec::new(), values: Vec::new() };
        while rows.next_element_seed(&mut row)?.is_some() {
            match groups.last_mut() {
                Some(group) if group.columns == row.columns => group.values.append(&mut row.values),
                _ => groups.push(Rows { columns: row.columns.clone(), values: std::mem::take(&mut row.values) }),
            }
        }
        Ok(groups)
    }
}

struct Row<'a> {
    table: &'a LocalTable,
    columns: Vec<usize>,
    values: Vec<Value>,
}

impl<'de> DeserializeSeed<'de> for &mut Row<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Row<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.columns.clear();
        self.values.clear();
        let mut guess = 0;
        while let Some(at) = members.next_key_seed(Name { columns: &self.table.columns, guess })? {
            let Some(at) = at.filter(|&at| !self.table.columns[at].generated) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            self.values.push(members.next_value_seed(Cell(&self.table.columns[at]))?);
            self.columns.push(at);
            guess = at + 1;
        }
        if self.table.key.iter().any(|key| !self.columns.contains(key)) {
            return Err(A::Error::custom("a row without its key"));
        }
        Ok(())
    }
}

/// Finds a column by its name; most often it is the one after the last.
struct Name<'a> {
    columns: &'a [LocalColumn],
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        if self.columns.get(self.guess).is_some_and(|column| column.name == name) {
            return Ok(Some(self.guess));
        }
        Ok(self.columns.iter().position(|column| column.name == name))
    }
}

struct Cell<'a>(&'a LocalColumn);

impl<'de> DeserializeSeed<'de> for Cell<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        if !matches!(self.0.sql, SqlType::Json | SqlType::Array(_)) {
            return reader.deserialize_any(self);
        }
        let json: &RawValue = serde::Deserialize::deserialize(reader)?;
        let absent = json.get() == "null" && self.0.nullable;
        Ok(Value::String((!absent).then(|| json.get().to_owned())))
    }
}

impl Visitor<'_> for Cell<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value for the column `{}`", self.0.name)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::String(None))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(Some(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(match self.0.sql {
            #[expect(clippy::cast_precision_loss, reason = "a float that has no fraction is written without one")]
            SqlType::Float4 | SqlType::Float8 => Value::Double(Some(value as f64)),
            _ => Value::BigInt(Some(value)),
        })
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        match (self.0.sql, i64::try_from(value)) {
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            (SqlType::Float4 | SqlType::Float8, _) => Ok(Value::Double(Some(value as f64))),
            (_, Ok(value)) => Ok(Value::BigInt(Some(value))),
            (_, Err(_)) => Err(E::custom(format!("{value} does not fit `{}`", self.0.name))),
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Double(Some(value)))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        of_text(self.0.sql, text).map_err(|reason| E::custom(format!("{reason} in `{}`", self.0.name)))
    }
}

/// A value from its text: as rows carry it, or as keys and buckets are named by it.
pub(super) fn of_text(sql: SqlType, text: &str) -> Result<Value, String> {
    let wrong = |what: &str| format!("{text:?} is no {what}");
    let kept = || Value::String(Some(text.to_owned()));
    Ok(match sql {
        SqlType::Bool => Value::Bool(Some(matches!(text, "true" | "1"))),
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => {
            Value::BigInt(Some(text.parse().map_err(|_| wrong("whole number"))?))
        }
        SqlType::Float4 | SqlType::Float8 => Value::Double(Some(text.parse().map_err(|_| wrong("number"))?)),
        SqlType::Uuid => Value::Uuid(Some(Uuid::parse_str(text).map_err(|_| wrong("UUID"))?)),
        SqlType::Bytes => Value::Bytes(Some(STANDARD.decode(text).map_err(|_| wrong("base64"))?)),
        // In the driver's own spelling, so that they compare with those that mutators wrote here. What cannot be read (an outside
        // writer's doing) the server passes on as it is, and so do we.
        SqlType::Timestamptz => DateTime::parse_from_rfc3339(text)
            .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"))
            .map_or_else(|_| kept(), |time| Value::ChronoDateTimeUtc(Some(time.to_utc()))),
        SqlType::Date => text.parse::<NaiveDate>().map_or_else(|_| kept(), |date| Value::ChronoDate(Some(date))),
        SqlType::Time => text.parse::<NaiveTime>().map_or_else(|_| kept(), |time| Value::ChronoTime(Some(time))),
        SqlType::Text | SqlType::Numeric | SqlType::Json | SqlType::Array(_) => kept(),
    })
}
