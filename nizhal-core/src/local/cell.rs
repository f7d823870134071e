//! A row's JSON as the values that SQLite keeps: the other direction of the server's row encoding.

use super::{LocalColumn, LocalTable};
use crate::{Decimal, SqlType, Uuid, key};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{NaiveDate, NaiveTime};
use sea_orm::Value;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The rows of one table: the columns that they carry, and their values row by row.
#[derive(Debug, Default)]
pub struct Rows {
    /// Indexes into the table's columns.
    pub columns: Vec<usize>,
    pub values: Vec<Value>,
}

/// A row of which the app's types could not read a cell. It is left out, and the rest is laid.
#[derive(Debug)]
pub struct UnreadableRow {
    /// The values of its key; `None` where it is the key that cannot be read.
    pub key: Option<Vec<Value>>,
    pub column: &'static str,
    pub reason: String,
}

/// What an array of rows holds.
#[derive(Debug, Default)]
pub struct ReadRows {
    /// One group as long as the rows look alike, which those of one server do.
    pub groups: Vec<Rows>,
    pub unreadable: Vec<UnreadableRow>,
}

/// A row is not what the protocol says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MalformedRow(String);

/// Reads an array of rows. What the table does not know is passed over.
///
/// # Errors
/// When it is not what the protocol says.
pub fn rows(table: &LocalTable, json: &RawValue) -> Result<ReadRows, MalformedRow> {
    let mut reader = serde_json::Deserializer::from_str(json.get());
    let rows = reader.deserialize_seq(RowsVisitor { table });
    rows.map_err(|error| MalformedRow(format!("a row of `{}`: {error}", table.desc.name)))
}

struct RowsVisitor<'a> {
    table: &'a LocalTable,
}

impl<'de> Visitor<'de> for RowsVisitor<'_> {
    type Value = ReadRows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<ReadRows, A::Error> {
        let mut read = ReadRows::default();
        let mut row = Row { table: self.table, columns: Vec::new(), values: Vec::new() };
        while let Some(unreadable) = rows.next_element_seed(&mut row)? {
            if let Some((column, reason)) = unreadable {
                read.unreadable.push(row.unreadable(column, reason));
                continue;
            }
            match read.groups.last_mut() {
                Some(group) if group.columns == row.columns => group.values.append(&mut row.values),
                _ => {
                    let (columns, values) = (row.columns.clone(), std::mem::take(&mut row.values));
                    read.groups.push(Rows { columns, values });
                }
            }
        }
        Ok(read)
    }
}

/// A cell that cannot be read: its column, and the reason.
type UnreadableCell = (usize, String);

struct Row<'a> {
    table: &'a LocalTable,
    columns: Vec<usize>,
    values: Vec<Value>,
}

impl Row<'_> {
    fn unreadable(&self, column: usize, reason: String) -> UnreadableRow {
        let value = |key: &usize| self.columns.iter().position(|at| at == key).map(|at| self.values[at].clone());
        let key = self.table.key.iter().map(value).collect::<Option<Vec<_>>>();
        let key = key.filter(|_| !self.table.key.contains(&column));
        UnreadableRow { key, column: self.table.columns[column].name, reason }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Row<'_> {
    type Value = Option<UnreadableCell>;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Option<UnreadableCell>, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Row<'_> {
    type Value = Option<UnreadableCell>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Option<UnreadableCell>, A::Error> {
        self.columns.clear();
        self.values.clear();
        let (mut expected, mut unreadable) = (0, None);
        while let Some(index) = members.next_key_seed(Name { columns: &self.table.columns, expected })? {
            let Some(index) = index.filter(|&index| !self.table.columns[index].generated) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            match members.next_value_seed(Cell(&self.table.columns[index]))? {
                Ok(value) => self.values.push(value),
                Err(reason) => {
                    unreadable = unreadable.or(Some((index, reason)));
                    self.values.push(Value::String(None));
                }
            }
            self.columns.push(index);
            expected = index + 1;
        }
        if self.table.key.iter().any(|key| !self.columns.contains(key)) {
            return Err(A::Error::custom("a row without its key"));
        }
        Ok(unreadable)
    }
}

/// Finds a column by its name; most often it is the one after the last.
struct Name<'a> {
    columns: &'a [LocalColumn],
    expected: usize,
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
        if self.columns.get(self.expected).is_some_and(|column| column.name == name) {
            return Ok(Some(self.expected));
        }
        Ok(self.columns.iter().position(|column| column.name == name))
    }
}

struct Cell<'a>(&'a LocalColumn);

/// A value, or why it is none that the column's type can hold.
type Read = Result<Value, String>;

impl<'de> DeserializeSeed<'de> for Cell<'_> {
    type Value = Read;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Read, D::Error> {
        if !matches!(self.0.sql, SqlType::Json | SqlType::Array(_)) {
            return reader.deserialize_any(self);
        }
        let json: &RawValue = serde::Deserialize::deserialize(reader)?;
        let absent = json.get() == "null" && self.0.nullable;
        // What the app's own reading would stumble over would hide the whole table from it: a number beyond its floats, lists in
        // lists without end, what is none of the type within.
        if let Some(Err(reason)) = (!absent).then(|| self.0.check.unwrap_or(any_json)(json.get())) {
            return Ok(Err(reason));
        }
        Ok(Ok(Value::String((!absent).then(|| json.get().to_owned()))))
    }
}

