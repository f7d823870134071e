//! JSON written straight into a buffer: the row encoding of PROTOCOL section 0, shared by both databases.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, io::Write};

/// Writes a JSON text.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    // Writing to a Vec cannot fail.
    let _ = serde_json::to_writer(&mut *out, text);
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
    let _ = write!(out, "{number}");
}

/// Writes a whole number as a text, so that no reader rounds it.
pub(crate) fn int_text(out: &mut Vec<u8>, number: i64) {
    let _ = write!(out, "\"{number}\"");
}

/// Writes base64 with the standard alphabet, padded.
pub(crate) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let _ = write!(out, "\"{}\"", STANDARD.encode(bytes));
}

/// Writes RFC 3339 in UTC with microseconds and `Z`.
pub(crate) fn timestamp(out: &mut Vec<u8>, time: DateTime<Utc>) {
    let (date, clock) = (time.date_naive(), time.time());
    let _ = write!(
        out,
        "\"{}T{:02}:{:02}:{:02}.{:06}Z\"",
        Year(date),
        clock.hour(),
        clock.minute(),
        clock.second(),
        clock.nanosecond() % 1_000_000_000 / 1000
    );
}

/// Writes `YYYY-MM-DD`.
pub(crate) fn date(out: &mut Vec<u8>, date: NaiveDate) {
    let _ = write!(out, "\"{}\"", Year(date));
}

/// Writes `HH:MM:SS`, with microseconds where there are any.
pub(crate) fn time(out: &mut Vec<u8>, time: NaiveTime) {
    let _ = write!(out, "\"{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
    match time.nanosecond() % 1_000_000_000 / 1000 {
        0 => {}
        micros => {
            let _ = write!(out, ".{micros:06}");
        }
    }
    out.push(b'"');
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
            out.extend_from_slice(source.as_bytes());
        }
    }
    Ok(())
}

/// A date with a year of at least four digits.
struct Year(NaiveDate);

impl std::fmt::Display for Year {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), self.0.month(), self.0.day())
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
    fn json_has_one_form() {
        for source in
            [r#"{"bb": [1, 2.50],"a":{"y":null , "x":"\u00e9"}}"#, r#"{"a":{"x":"é","y":null},"bb":[1,2.50]}"#]
        {
            assert_eq!(written(|out| json(out, source)), r#"{"a":{"x":"é","y":null},"bb":[1,2.50]}"#);
        }
        assert_eq!(written(|out| json(out, "{broken")), r#""{broken""#);
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
    }
}
