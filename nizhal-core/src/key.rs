//! The one text of a key: what rows, tombstones, buckets and devices name a row by, whichever database holds it.
//!
//! A part of a key is spelled in its tombstone as it is in its row: a text as it stands, a number in decimal digits, a boolean as
//! `true` or `false`, a UUID in lower case with hyphens, a moment in UTC with six digits of fraction and `Z`, a date as
//! `YYYY-MM-DD`, a time as `HH:MM:SS` with six digits of fraction where there is one. A year beyond 9999, or before 0, has a sign
//! and six digits, as ECMAScript reads it. A composite key is the JSON array of its parts' texts.
//!
//! ```
//! use nizhal_core::{SqlType, key};
//! assert_eq!(key::canonical(SqlType::Time, "01:02:03.5").as_deref(), Some("01:02:03.500000"));
//! assert_eq!(key::part(SqlType::Int4, &serde_json::json!(7)).as_deref(), Some("7"));
//! assert_eq!(key::join(&["ann".to_owned(), "7".to_owned()]), r#"["ann","7"]"#);
//! ```

use crate::{Date, DateTimeUtc, SqlType, TableDesc, Time, Uuid};
use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};
use serde_json::{Map, Value};

/// Whether every value of this type has one text, so that it can be part of a key.
pub const fn has_text(sql: SqlType) -> bool {
    match sql {
        SqlType::Bool
        | SqlType::Int2
        | SqlType::Int4
        | SqlType::Int8
        | SqlType::Numeric
        | SqlType::Text
        | SqlType::Uuid
        | SqlType::Timestamptz
        | SqlType::Date
        | SqlType::Time => true,
        SqlType::Float4 | SqlType::Float8 | SqlType::Json | SqlType::Bytes | SqlType::Array(_) => false,
    }
}

