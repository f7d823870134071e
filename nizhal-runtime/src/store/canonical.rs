//! The one form of a JSON column's value, whichever database kept it: read once from its begin to its end, however deep it is.

use super::json::text;
use serde_json::value::RawValue;
use std::io::Write;

/// What is nested deeper is written as it came; no mutator's arguments are as deep.
const MAX_DEPTH: usize = 120;

/// Writes JSON in one canonical form: no white space, keys sorted, the last of equal keys.
///
/// Postgres keeps `jsonb` in an order of its own and SQLite keeps the text as it came; both read the same here.
/// Text that is no JSON (only SQLite can hold it) is written as a text. `None` where a text within it is none that a client can read:
/// one half of a surrogate pair, which JSON can spell and `json` columns of Postgres and SQLite keep.
pub(crate) fn json(out: &mut Vec<u8>, source: &str) -> Option<()> {
    if serde_json::from_str::<&RawValue>(source).is_err() {
        text(out, source);
        return Some(());
    }
    (Reader { source, at: 0 }).value(out, 0)
}

/// Reads text that is known to be JSON.
struct Reader<'a> {
    source: &'a str,
    at: usize,
}

/// A member of an object: its key, and where it is in what was written, with key and colon.
struct Member {
    key: String,
    start: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// Writes the next value; nothing where the text ends too early, or its text is none.
    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        match self.peek()? {
            b'{' | b'[' if depth >= MAX_DEPTH => out.extend_from_slice(self.nested()?.as_bytes()),
            b'{' => self.object(out, depth)?,
            b'[' => self.array(out, depth)?,
            b'"' => text(out, &self.string()?),
            _ => number(out, self.plain()),
        }
        Some(())
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        self.at += 1;
        out.push(b'[');
        while self.peek()? != b']' {
            if self.peek()? == b',' {
                self.at += 1;
                out.push(b',');
            }
            self.value(out, depth + 1)?;
        }
        self.at += 1;
        out.push(b']');
        Some(())
    }

    /// Members are written as they come, and put in order where they are not: one copy, not one more reading, for each level.
    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        self.at += 1;
        let begin = out.len();
        let mut members: Vec<Member> = Vec::new();
        while self.peek()? != b'}' {
            if self.peek()? == b',' {
                self.at += 1;
                self.peek()?;
            }
            let (start, key) = (out.len(), self.string()?);
            text(out, &key);
            out.push(b':');
            // The colon.
            self.peek()?;
            self.at += 1;
            self.value(out, depth + 1)?;
            members.push(Member { key, start, end: out.len() });
        }
        self.at += 1;
        // Stable, so that the last of equal keys is behind the others.
        members.sort_by(|one, other| one.key.cmp(&other.key));
        let mut sorted = Vec::with_capacity(out.len() - begin + members.len() + 2);
        sorted.push(b'{');
        for (at, member) in members.iter().enumerate() {
            if members.get(at + 1).is_some_and(|next| next.key == member.key) {
                continue;
            }
            if sorted.len() > 1 {
                sorted.push(b',');
            }
            sorted.extend_from_slice(&out[member.start..member.end]);
        }
        sorted.push(b'}');
        out.truncate(begin);
        out.append(&mut sorted);
        Some(())
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.source.as_bytes().get(self.at)? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.skip_string()?;
        serde_json::from_str(&self.source[start..self.at]).ok()
    }

    fn skip_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.source.as_bytes().get(self.at)? {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    /// A number, or a name such as `null`.
    fn plain(&mut self) -> &'a str {
        let rest = &self.source[self.at..];
        let length = rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// A list or an object, as it came.
    fn nested(&mut self) -> Option<&'a str> {
        let (start, mut open) = (self.at, 0_usize);
        loop {
            match self.source.as_bytes().get(self.at)? {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return self.source.get(start..self.at);
            }
        }
    }
}

/// The most zeros that a number is padded with, before its first digit or behind its last: the whole numbers that clients count
/// with have no exponent, and whoever writes `1e308` a hundred thousand times does not make everybody read 300 digits each.
const MAX_PADDING: usize = 20;

