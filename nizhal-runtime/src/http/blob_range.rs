//! The header `Range` (RFC 9110, section 14), of one range; several are answered with the whole.

use super::error::HttpError;
use std::ops::Range;

/// The range that the header asks for of so many bytes; none for the whole.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Result<Option<Range<u64>>, HttpError> {
    let Some(range) = header.and_then(|header| header.trim().strip_prefix("bytes=")).and_then(parse) else {
        return Ok(None);
    };
    let range = match range {
        RangeSpec::FromTo(first, last) => first..last.saturating_add(1).min(size),
        RangeSpec::From(first) => first..size,
        RangeSpec::Last(count) => size.saturating_sub(count)..size,
    };
    if range.is_empty() { Err(HttpError::RangeNotSatisfiable { size }) } else { Ok(Some(range)) }
}

enum RangeSpec {
    FromTo(u64, u64),
    From(u64),
    Last(u64),
}

/// One range; nothing that is none, or several, which a server may ignore.
fn parse(text: &str) -> Option<RangeSpec> {
    let (first, last) = text.split_once('-')?;
    // No sign and no space, which `parse` would let through or not by its own rules.
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    match (first, last) {
        ("", last) => number(last).map(RangeSpec::Last),
        (first, "") => number(first).map(RangeSpec::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(RangeSpec::FromTo(first, last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood() {
        let of = |header: &str| wanted(Some(header), 10).unwrap();
        for (header, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("bytes=2-", 2..10),
            ("bytes=9-99", 9..10),
            ("bytes=-3", 7..10),
            ("bytes=-99", 0..10),
            (" bytes=0-18446744073709551615", 0..10),
        ] {
            assert_eq!(of(header), Some(range), "{header}");
        }
        for rubbish in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes=0x1-2",
            "bytes=99999999999999999999-",
            "bytes=--1",
        ] {
            assert_eq!(of(rubbish), None, "{rubbish}");
        }
        assert_eq!(wanted(None, 10).unwrap(), None);
        for outside in ["bytes=10-", "bytes=10-11", "bytes=-0"] {
            assert!(matches!(wanted(Some(outside), 10), Err(HttpError::RangeNotSatisfiable { size: 10 })), "{outside}");
        }
    }
}
