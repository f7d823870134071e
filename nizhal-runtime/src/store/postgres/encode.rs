//! Postgres' binary values written as JSON: a `record` of one row's columns becomes one JSON object.
//!
//! Formats as in the `*_send` functions of Postgres' `src/backend/utils/adt`.

use crate::store::{canonical, json};
use chrono::{NaiveDate, NaiveTime, TimeDelta};
use sqlx::{Column, Row, ValueRef, postgres::PgRow};

/// The bytes were not what Postgres sends.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unexpected bytes in a value of type {oid}")]
pub(crate) struct Malformed {
    oid: u32,
}

/// What stands before each value of an object with these keys: `{"first":`, `,"second":` …
pub(super) fn before(names: &[&str]) -> Vec<Vec<u8>> {
    let key = |(at, name): (usize, &&str)| {
        let mut text = vec![if at == 0 { b'{' } else { b',' }];
        json::text(&mut text, name);
        text.push(b':');
        text
    };
    names.iter().enumerate().map(key).collect()
}

/// Writes the record as an object; what stands before each value is given. The index of a value that cannot be written, where there
/// is one: then what was written is of no use.
pub(super) fn record(out: &mut Vec<u8>, before: &[Vec<u8>], mut bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let malformed = Malformed { oid: 2249 };
    let count = take_i32(&mut bytes).ok_or(Malformed { oid: 2249 })?;
    if usize::try_from(count) != Ok(before.len()) {
        return Err(malformed);
    }
    for (at, before) in before.iter().enumerate() {
        out.extend_from_slice(before);
        let oid = take_i32(&mut bytes).ok_or(Malformed { oid: 2249 })?.cast_unsigned();
        let length = take_i32(&mut bytes).ok_or(Malformed { oid })?;
        match usize::try_from(length) {
            Err(_) => out.extend_from_slice(b"null"),
            Ok(length) => {
                let (field, rest) = bytes.split_at_checked(length).ok_or(Malformed { oid })?;
                bytes = rest;
                if value(out, oid, field).is_none() {
                    return Ok(Some(at));
                }
            }
        }
    }
    out.push(b'}');
    Ok(None)
}

/// The types of a row's columns.
pub(super) fn types(row: &PgRow) -> Vec<u32> {
    row.columns().iter().map(|column| column.type_info().oid().map_or(0, |oid| oid.0)).collect()
}

