//! JSON written straight into a buffer: the row encoding of `book/src/protocol.md`, shared by both databases.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, io::Write};

/// Writes a JSON text.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut *out, text);
    }
}

/// Whether nothing need be escaped; eight bytes at a time, by the usual arithmetic: a borrow starts at a hit alone.
fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let hits = |eight: [u8; 8]| {
        let word = u64::from_le_bytes(eight);
        let below = |word: u64, least: u64| word.wrapping_sub(ONES * least) & !word;
        let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        (below(word, 0x20) | is(b'"') | is(b'\\')) & (ONES * 0x80)
    };
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    eights.iter().all(|eight| hits(*eight) == 0) && hits(last) == 0
}

/// Writes a JSON number; what JSON cannot say (NaN, infinities) is null.
pub(crate) fn float64(out: &mut Vec<u8>, number: f64) {
    let _ = serde_json::to_writer(&mut *out, &number);
}

/// As [`float64`], with the digits that a 32-bit float needs.
pub(crate) fn float32(out: &mut Vec<u8>, number: f32) {
    let _ = serde_json::to_writer(&mut *out, &number);
}

/// Writes a whole number.
pub(crate) fn int(out: &mut Vec<u8>, number: i64) {
    let _ = serde_json::to_writer(&mut *out, &number);
}

/// Writes a whole number as a text, so that no reader rounds it.
pub(crate) fn int_text(out: &mut Vec<u8>, number: i64) {
    out.push(b'"');
    int(out, number);
    out.push(b'"');
}

/// Writes base64 with the standard alphabet, padded.
pub(crate) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let _ = write!(out, "\"{}\"", STANDARD.encode(bytes));
}