/// Writes a number (or `true`, `false`, `null`) as Postgres' `numeric` spells it: no zero below zero, and no exponent but where that
/// would take more than [`MAX_PADDING`] zeros.
fn number(out: &mut Vec<u8>, source: &str) {
    let (mantissa, exponent) = source.split_once(['e', 'E']).unwrap_or((source, "0"));
    let unsigned = mantissa.trim_start_matches('-');
    // Beyond this Postgres takes none, so there is nothing to agree with.
    let exponent = exponent.parse::<i64>().ok().filter(|exponent| (-16_383..=131_071).contains(exponent));
    let (Some(exponent), true) = (exponent, unsigned.starts_with(|digit: char| digit.is_ascii_digit())) else {
        return out.extend_from_slice(source.as_bytes());
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    // The value is these digits times ten to this power; Postgres keeps as many digits behind the point as were written.
    let power = exponent - i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    if mantissa.starts_with('-') && !digits.is_empty() {
        out.push(b'-');
    }
    match usize::try_from(power) {
        Ok(zeros) => whole_number(out, digits, zeros),
        Err(_) => fraction_number(out, digits, usize::try_from(-power).unwrap_or(usize::MAX)),
    }
}

/// Digits with zeros behind them.
fn whole_number(out: &mut Vec<u8>, digits: &str, zeros: usize) {
    let bare = digits.trim_end_matches('0');
    let zeros = zeros + digits.len() - bare.len();
    if bare.is_empty() {
        out.push(b'0');
    } else if zeros > MAX_PADDING {
        let _ = write!(out, "{bare}e{zeros}");
    } else {
        let _ = write!(out, "{bare}{:0<zeros$}", "");
    }
}

/// Digits of which so many are behind the point.
fn fraction_number(out: &mut Vec<u8>, digits: &str, behind: usize) {
    if let Some((whole, fraction)) = digits.len().checked_sub(behind).and_then(|point| digits.split_at_checked(point)) {
        let _ = write!(out, "{}.{fraction}", if whole.is_empty() { "0" } else { whole });
    } else if behind - digits.len() > MAX_PADDING {
        let _ = write!(out, "{}e-{behind}", if digits.is_empty() { "0" } else { digits });
    } else {
        let _ = write!(out, "0.{digits:0>behind$}");
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
            assert_eq!(written(|out| json(out, source).unwrap()), r#"{"a":{"x":"é","y":null},"bb":[1,2.50]}"#);
        }
        assert_eq!(written(|out| json(out, "{broken").unwrap()), r#""{broken""#);
    }

    #[test]
    fn inv40_half_of_a_pair_is_no_text() {
        for source in [r#""\ud800""#, r#"[1, "a\udc00"]"#, r#"{"\ud800": 1}"#, r#"{"a": "\ud800\ud800"}"#] {
            assert_eq!(json(&mut Vec::new(), source), None, "{source}");
        }
        assert_eq!(written(|out| json(out, r#""\ud83d\ude00\u0000""#).unwrap()), "\"😀\\u0000\"");
    }

    #[test]
    fn numbers_are_spelled_as_postgres_does() {
        for (source, spelled) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            ("-12.50", "-12.50"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e21"),
            ("1000000000000000000000", "1e21"),
            ("-12.5e30", "-125e29"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("1000000000000000000000.0", "1000000000000000000000.0"),
            ("1e-20", "0.00000000000000000001"),
            ("1e-22", "1e-22"),
            ("0.0000000000000000000001", "1e-22"),
            ("1.50e-300", "150e-302"),
            ("0e-300", "0e-300"),
            ("0e300", "0"),
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
            assert_eq!(written(|out| json(out, source).unwrap()), spelled);
        }
    }

    #[test]
    fn inv28_a_number_takes_no_more_room_than_its_padding() {
        for source in ["1e308", "-1e308", "9.99e307", "1e-308", "5e-324", "1e131071", "1e-16383", "0.1e-16000"] {
            let spelled = written(|out| json(out, source).unwrap());
            assert!(spelled.len() <= source.len() + MAX_PADDING, "{source}: {spelled}");
            // Postgres reads it, and spells it with all its zeros.
            let padded = match source.parse::<f64>() {
                Ok(number) if number.is_normal() => format!("{number:.340}").trim_end_matches('0').to_owned(),
                _ => continue,
            };
            let read: f64 = spelled.parse().unwrap();
            assert_eq!(read, padded.parse::<f64>().unwrap(), "{source}");
        }
        let mut many = "[".to_owned() + &"1e308,".repeat(160_000);
        many.replace_range(many.len() - 1.., "]");
        let length = written(|out| json(out, &many).unwrap()).len();
        assert!(length <= many.len(), "{length} bytes for {}", many.len());
        let padded = format!("[1{}]", "0".repeat(308));
        assert_eq!(written(|out| json(out, &padded).unwrap()), "[1e308]", "as Postgres gives it back");
    }

    #[test]
    fn the_last_of_equal_keys_counts_and_keys_are_sorted() {
        for (source, form) in [
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (r#" { "b" : [ { } , [ ] ] , "\u0061" : "x,]}\"\\" } "#, r#"{"a":"x,]}\"\\","b":[{},[]]}"#),
            ("[ ]", "[]"),
            ("{\n}", "{}"),
            (r#"{"é":{"z":null,"y":true},"":false}"#, r#"{"":false,"é":{"y":true,"z":null}}"#),
            ("\t[1 ,\r2]\n", "[1,2]"),
        ] {
            assert_eq!(written(|out| json(out, source).unwrap()), form);
            assert_eq!(written(|out| json(out, form).unwrap()), form);
        }
        for broken in ["", " ", "[1", "[1]]", "{\"a\"}", "{\"a\":}", "01", "nul"] {
            assert_eq!(written(|out| json(out, broken).unwrap()), serde_json::to_string(broken).unwrap());
        }
    }

    #[test]
    fn inv31_what_is_deep_is_read_once() {
        // Once for each level would be a hundred times as much.
        let deep = |inner: &str, depth: usize| "{\"k\":[".repeat(depth) + inner + &"]}".repeat(depth);
        let much = format!("[{}0]", "1.50, ".repeat(100_000));
        let form = much.replace(' ', "");
        assert!(written(|out| json(out, &deep(&much, 50)).unwrap()) == deep(&form, 50));
        let deeper = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(written(|out| json(out, &deeper).unwrap()) == deeper);
        let inside = format!("{}{{\"b\": 1, \"a\": \"]\"}}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert_eq!(written(|out| json(out, &inside).unwrap()), inside, "as it came");
    }
}
