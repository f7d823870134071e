//! Buckets: the unit of visibility, a rule and one value for each of its parameters.

use crate::wire::Wire;
use std::fmt::Write;

/// A bucket: a rule and the values of its parameters as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// The rule's wire name.
    pub rule: String,
    /// One text for each parameter, in the rule's order.
    pub params: Vec<String>,
}

/// Stands before the rule's name in a membership's key; no rule's name begins so.
#[doc(hidden)]
pub const MEMBERSHIP: char = '@';

impl Bucket {
    /// A bucket of this rule.
    pub fn new(rule: impl Into<String>, params: Vec<String>) -> Self {
        Self { rule: rule.into(), params }
    }

    /// The key of those to whom a membership table gives a parameter's values: nobody's rows, but a place in the hub.
    #[doc(hidden)]
    pub fn membership(rule: &str, param: usize, claims: impl IntoIterator<Item = String>) -> Self {
        let params = std::iter::once(param.to_string()).chain(claims).collect();
        Self { rule: format!("{MEMBERSHIP}{rule}"), params }
    }

    /// Whether this is a membership's key.
    #[doc(hidden)]
    pub fn is_membership(&self) -> bool {
        self.rule.starts_with(MEMBERSHIP)
    }

    /// The name that wire 1 uses: the bare value; several values percent-encoded and joined with `/`.
    pub fn name(&self) -> String {
        match self.params.as_slice() {
            [] => "*".to_owned(),
            [only] => only.clone(),
            several => several.iter().map(|value| percent_encode(value)).collect::<Vec<_>>().join("/"),
        }
    }

    /// The name that a client of this wire reads.
    pub fn name_in(&self, wire: Wire) -> String {
        match wire {
            Wire::One => self.name(),
            Wire::Two => self.qualified(),
        }
    }

    /// The parameters as the store writes them: a JSON array of texts.
    pub fn key(&self) -> String {
        serde_json::to_string(&self.params).unwrap_or_else(|_| unreachable!("texts are JSON"))
    }

    /// The name that wire 2 uses: `rule:value`.
    pub fn qualified(&self) -> String {
        format!("{}:{}", self.rule, self.name())
    }
}

/// RFC 3986: everything but the unreserved characters.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => write!(out, "%{byte:02X}").unwrap_or_else(|_| unreachable!("a String takes every write")),
        }
    }
    out
}

/// RFC 3986: what was percent-encoded; a percent sign that begins no code stays.
#[doc(hidden)]
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_were_written() {
        for (text, wanted) in [
            ("a%2Fb", "a/b"),
            ("%C3%BC%", "ü%"),
            ("%ü", "%ü"),
            ("a%40b", "a@b"),
            ("%", "%"),
            ("%zz%2", "%zz%2"),
            ("%C3%BC", "ü"),
            ("ü%25", "ü%"),
        ] {
            assert_eq!(percent_decode(text), wanted);
        }
    }

    #[test]
    fn names() {
        let name = |params: &[&str]| Bucket::new("r", params.iter().map(|&p| p.to_owned()).collect()).name();
        assert_eq!(name(&[]), "*");
        assert_eq!(name(&["shop 1/2"]), "shop 1/2");
        assert_eq!(name(&["a/b", "ü"]), "a%2Fb/%C3%BC");
    }
}