/// Writes so many decimal digits of a number, with zeros before it.
pub(crate) fn digits(out: &mut Vec<u8>, mut number: u32, count: usize) {
    let start = out.len();
    out.resize(start + count, b'0');
    for place in out[start..].iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

/// Writes RFC 3339 in UTC with microseconds and `Z`. By hand: rows have several of them, and formatting costs more than all else.
pub(crate) fn timestamp(out: &mut Vec<u8>, time: DateTime<Utc>) {
    let clock = time.time();
    out.push(b'"');
    day(out, time.date_naive());
    out.push(b'T');
    hour(out, clock);
    out.push(b'.');
    digits(out, clock.nanosecond() % 1_000_000_000 / 1000, 6);
    out.extend_from_slice(b"Z\"");
}

/// As [`timestamp`], from microseconds since 1970; `None` beyond what a calendar can say.
///
/// The calendar by "Euclidean affine functions", as in Howard Hinnant's `civil_from_days`: years are counted from March.
pub(crate) fn timestamp_micros(out: &mut Vec<u8>, micros: i64) -> Option<()> {
    const DAY: i64 = 86_400_000_000;
    /// From 0001-01-01 to 9999-12-31.
    const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;
    let (days, within) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    if !DAYS.contains(&days) {
        timestamp(out, DateTime::from_timestamp_micros(micros)?);
        return Some(());
    }
    let day = u32::try_from(days + 719_468).ok()?;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (year, day) = (year + era * 400 + month / 10, day - (153 * month + 2) / 5 + 1);
    let month = if month < 10 { month + 3 } else { month - 9 };
    let (seconds, micros) = (u32::try_from(within / 1_000_000).ok()?, u32::try_from(within % 1_000_000).ok()?);
    let mut text = *b"\"0000-00-00T00:00:00.000000Z\"";
    let parts = [
        (1, year / 100),
        (3, year % 100),
        (6, month),
        (9, day),
        (12, seconds / 3600),
        (15, seconds / 60 % 60),
        (18, seconds % 60),
        (21, micros / 10_000),
        (23, micros / 100 % 100),
        (25, micros % 100),
    ];
    for (at, two) in parts {
        text[at] += u8::try_from(two / 10).ok()?;
        text[at + 1] += u8::try_from(two % 10).ok()?;
    }
    out.extend_from_slice(&text);
    Some(())
}

/// Writes `YYYY-MM-DD`.
pub(crate) fn date(out: &mut Vec<u8>, date: NaiveDate) {
    out.push(b'"');
    day(out, date);
    out.push(b'"');
}

/// Writes `HH:MM:SS`, with microseconds where there are any.
pub(crate) fn time(out: &mut Vec<u8>, time: NaiveTime) {
    out.push(b'"');
    hour(out, time);
    match time.nanosecond() % 1_000_000_000 / 1000 {
        0 => {}
        micros => {
            out.push(b'.');
            digits(out, micros, 6);
        }
    }
    out.push(b'"');
}

/// A year has four digits; another than 0 to 9999 has a sign and six, as ECMAScript reads it (and `nizhal_core::key` spells it).
fn day(out: &mut Vec<u8>, date: NaiveDate) {
    match u32::try_from(date.year()) {
        Ok(year @ 0..=9999) => digits(out, year, 4),
        _ => {
            let _ = write!(out, "{:+07}", date.year());
        }
    }
    out.push(b'-');
    digits(out, date.month(), 2);
    out.push(b'-');
    digits(out, date.day(), 2);
}

fn hour(out: &mut Vec<u8>, time: NaiveTime) {
    digits(out, time.hour(), 2);
    out.push(b':');
    digits(out, time.minute(), 2);
    out.push(b':');
    digits(out, time.second(), 2);
}

/// Writes JSON in one canonical form: no white space, keys sorted, the last of equal keys.
///
/// Postgres keeps `jsonb` in an order of its own and SQLite keeps the text as it came; both read the same here.
/// Text that is no JSON (only SQLite can hold it) is written as a text.
pub(crate) fn json(out: &mut Vec<u8>, source: &str) {
    let start = out.len();
    if canonical(out, source, 0).is_err() {
        out.truncate(start);
        text(out, source);
    }
}

fn canonical(out: &mut Vec<u8>, source: &str, depth: usize) -> Result<(), serde_json::Error> {
    let source = source.trim_matches([' ', '\t', '\r', '\n']);
    match source.as_bytes().first() {
        Some(b'{') if depth < 120 => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(source)?;
            out.push(b'{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                text(out, &key);
                out.push(b':');
                canonical(out, value.get(), depth + 1)?;
            }
            out.push(b'}');
        }
        Some(b'[') if depth < 120 => {
            let items: Vec<&RawValue> = serde_json::from_str(source)?;
            out.push(b'[');
            for (at, value) in items.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                canonical(out, value.get(), depth + 1)?;
            }
            out.push(b']');
        }
        Some(b'"') => text(out, &serde_json::from_str::<String>(source)?),
        _ => {
            serde_json::from_str::<&RawValue>(source)?;
            number(out, source);
        }
    }
    Ok(())
}