/// The text of one part of a key, from its value in a row's JSON.
pub fn part(sql: SqlType, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => canonical(sql, text),
        Value::Number(number) => canonical(sql, &number.to_string()),
        Value::Bool(flag) => (sql == SqlType::Bool).then(|| flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The text of a row's key, from the row's JSON; `None` where a part is absent or is none of its type.
pub fn of_row(table: &TableDesc, row: &Map<String, Value>) -> Option<String> {
    let parts = table.key_columns().map(|column| part(column.sql, row.get(column.name)?));
    parts.collect::<Option<Vec<_>>>().map(|parts| join(&parts))
}

/// The text of a key of these parts.
pub fn join(parts: &[String]) -> String {
    match parts {
        [only] => only.clone(),
        several => Value::from(several).to_string(),
    }
}

/// The parts of a key of this table; `None` where there is another number of them.
pub fn split(table: &TableDesc, id: &str) -> Option<Vec<String>> {
    match table.key.len() {
        1 => Some(vec![id.to_owned()]),
        count => serde_json::from_str(id).ok().filter(|parts: &Vec<String>| parts.len() == count),
    }
}

/// The one text of a value that is spelled in any way that a database or a program spells it; `None` when it is no such value.
pub fn canonical(sql: SqlType, text: &str) -> Option<String> {
    match sql {
        SqlType::Text => Some(text.to_owned()),
        SqlType::Bool => match text {
            "true" | "t" | "1" => Some("true".to_owned()),
            "false" | "f" | "0" => Some("false".to_owned()),
            _ => None,
        },
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => text.parse::<i64>().ok().map(|number| number.to_string()),
        // Every digit is kept, trailing zeros too, as both databases keep them.
        SqlType::Numeric => is_number(text).then(|| text.to_owned()),
        SqlType::Uuid => text.parse::<Uuid>().ok().map(|id| id.hyphenated().to_string()),
        SqlType::Timestamptz => parse_timestamp(text).map(timestamp),
        SqlType::Date => text.parse().ok().map(date),
        SqlType::Time => text.parse().ok().map(time),
        SqlType::Float4 | SqlType::Float8 | SqlType::Json | SqlType::Bytes | SqlType::Array(_) => None,
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A moment as rows spell it.
pub fn timestamp(time: DateTimeUtc) -> String {
    let (day, clock) = (date(time.date_naive()), time.time());
    format!("{day}T{}.{:06}Z", hour(clock), micros(clock))
}

/// A moment from any spelling of it: RFC 3339, also with a year of more digits, or what SQLite's `datetime()` writes.
pub fn parse_timestamp(text: &str) -> Option<DateTimeUtc> {
    let plain = |format| NaiveDateTime::parse_from_str(text, format).ok().map(|time| time.and_utc());
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").map(|time| time.to_utc()))
        .or_else(|_| text.parse::<DateTimeUtc>())
        .ok()
        .or_else(|| plain("%Y-%m-%d %H:%M:%S%.f"))
        .or_else(|| plain("%Y-%m-%dT%H:%M:%S%.f"))
}

/// A date as rows spell it.
pub fn date(date: Date) -> String {
    let (month, day) = (date.month(), date.day());
    match date.year() {
        year @ 0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        year => format!("{year:+07}-{month:02}-{day:02}"),
    }
}

/// A time of day as rows spell it.
pub fn time(time: Time) -> String {
    match micros(time) {
        0 => hour(time),
        micros => format!("{}.{micros:06}", hour(time)),
    }
}

fn hour(time: Time) -> String {
    format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}

fn micros(time: Time) -> u32 {
    time.nanosecond() % 1_000_000_000 / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv40_a_value_has_one_text_however_it_is_spelled() {
        for (sql, spelled, text) in [
            (SqlType::Bool, &["true", "1", "t"][..], "true"),
            (SqlType::Int8, &["-7", "-07"], "-7"),
            (SqlType::Numeric, &["12.50"], "12.50"),
            (
                SqlType::Uuid,
                &["0123456789ABCDEF0123456789abcdef", "01234567-89AB-cdef-0123-456789abcdef"],
                "01234567-89ab-cdef-0123-456789abcdef",
            ),
            (
                SqlType::Timestamptz,
                &[
                    "2026-01-02T03:04:05.12Z",
                    "2026-01-02T03:04:05.120+00:00",
                    "2026-01-02T08:34:05.12+05:30",
                    "2026-01-02 03:04:05.12",
                    "2026-01-02 08:34:05.12+0530",
                ],
                "2026-01-02T03:04:05.120000Z",
            ),
            (
                SqlType::Timestamptz,
                &["+12345-01-02T03:04:05Z", "+012345-01-02T03:04:05+00:00"],
                "+012345-01-02T03:04:05.000000Z",
            ),
            (SqlType::Timestamptz, &["-0043-03-15T00:00:00Z"], "-000043-03-15T00:00:00.000000Z"),
            (SqlType::Date, &["2026-01-02"], "2026-01-02"),
            (SqlType::Date, &["+12345-01-02", "+012345-01-02"], "+012345-01-02"),
            (SqlType::Date, &["0000-01-02"], "0000-01-02"),
            (SqlType::Time, &["01:02:03.5", "01:02:03.500000"], "01:02:03.500000"),
            (SqlType::Time, &["01:02:03", "01:02:03.000"], "01:02:03"),
        ] {
            assert!(has_text(sql));
            for &one in spelled {
                assert_eq!(canonical(sql, one).as_deref(), Some(text), "{sql:?} {one}");
            }
            assert_eq!(canonical(sql, text).as_deref(), Some(text), "the text of a text is itself");
        }
        for (sql, text) in [
            (SqlType::Bool, "yes"),
            (SqlType::Int4, "1.0"),
            (SqlType::Numeric, "NaN"),
            (SqlType::Numeric, "1."),
            (SqlType::Timestamptz, "infinity"),
            (SqlType::Date, "soon"),
            (SqlType::Float8, "1.5"),
        ] {
            assert_eq!(canonical(sql, text), None, "{sql:?} {text}");
        }
    }
}
