//! SQLite's values written as the same JSON bytes that Postgres' values get.

use crate::store::{canonical, json, read::LAST};
use chrono::{NaiveDate, NaiveTime};
use nizhal_core::{SqlType, key};
use sqlx::{Row, TypeInfo, ValueRef, sqlite::SqliteRow};

/// Writes the columns from `first` on as one object; the name of one whose value is none of its type, where there is one: then what
/// was written is of no use. A file takes any value in any column, so another program may have written anything.
pub(super) fn object(
    out: &mut Vec<u8>,
    columns: &[(&'static str, SqlType)],
    row: &SqliteRow,
    first: usize,
) -> Result<Option<&'static str>, sqlx::Error> {
    out.push(b'{');
    for (at, (name, sql)) in columns.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::text(out, name);
        out.push(b':');
        if row.try_get_raw(first + at)?.is_null() {
            out.extend_from_slice(b"null");
        } else if value(out, *sql, row, first + at)?.is_none() {
            return Ok(Some(name));
        }
    }
    out.push(b'}');
    Ok(None)
}

fn value(out: &mut Vec<u8>, sql: SqlType, row: &SqliteRow, at: usize) -> Result<Option<()>, sqlx::Error> {
    let raw = row.try_get_raw(at)?;
    let kind = raw.type_info().name().to_owned();
    let is = |wanted: &str| kind == wanted;
    Ok(match sql {
        SqlType::Bool | SqlType::Int2 | SqlType::Int4 | SqlType::Int8 if !is("INTEGER") => None,
        SqlType::Bool => {
            let set = row.try_get_unchecked::<i64, _>(at)? != 0;
            out.extend_from_slice(if set { b"true" } else { b"false" });
            Some(())
        }
        SqlType::Int2 | SqlType::Int4 => {
            let number: i64 = row.try_get_unchecked(at)?;
            let fits = if sql == SqlType::Int2 { i16::try_from(number).is_ok() } else { i32::try_from(number).is_ok() };
            fits.then(|| json::int(out, number))
        }
        SqlType::Int8 => {
            json::int_text(out, row.try_get_unchecked(at)?);
            Some(())
        }
        SqlType::Float4 | SqlType::Float8 => {
            let number: f64 = row.try_get_unchecked(at)?;
            let is_number = (is("REAL") || is("INTEGER")) && number.is_finite();
            is_number.then(|| match sql {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "the column holds 32-bit floats, widened by SQLite"
                )]
                SqlType::Float4 => json::float32(out, number as f32),
                _ => json::float64(out, number),
            })
        }
        SqlType::Bytes => {
            json::bytes(out, row.try_get_unchecked(at)?);
            Some(())
        }
        SqlType::Uuid if is("BLOB") => {
            let id = uuid::Uuid::from_slice(row.try_get_unchecked(at)?).ok();
            id.map(|id| json::text(out, &id.hyphenated().to_string()))
        }
        // Bytes are no text, and may not even be UTF-8.
        _ if is("BLOB") => None,
        // Another program's text may not be UTF-8 either.
        _ => std::str::from_utf8(row.try_get_unchecked(at)?).ok().and_then(|kept| text(out, sql, kept)),
    })
}

fn text(out: &mut Vec<u8>, sql: SqlType, text: &str) -> Option<()> {
    match sql {
        SqlType::Numeric | SqlType::Uuid => json::text(out, &key::canonical(sql, text)?),
        SqlType::Json | SqlType::Array(_) => canonical::json(out, text)?,
        SqlType::Timestamptz => json::timestamp(out, key::parse_timestamp(text)?),
        SqlType::Date => json::date(out, text.parse::<NaiveDate>().ok()?),
        SqlType::Time => json::time(out, text.parse::<NaiveTime>().ok()?),
        _ => json::text(out, text),
    }
    Some(())
}

/// A text that names a row. Of one that is not UTF-8, what comes before that, followed by what sorts after every text: no device has
/// a row of such a name, and the next page goes on behind it.
pub(super) fn name(row: &SqliteRow, at: usize) -> Result<String, sqlx::Error> {
    let bytes: &[u8] = row.try_get_unchecked(at)?;
    Ok(match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(error) => String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned() + LAST,
    })
}