/// Writes a row's columns as an object; what stands before each value is given, and the values' types. As for [`record`].
pub(super) fn columns(
    out: &mut Vec<u8>,
    before: &[Vec<u8>],
    types: &[u32],
    row: &PgRow,
) -> Result<Option<usize>, sqlx::Error> {
    for (at, (before, &oid)) in before.iter().zip(types).enumerate() {
        out.extend_from_slice(before);
        match bytes(row, at)? {
            Some(bytes) if value(out, oid, bytes).is_none() => return Ok(Some(at)),
            Some(_) => {}
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
    Ok(None)
}

/// A column's bytes; `None` where it is NULL. The driver's own way would compare types at each value.
pub(super) fn bytes(row: &PgRow, at: usize) -> Result<Option<&[u8]>, sqlx::Error> {
    let column = row.try_get_raw(at)?;
    if column.is_null() { Ok(None) } else { column.as_bytes().map(Some).map_err(sqlx::Error::Decode) }
}

/// A number of `N` bytes.
fn number<const N: usize>(row: &PgRow, at: usize, oid: u32) -> Result<[u8; N], sqlx::Error> {
    let number = bytes(row, at)?.and_then(|bytes| bytes.try_into().ok());
    number.ok_or_else(|| sqlx::Error::Decode(Malformed { oid }.into()))
}

/// An `int4`.
pub(super) fn int4(row: &PgRow, at: usize) -> Result<i32, sqlx::Error> {
    number(row, at, 23).map(i32::from_be_bytes)
}

/// An `int8`.
pub(super) fn int8(row: &PgRow, at: usize) -> Result<i64, sqlx::Error> {
    number(row, at, 20).map(i64::from_be_bytes)
}

/// A `text[]` of one dimension without NULLs.
pub(super) fn texts(row: &PgRow, at: usize) -> Result<Vec<String>, sqlx::Error> {
    bytes(row, at)?.and_then(text_array).ok_or_else(|| sqlx::Error::Decode(Malformed { oid: 1009 }.into()))
}

/// As in [`array`].
fn text_array(mut bytes: &[u8]) -> Option<Vec<String>> {
    let dimensions = take_i32(&mut bytes)?;
    // Whether there are NULLs, and the items' type.
    take_i32(&mut bytes)?;
    take_i32(&mut bytes)?;
    if dimensions == 0 {
        return Some(Vec::new());
    }
    let length = usize::try_from(take_i32(&mut bytes)?).ok().filter(|_| dimensions == 1)?;
    take_i32(&mut bytes)?;
    let item = |_| {
        let length = usize::try_from(take_i32(&mut bytes)?).ok()?;
        let (item, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        String::from_utf8(item.to_vec()).ok()
    };
    (0..length).map(item).collect()
}

/// Writes one value that is not NULL; `None` when the bytes do not fit the type, or are a value that no client of the type can read:
/// an infinity, what is no number, a moment beyond any calendar.
pub(super) fn value(out: &mut Vec<u8>, oid: u32, bytes: &[u8]) -> Option<()> {
    match oid {
        16 => out.extend_from_slice(if bytes == [0] { b"false" } else { b"true" }),
        21 => json::int(out, i64::from(i16::from_be_bytes(bytes.try_into().ok()?))),
        23 => json::int(out, i64::from(i32::from_be_bytes(bytes.try_into().ok()?))),
        20 => json::int_text(out, i64::from_be_bytes(bytes.try_into().ok()?)),
        700 => {
            json::float32(out, Some(f32::from_be_bytes(bytes.try_into().ok()?)).filter(|number| number.is_finite())?)
        }
        701 => {
            json::float64(out, Some(f64::from_be_bytes(bytes.try_into().ok()?)).filter(|number| number.is_finite())?)
        }
        1700 => numeric(out, bytes)?,
        2950 => uuid(out, uuid::Uuid::from_slice(bytes).ok()?),
        1184 | 1114 => timestamp(out, i64::from_be_bytes(bytes.try_into().ok()?))?,
        1082 => date(out, i32::from_be_bytes(bytes.try_into().ok()?))?,
        1083 => time(out, i64::from_be_bytes(bytes.try_into().ok()?))?,
        // jsonb is a version byte and the text
        3802 => canonical::json(out, std::str::from_utf8(bytes.strip_prefix(&[1])?).ok()?)?,
        114 => canonical::json(out, std::str::from_utf8(bytes).ok()?)?,
        17 => json::bytes(out, bytes),
        oid if ARRAYS.contains(&oid) => array(out, bytes)?,
        // text, varchar, char, name, enums, citext: all send their text
        _ => json::text(out, std::str::from_utf8(bytes).ok()?),
    }
    Some(())
}

fn uuid(out: &mut Vec<u8>, uuid: uuid::Uuid) {
    let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
    out.push(b'"');
    out.extend_from_slice(uuid.hyphenated().encode_lower(&mut buffer).as_bytes());
    out.push(b'"');
}

/// The arrays of what has an arm above: bool, bytea, int2, int4, text, varchar, int8, float4, float8, timestamp, date, time,
/// timestamptz, numeric, uuid, json, jsonb.
const ARRAYS: [u32; 17] =
    [1000, 1001, 1005, 1007, 1009, 1015, 1016, 1021, 1022, 1115, 1182, 1183, 1185, 1231, 2951, 199, 3807];

/// Dimensions, whether there are NULLs, the items' type; the length and first index of each dimension; the items. A field is a list of
/// values: no client could read one of lists, or with a NULL in it.
fn array(out: &mut Vec<u8>, mut bytes: &[u8]) -> Option<()> {
    let dimensions = take_i32(&mut bytes)?;
    take_i32(&mut bytes)?;
    let oid = take_i32(&mut bytes)?.cast_unsigned();
    let length = match dimensions {
        0 => 0,
        1 => take_i32(&mut bytes)?,
        _ => return None,
    };
    if dimensions == 1 {
        take_i32(&mut bytes)?;
    }
    out.push(b'[');
    for at in 0..length {
        if at > 0 {
            out.push(b',');
        }
        let length = usize::try_from(take_i32(&mut bytes)?).ok()?;
        let (item, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        value(out, oid, item)?;
    }
    out.push(b']');
    Some(())
}

/// Base-10,000 digits with a weight, a sign and a display scale.
fn numeric(out: &mut Vec<u8>, mut bytes: &[u8]) -> Option<()> {
    let digit_count = usize::try_from(take_i16(&mut bytes)?).ok()?;
    let weight = i32::from(take_i16(&mut bytes)?);
    let sign = take_i16(&mut bytes)?.cast_unsigned();
    let scale = usize::try_from(take_i16(&mut bytes)?).ok()?;
    let digits = bytes.get(..digit_count * 2)?;
    // The others are NaN and the infinities.
    if !matches!(sign, 0x0000 | 0x4000) {
        return None;
    }
    let digit = |at: i32| {
        let place = usize::try_from(at).ok().filter(|at| *at < digit_count).map_or(0..0, |at| at * 2..at * 2 + 2);
        digits[place].try_into().map_or(0, u16::from_be_bytes)
    };
    out.push(b'"');
    if sign == 0x4000 {
        out.push(b'-');
    }
    if weight < 0 {
        out.push(b'0');
    } else {
        json::int(out, i64::from(digit(0)));
        (1..=weight).for_each(|at| json::digits(out, digit(at).into(), 4));
    }
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + scale;
        let mut at = weight + 1;
        while out.len() < end {
            json::digits(out, digit(at).into(), 4);
            at += 1;
        }
        out.truncate(end);
    }
    out.push(b'"');
    Some(())
}

/// Microseconds since 2000.
fn timestamp(out: &mut Vec<u8>, micros: i64) -> Option<()> {
    const EPOCH_2000_MICROS: i64 = 946_684_800_000_000;
    if matches!(micros, i64::MIN | i64::MAX) {
        return None;
    }
    json::timestamp_micros(out, micros.checked_add(EPOCH_2000_MICROS)?)
}

/// Days since 2000.
fn date(out: &mut Vec<u8>, days: i32) -> Option<()> {
    let epoch = NaiveDate::from_ymd_opt(2000, 1, 1)?;
    json::date(out, epoch.checked_add_signed(TimeDelta::try_days(i64::from(days))?)?);
    Some(())
}

/// Microseconds since midnight; `24:00:00` is a time to Postgres alone.
fn time(out: &mut Vec<u8>, micros: i64) -> Option<()> {
    let seconds = u32::try_from(micros / 1_000_000).ok()?;
    let nanos = u32::try_from(micros % 1_000_000).ok()? * 1000;
    json::time(out, NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)?);
    Some(())
}

fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(i32::from_be_bytes(*head))
}

fn take_i16(bytes: &mut &[u8]) -> Option<i16> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    *bytes = rest;
    Some(i16::from_be_bytes(*head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(digits: &[i16], weight: i16, sign: u16, scale: i16) -> Option<String> {
        let head = [i16::try_from(digits.len()).unwrap(), weight, sign.cast_signed(), scale];
        let bytes: Vec<u8> = head.iter().chain(digits).flat_map(|part| part.to_be_bytes()).collect();
        let mut out = Vec::new();
        numeric(&mut out, &bytes)?;
        String::from_utf8(out).ok()
    }

    fn number(all: &[i16], weight: i16, sign: u16, scale: i16) -> String {
        digits(all, weight, sign, scale).unwrap()
    }

    #[test]
    fn numerics_keep_every_digit() {
        assert_eq!(number(&[], 0, 0, 0), "\"0\"");
        assert_eq!(number(&[], 0, 0, 2), "\"0.00\"");
        assert_eq!(number(&[1, 5000], 0, 0, 2), "\"1.50\"");
        assert_eq!(number(&[12, 3000], 0, 0x4000, 1), "\"-12.3\"");
        assert_eq!(number(&[1], 1, 0, 0), "\"10000\"");
        assert_eq!(number(&[1], -2, 0, 8), "\"0.00000001\"");
        assert_eq!(number(&[1234, 5678, 9012, 3456, 1000], 3, 0, 2), "\"1234567890123456.10\"");
        assert_eq!(digits(&[], 0, 0xC000, 0), None, "NaN");
    }

    #[test]
    fn arrays_are_nested_as_deep_as_they_are() {
        let write = |parts: &[i32]| {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_be_bytes()).collect();
            let mut out = Vec::new();
            value(&mut out, 1007, &bytes).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(write(&[0, 0, 23]).unwrap(), "[]");
        assert_eq!(write(&[1, 0, 23, 2, 1, 4, 7, 4, -2]).unwrap(), "[7,-2]");
        assert_eq!(write(&[1, 1, 23, 3, 1, 4, 7, -1, 4, -2]), None, "a NULL among them");
        assert_eq!(write(&[2, 0, 23, 2, 1, 1, 1, 4, 5, 4, 6]), None, "lists of lists");
        for cut in [&[][..], &[1, 0], &[1, 0, 23, 2, 1, 4, 7], &[9, 0, 23], &[-1, 0, 23], &[1, 0, 23, i32::MAX, 1]] {
            assert_eq!(write(cut), None, "{cut:?}");
        }
    }

    #[test]
    fn text_arrays_are_read_whole() {
        let head = |parts: &[i32]| parts.iter().flat_map(|part| part.to_be_bytes()).collect::<Vec<u8>>();
        let two =
            [head(&[1, 0, 25, 2, 1, 1]), b"a".to_vec(), head(&[5]), "b é".as_bytes().to_vec(), b"!".to_vec()].concat();
        assert_eq!(text_array(&two).unwrap(), ["a", "b é!"]);
        assert_eq!(text_array(&head(&[0, 0, 25])).unwrap(), Vec::<String>::new());
        for cut in 0..two.len() {
            assert_eq!(text_array(&two[..cut]), None, "{cut}");
        }
        for odd in [&[1, 1, 25, 1, 1, -1][..], &[2, 0, 25, 1, 1, 1, 1], &[1, 0, 25, i32::MAX, 1], &[1, 0, 25, -1, 1]] {
            assert_eq!(text_array(&head(odd)), None, "{odd:?}");
        }
    }

    #[test]
    fn inv32_cut_bytes_are_an_error_not_a_panic() {
        let mut out = Vec::new();
        for bytes in [&[][..], &[0, 0, 0, 1], &[0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 4, 1]] {
            assert!(record(&mut out, &before(&["a"]), bytes).is_err());
        }
        let short = [0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 1, 1];
        assert_eq!(record(&mut out, &before(&["a"]), &short), Ok(Some(0)));
    }
}