/// Writes a number (or `true`, `false`, `null`) as Postgres' `numeric` spells it: no exponent, no zero below zero.
fn number(out: &mut Vec<u8>, source: &str) {
    let (mantissa, exponent) = source.split_once(['e', 'E']).unwrap_or((source, "0"));
    let digits = mantissa.trim_start_matches('-');
    // Beyond this Postgres takes none, so there is nothing to agree with.
    let exponent = exponent.parse::<i32>().ok().filter(|exponent| (-16_383..=131_071).contains(exponent));
    let (Some(exponent), true) = (exponent, digits.starts_with(|digit: char| digit.is_ascii_digit())) else {
        return out.extend_from_slice(source.as_bytes());
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = [whole, fraction].concat();
    let point = whole.len() as i64 + i64::from(exponent);
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let (whole, fraction) = match usize::try_from(point) {
        Ok(point) if point < all.len() => (all[..point].to_owned(), all[point..].to_owned()),
        Ok(_) => (all.clone() + &zeros(point - all.len() as i64), String::new()),
        Err(_) => (String::new(), zeros(-point) + &all),
    };
    if mantissa.starts_with('-') && all.contains(|digit: char| digit != '0') {
        out.push(b'-');
    }
    let whole = whole.trim_start_matches('0');
    out.extend_from_slice(if whole.is_empty() { "0" } else { whole }.as_bytes());
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_are_as_serde_writes_them() {
        for odd in (0..=0x7f_u8).map(char::from).chain(['é', '\u{80}', '\u{2028}', '𝄞']) {
            for before in 0..18 {
                for after in [0, 1, 7, 9] {
                    let source = format!("{}{odd}{}", "é".repeat(before / 2) + &"x".repeat(before), "y".repeat(after));
                    assert_eq!(written(|out| text(out, &source)), serde_json::to_string(&source).unwrap());
                }
            }
        }
        assert_eq!(written(|out| text(out, "")), "\"\"");
    }

    #[test]
    fn microseconds_are_the_same_moments() {
        let written = |micros: i64| {
            let time = DateTime::from_timestamp_micros(micros)?;
            let mut texts = [Vec::new(), Vec::new()];
            timestamp_micros(&mut texts[0], micros)?;
            timestamp(&mut texts[1], time);
            Some(texts.map(|text| String::from_utf8(text).unwrap()))
        };
        let day = 86_400_000_000;
        for days in -720_000_i64..2_934_000 {
            let [ours, theirs] =
                written(days * day + days.rem_euclid(86_400) * 1_000_000 + days.rem_euclid(999_983)).unwrap();
            assert_eq!(ours, theirs);
        }
        for micros in [0, -1, day - 1, -day, 253_402_300_799_999_999, 253_402_300_800_000_000, -62_135_596_800_000_001]
        {
            let [ours, theirs] = written(micros).unwrap();
            assert_eq!(ours, theirs);
        }
        assert_eq!(timestamp_micros(&mut Vec::new(), i64::MAX), None);
    }

    #[test]
    fn json_has_one_form() {
        for source in
            [r#"{"bb": [1, 2.50],"a":{"y":null , "x":"\u00e9"}}"#, r#"{"a":{"x":"é","y":null},"bb":[1,2.50]}"#]
        {
            assert_eq!(written(|out| json(out, source)), r#"{"a":{"x":"é","y":null},"bb":[1,2.50]}"#);
        }
        assert_eq!(written(|out| json(out, "{broken")), r#""{broken""#);
    }

    #[test]
    fn numbers_are_spelled_as_postgres_does() {
        for (source, spelled) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            ("-12.50", "-12.50"),
            ("1e30", "1000000000000000000000000000000"),
            ("1.5e3", "1500"),
            ("1.50E1", "15.0"),
            ("1.5e-3", "0.0015"),
            ("-100e-2", "-1.00"),
            ("0e-3", "0.000"),
            ("0.001e2", "0.1"),
            ("1e999999", "1e999999"),
            ("true", "true"),
            ("null", "null"),
        ] {
            assert_eq!(written(|out| json(out, source)), spelled);
        }
    }

    #[test]
    fn moments() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        assert_eq!(
            written(|out| timestamp(out, at("2026-11-21T07:30:00.5+05:30"))),
            r#""2026-11-21T02:00:00.500000Z""#
        );
        assert_eq!(written(|out| time(out, NaiveTime::from_hms_opt(1, 2, 3).unwrap())), r#""01:02:03""#);
        assert_eq!(
            written(|out| time(out, NaiveTime::from_hms_micro_opt(1, 2, 3, 40).unwrap())),
            r#""01:02:03.000040""#
        );
        assert_eq!(written(|out| float64(out, f64::NAN)), "null");
        let year = |year| NaiveDate::from_ymd_opt(year, 1, 2).unwrap();
        assert_eq!(written(|out| date(out, year(7))), r#""0007-01-02""#);
        assert_eq!(written(|out| date(out, year(12_345))), r#""+012345-01-02""#);
        assert_eq!(written(|out| date(out, year(-44))), r#""-000044-01-02""#);
    }
}