fn any_json(text: &str) -> Result<(), String> {
    serde_json::from_str::<serde_json::Value>(text).map(drop).map_err(|error| error.to_string())
}

impl Cell<'_> {
    fn integer(&self, value: i64) -> Read {
        let fits = match self.0.sql {
            SqlType::Int2 => i16::try_from(value).is_ok(),
            SqlType::Int4 => i32::try_from(value).is_ok(),
            SqlType::Bool => matches!(value, 0 | 1),
            _ => true,
        };
        match self.0.sql {
            _ if !fits => Err(format!("{value} does not fit")),
            #[expect(clippy::cast_precision_loss, reason = "a float that has no fraction is written without one")]
            SqlType::Float4 | SqlType::Float8 => Ok(Value::Double(Some(value as f64))),
            SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Bool => Ok(Value::BigInt(Some(value))),
            sql => of_text(sql, &value.to_string()),
        }
    }
}

impl<'de> Visitor<'de> for Cell<'_> {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value for the column `{}`", self.0.name)
    }

    fn visit_unit<E>(self) -> Result<Read, E> {
        let absent = || "it is NULL, and the app declares that it never is".to_owned();
        Ok(if self.0.nullable { Ok(Value::String(None)) } else { Err(absent()) })
    }

    fn visit_bool<E>(self, value: bool) -> Result<Read, E> {
        Ok(match self.0.sql {
            SqlType::Bool => Ok(Value::Bool(Some(value))),
            sql => of_text(sql, &value.to_string()),
        })
    }

    fn visit_i64<E>(self, value: i64) -> Result<Read, E> {
        Ok(self.integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Read, E> {
        Ok(match (self.0.sql, i64::try_from(value)) {
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            (SqlType::Float4 | SqlType::Float8, _) => Ok(Value::Double(Some(value as f64))),
            (_, Ok(value)) => self.integer(value),
            (_, Err(_)) => Err(format!("{value} does not fit")),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Read, E> {
        Ok(match self.0.sql {
            SqlType::Float4 | SqlType::Float8 => Ok(Value::Double(Some(value))),
            sql => of_text(sql, &value.to_string()),
        })
    }

    fn visit_str<E>(self, text: &str) -> Result<Read, E> {
        if !self.0.texts.is_empty() && !self.0.texts.contains(&text) {
            return Ok(Err(format!("{text:?} is none of the texts that the app knows")));
        }
        let read = of_text(self.0.sql, text);
        Ok(match (self.0.sql, &read) {
            (SqlType::Int2 | SqlType::Int4, Ok(Value::BigInt(Some(value)))) => self.integer(*value),
            _ => read,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Read, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err("it is a list".to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Read, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Err("it is an object".to_owned()))
    }
}

/// A value from its text: as rows carry it, or as keys and buckets are named by it.
///
/// In the driver's own spelling, so that it compares with those that mutators wrote here.
pub fn of_text(sql: SqlType, text: &str) -> Read {
    let wrong = |what: &str| format!("{text:?} is no {what}");
    let kept = || Value::String(Some(text.to_owned()));
    Ok(match sql {
        SqlType::Bool => match text {
            "true" | "t" | "1" => Value::Bool(Some(true)),
            "false" | "f" | "0" => Value::Bool(Some(false)),
            _ => return Err(wrong("boolean")),
        },
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => {
            Value::BigInt(Some(text.parse().map_err(|_| wrong("whole number"))?))
        }
        SqlType::Float4 | SqlType::Float8 => Value::Double(Some(text.parse().map_err(|_| wrong("number"))?)),
        SqlType::Uuid => Value::Uuid(Some(Uuid::parse_str(text).map_err(|_| wrong("UUID"))?)),
        SqlType::Bytes => Value::Bytes(Some(STANDARD.decode(text).map_err(|_| wrong("base64"))?)),
        SqlType::Timestamptz => {
            Value::ChronoDateTimeUtc(Some(key::parse_timestamp(text).ok_or_else(|| wrong("moment"))?))
        }
        SqlType::Date => Value::ChronoDate(Some(text.parse::<NaiveDate>().map_err(|_| wrong("date"))?)),
        SqlType::Time => Value::ChronoTime(Some(text.parse::<NaiveTime>().map_err(|_| wrong("time of day"))?)),
        SqlType::Numeric => {
            text.parse::<Decimal>().map_err(|_| wrong("decimal number"))?;
            kept()
        }
        SqlType::Text | SqlType::Json | SqlType::Array(_) => kept(),
    })
}

/// The text by which the server names a row of this key; see [`nizhal_core::key`].
pub fn key_text(values: &[Value]) -> String {
    let part = |value: &Value| match value {
        Value::String(Some(text)) => text.clone(),
        Value::Bool(Some(flag)) => flag.to_string(),
        Value::BigInt(Some(number)) => number.to_string(),
        Value::Uuid(Some(id)) => id.hyphenated().to_string(),
        Value::ChronoDateTimeUtc(Some(time)) => key::timestamp(*time),
        Value::ChronoDate(Some(date)) => key::date(*date),
        Value::ChronoTime(Some(time)) => key::time(*time),
        other => format!("{other:?}"),
    };
    key::join(&values.iter().map(part).collect::<Vec<_>>())
}
