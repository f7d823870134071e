//! SQLite's values written as the same JSON bytes that Postgres' values get.

use crate::store::json;
use chrono::{NaiveDate, NaiveTime};
use nizhal_core::{SqlType, key};
use sqlx::{Row, TypeInfo, ValueRef, sqlite::SqliteRow};

/// Writes the columns from `first` on as one object.
pub(super) fn object(
    out: &mut Vec<u8>,
    columns: &[(&'static str, SqlType)],
    row: &SqliteRow,
    first: usize,
) -> Result<(), sqlx::Error> {
    out.push(b'{');
    for (at, (name, sql)) in columns.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::text(out, name);
        out.push(b':');
        if row.try_get_raw(first + at)?.is_null() {
            out.extend_from_slice(b"null");
        } else {
            value(out, *sql, row, first + at)?;
        }
    }
    out.push(b'}');
    Ok(())
}

fn value(out: &mut Vec<u8>, sql: SqlType, row: &SqliteRow, at: usize) -> Result<(), sqlx::Error> {
    match sql {
        SqlType::Bool => {
            let set = row.try_get_unchecked::<i64, _>(at)? != 0;
            out.extend_from_slice(if set { b"true" } else { b"false" });
        }
        SqlType::Int2 | SqlType::Int4 => json::int(out, row.try_get_unchecked(at)?),
        SqlType::Int8 => json::int_text(out, row.try_get_unchecked(at)?),
        SqlType::Float4 => {
            #[expect(clippy::cast_possible_truncation, reason = "the column holds 32-bit floats, widened by SQLite")]
            json::float32(out, row.try_get_unchecked::<f64, _>(at)? as f32);
        }
        SqlType::Float8 => json::float64(out, row.try_get_unchecked(at)?),
        SqlType::Text | SqlType::Numeric => json::text(out, row.try_get_unchecked(at)?),
        SqlType::Bytes => json::bytes(out, row.try_get_unchecked(at)?),
        SqlType::Json | SqlType::Array(_) => json::json(out, row.try_get_unchecked(at)?),
        SqlType::Uuid => uuid(out, row, at)?,
        SqlType::Timestamptz => {
            let text: &str = row.try_get_unchecked(at)?;
            parsed(out, text, key::parse_timestamp(text), json::timestamp);
        }
        SqlType::Date => {
            let text: &str = row.try_get_unchecked(at)?;
            parsed(out, text, text.parse::<NaiveDate>().ok(), json::date);
        }
        SqlType::Time => {
            let text: &str = row.try_get_unchecked(at)?;
            parsed(out, text, text.parse::<NaiveTime>().ok(), json::time);
        }
    }
    Ok(())
}

/// What cannot be read (an outside writer's doing) is passed on as it is.
fn parsed<T>(out: &mut Vec<u8>, text: &str, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(out, value),
        None => json::text(out, text),
    }
}

fn uuid(out: &mut Vec<u8>, row: &SqliteRow, at: usize) -> Result<(), sqlx::Error> {
    if row.try_get_raw(at)?.type_info().name() == "BLOB"
        && let Ok(id) = uuid::Uuid::from_slice(row.try_get_unchecked(at)?)
    {
        json::text(out, &id.hyphenated().to_string());
        return Ok(());
    }
    json::text(out, row.try_get_unchecked(at)?);
    Ok(())
}
