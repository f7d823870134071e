//! JSON written straight into a buffer: the row encoding of `book/src/protocol.md`, shared by both databases.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};
use std::io::Write;

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
