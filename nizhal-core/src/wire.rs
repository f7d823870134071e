//! The JSON of the wire, as `book/src/protocol.md` names it.

use crate::{
    Hlc,
    limits::{
        MAX_BUCKET_NAME_BYTES, MAX_CURSOR_BYTES, MAX_DEPENDS_ON, MAX_IDENTIFIER_BYTES, MAX_NAME_BYTES,
        MAX_NAMED_BUCKETS, MAX_SEEDS,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, ops::Deref};

/// Which form of the protocol a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// What existing clients speak.
    #[default]
    One,
    /// Results for each mutation, `complete` pages, streamed pulls, buckets named `rule:value`.
    Two,
}

impl Wire {
    /// The form that a client names; nothing means the first, and `None` that there is no such form.
    pub fn parse(named: Option<&str>) -> Option<Self> {
        match named {
            None | Some("1") => Some(Self::One),
            Some("2") => Some(Self::Two),
            Some(_) => None,
        }
    }
}

/// What became of one mutation, in wire 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MutationStatus {
    /// It ran now.
    Applied,
    /// It ran before.
    Duplicate,
    /// It never will run; its number is used up.
    Rejected,
    /// Something must come before it; nothing is used up.
    OutOfOrder,
    /// It is not this actor's to do.
    Forbidden,
    /// Something that it depends on was refused; its number is used up.
    Cancelled,
}

/// The answer to one mutation, in wire 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MutationResult {
    /// The mutation.
    pub client_mutation_id: String,
    /// What became of it.
    pub status: MutationStatus,
    /// Why it did not apply, for machines …
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// … and for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// The arg `clientId`, when the server gave another id …
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_id: Option<String>,
    /// … and that one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server_id: Option<String>,
    /// Where the client's sequence stands.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_mutation_id: Option<i64>,
    /// The columns that it did not get, though it applied: a later write is there.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lost: Vec<LostColumn>,
    /// Whether it is replayed and took effect later than it was made, since what came before it could not be run again any more.
    #[serde(skip_serializing_if = "is_false", default)]
    pub late: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A mutation that got another result than it was answered with, in a pull of wire 2: one that was made before it arrived after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisedMutation {
    /// The mutation.
    pub client_mutation_id: String,
    /// What became of it.
    pub status: MutationStatus,
    /// Why it does not apply any more, for machines …
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// … and for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

impl RevisedMutation {
    /// From its status and reason as they are stored.
    pub fn of(client_mutation_id: String, stored: &str, reason: Option<String>) -> Self {
        let (status, code) = match stored {
            "applied" => (MutationStatus::Applied, None),
            "forbidden" => (MutationStatus::Forbidden, Some(stored)),
            "cancelled" => (MutationStatus::Cancelled, Some(stored)),
            _ => (MutationStatus::Rejected, Some(stored)),
        };
        let code = code.map(str::to_owned);
        Self { client_mutation_id, status, error: reason.filter(|_| code.is_some()), code }
    }
}

/// A column that kept the value of a later write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostColumn {
    /// The table.
    pub table: String,
    /// The row's key as text.
    pub id: String,
    /// The column.
    pub column: String,
}

/// The body of `POST /sync/pull`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PullRequest {
    /// Where the client is; older clients send `0` or leave it out.
    pub cursor: CursorText,
    /// The device, for `lastMutationId`.
    #[serde(deserialize_with = "optional_identifier")]
    pub device_id: Option<String>,
    /// The most rows wanted in a page.
    pub limit: Option<i64>,
    /// Whether the client takes images, in wire 2.
    pub images: bool,
    /// The seals of the images that the client has already.
    #[serde(deserialize_with = "seals")]
    pub seeds: Vec<String>,
    /// Whether the client wants to know how many rows are to come, in wire 2.
    pub total: bool,
    /// The buckets on demand that the client wants, each as `rule:value`, in wire 2; a client that does not say gets all.
    #[serde(deserialize_with = "bucket_names")]
    pub buckets: Option<Vec<String>>,
}

/// An image that takes the place of a bucket's rows up to a version, in wire 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRef {
    /// The bucket, as `rule:value`.
    pub bucket: String,
    /// The version up to which it has the bucket's rows.
    pub version: i64,
    /// Where it is; none where the client has it.
    #[serde(flatten)]
    pub file: Option<ImageFile>,
}

/// The file of an image, a SQLite database that is compressed by gzip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Where it can be had for a while: a path of this server, or an address.
    pub url: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// How many rows are in it.
    pub rows: i64,
    /// The shape of its tables: a client lays it only in tables of the same shape.
    pub shape: String,
}

/// A cursor as sent: a text, a number, null or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CursorText(pub String);

impl<'de> Deserialize<'de> for CursorText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) if text == "0" => Self::default(),
            // No more of it is kept than it takes to be no cursor.
            serde_json::Value::String(text) if text.len() > MAX_CURSOR_BYTES => Self("too long".to_owned()),
            serde_json::Value::String(text) => Self(text),
            serde_json::Value::Null => Self::default(),
            serde_json::Value::Number(number) if number.as_f64() == Some(0.0) => Self::default(),
            // Anything else was never a cursor of ours: the server answers it with a reset.
            serde_json::Value::Number(number) => Self(number.to_string()),
            _ => Self("no text".to_owned()),
        })
    }
}

/// The body of `POST /sync/push`.
#[derive(Debug, Serialize, Deserialize)]
pub struct PushRequest {
    /// In the order they are to apply.
    pub mutations: Vec<Mutation>,
}

/// One mutation of a push.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mutation {
    /// The mutator's wire name.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Its arguments, as sent.
    #[serde(default = "empty_object")]
    pub args: Box<RawValue>,
    /// Names this mutation for ever: a second delivery answers as the first did.
    #[serde(deserialize_with = "identifier")]
    pub client_mutation_id: String,
    /// The client whose sequence this belongs to.
    #[serde(
        rename = "clientID",
        default,
        deserialize_with = "optional_identifier",
        skip_serializing_if = "Option::is_none"
    )]
    pub client_id: Option<String>,
    /// The place in that sequence, from 1.
    #[serde(rename = "mutationID", default, skip_serializing_if = "Option::is_none")]
    pub mutation_id: Option<i64>,
    /// The device's hybrid logical clock stamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hlc: Option<Hlc>,
    /// `clientMutationId`s without which this makes no sense; wire 1 ignores them.
    #[serde(default, skip_serializing_if = "DependsOn::is_none")]
    pub depends_on: DependsOn,
}

/// The `dependsOn` of a mutation: a list of `clientMutationId`s, or null.
///
/// Clients of wire 1 send other things too, a single id among them. Wire 1 ignores the field, so what is no list is kept as such
/// for wire 2 to refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependsOn {
    ids: Vec<String>,
    sent: Sent,
}

/// How it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    List,
    LongList,
    Other,
}

impl DependsOn {
    /// Whether it was sent as a list of texts, as null, or not at all.
    pub fn is_list(&self) -> bool {
        self.sent != Sent::Other
    }

    /// Whether it was sent as a list of more than [`MAX_DEPENDS_ON`]; none of them is kept then.
    pub fn is_too_long(&self) -> bool {
        self.sent == Sent::LongList
    }

    fn is_none(&self) -> bool {
        self.ids.is_empty()
    }
}

impl Default for DependsOn {
    fn default() -> Self {
        Self { ids: Vec::new(), sent: Sent::List }
    }
}

impl From<Vec<String>> for DependsOn {
    fn from(ids: Vec<String>) -> Self {
        Self { ids, sent: Sent::List }
    }
}

impl Deref for DependsOn {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.ids
    }
}

impl Serialize for DependsOn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.ids.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DependsOn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = serde_json::Value::deserialize(deserializer)?;
        Ok(match serde_json::from_value::<Option<Vec<String>>>(sent).map(Option::unwrap_or_default) {
            Ok(ids) if ids.len() > MAX_DEPENDS_ON => Self { ids: Vec::new(), sent: Sent::LongList },
            Ok(ids) => Self { ids, sent: Sent::List },
            Err(_) => Self { ids: Vec::new(), sent: Sent::Other },
        })
    }
}

fn empty_object() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| unreachable!("{{}} is JSON"))
}

/// The seals of images: not endlessly many, nor long.
fn seals<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    use serde::de::Error;
    let seals = Vec::<String>::deserialize(deserializer)?;
    if seals.len() > MAX_SEEDS || seals.iter().any(|seal| seal.len() > MAX_CURSOR_BYTES) {
        return Err(D::Error::custom(format!(
            "there are at most {MAX_SEEDS} seeds, of at most {MAX_CURSOR_BYTES} bytes each"
        )));
    }
    Ok(seals)
}

/// The names of buckets: not endlessly many, nor long.
fn bucket_names<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    use serde::de::Error;
    let names = Option::<Vec<String>>::deserialize(deserializer)?;
    let is_long = |names: &Vec<String>| {
        names.len() > MAX_NAMED_BUCKETS || names.iter().any(|name| name.len() > MAX_BUCKET_NAME_BYTES)
    };
    if names.as_ref().is_some_and(is_long) {
        return Err(D::Error::custom(format!(
            "there are at most {MAX_NAMED_BUCKETS} buckets, with names of at most {MAX_BUCKET_NAME_BYTES} bytes each"
        )));
    }
    Ok(names)
}

/// A mutator's name: any text that is no longer than names are, without U+0000, which Postgres cannot keep.
fn name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    use serde::de::Error;
    let text = String::deserialize(deserializer)?;
    if text.len() > MAX_NAME_BYTES || text.contains('\0') {
        return Err(D::Error::custom(format!("a mutator's name has at most {MAX_NAME_BYTES} bytes and no U+0000")));
    }
    Ok(text)
}

/// An identifier that a client chose: neither empty nor endless, and without U+0000, which Postgres cannot keep.
fn identifier<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    use serde::de::Error;
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || text.len() > MAX_IDENTIFIER_BYTES || text.contains('\0') {
        return Err(D::Error::custom(format!("an identifier has 1 to {MAX_IDENTIFIER_BYTES} bytes and no U+0000")));
    }
    Ok(text)
}

fn optional_identifier<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Identifier(#[serde(deserialize_with = "identifier")] String);
    Ok(Option::<Identifier>::deserialize(deserializer)?.map(|identifier| identifier.0))
}

/// The rows of one table, unread.
#[derive(Debug, Deserialize)]
pub struct Batch<'a> {
    /// The table.
    #[serde(borrow)]
    pub table: Cow<'a, str>,
    /// Its rows, a JSON array.
    #[serde(borrow)]
    pub rows: &'a RawValue,
}

/// A tombstone: a row that was deleted, or left the actor's scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gone {
    /// The table.
    pub table: String,
    /// The key as text.
    pub id: String,
    /// The row's `client_id`, where it differs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv32_identifiers_are_checked_at_the_door() {
        let push = |id: &str, client: &str| {
            let id = serde_json::to_string(id).unwrap();
            serde_json::from_str::<Mutation>(&format!(
                r#"{{"name": "n", "clientMutationId": {id}, "clientID": {client}}}"#
            ))
        };
        assert_eq!(push("m", "null").unwrap().client_id, None);
        assert_eq!(push("m", r#""c""#).unwrap().client_id.as_deref(), Some("c"));
        assert!(push("", "null").is_err());
        assert!(push("a\0", "null").is_err());
        assert!(push("m", r#""\u0000""#).is_err());
        assert!(push(&"m".repeat(1025), "null").is_err());
        assert_eq!(serde_json::from_str::<PullRequest>("{}").unwrap().device_id, None);
        assert!(serde_json::from_str::<PullRequest>(r#"{"deviceId": ""}"#).is_err());
    }

    #[test]
    fn every_optional_field_may_be_null() {
        let text = r#"{"name": "n", "clientMutationId": "m", "clientID": null, "mutationID": null, "hlc": null, "dependsOn": null}"#;
        assert!(serde_json::from_str::<Mutation>(text).unwrap().depends_on.is_empty());
    }

    #[test]
    fn inv32_what_a_mutation_depends_on_is_a_list() {
        let sent = |depends_on: &str| {
            let text = format!(r#"{{"name": "n", "clientMutationId": "m", "dependsOn": {depends_on}}}"#);
            serde_json::from_str::<Mutation>(&text).unwrap().depends_on
        };
        assert_eq!(sent(r#"["a", "b"]"#), DependsOn::from(vec!["a".to_owned(), "b".to_owned()]));
        for list in ["[]", "null"] {
            assert_eq!(sent(list), DependsOn::default());
        }
        for other in [r#""a""#, "7", "[1]", r#"{"a": 1}"#] {
            assert!(!sent(other).is_list() && sent(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn inv32_names_and_lists_and_cursors_have_an_end() {
        let sent = |name: &str, depends_on: usize| {
            let ids = vec!["a"; depends_on];
            let text = serde_json::json!({"name": name, "clientMutationId": "m", "dependsOn": ids}).to_string();
            serde_json::from_str::<Mutation>(&text)
        };
        assert!(sent(&"n".repeat(MAX_NAME_BYTES), 0).is_ok());
        assert!(sent(&"n".repeat(MAX_NAME_BYTES + 1), 0).is_err());
        assert!(sent("n\0", 0).is_err());
        assert_eq!(sent("n", MAX_DEPENDS_ON).unwrap().depends_on.len(), MAX_DEPENDS_ON);
        let long = sent("n", MAX_DEPENDS_ON + 1).unwrap().depends_on;
        assert!(long.is_too_long() && long.is_list() && long.is_empty());
        let cursor = |length: usize| {
            let text = serde_json::json!({"cursor": "x".repeat(length)}).to_string();
            serde_json::from_str::<PullRequest>(&text).unwrap().cursor.0.len()
        };
        assert_eq!(cursor(MAX_CURSOR_BYTES), MAX_CURSOR_BYTES);
        assert!(cursor(MAX_CURSOR_BYTES + 1) < 10);
    }

    #[test]
    fn inv32_a_timestamp_is_one_or_is_refused() {
        let sent = |hlc: &str| {
            serde_json::from_str::<Mutation>(&format!(r#"{{"name": "n", "clientMutationId": "m", "hlc": {hlc}}}"#))
        };
        let short = sent(r#""2026-11-21T02:00:00.000Z-0000-0123456789abcdef""#).unwrap().hlc.unwrap();
        assert_eq!(short.to_string(), "2026-11-21T02:00:00.000Z-0000-00000000000000000123456789abcdef");
        for other in [r#""""#, r#""now""#, "7", r#""2026-11-21T02:00:00.000Z-0000-0123456789abcde""#] {
            assert!(sent(other).is_err(), "{other}");
        }
    }

    #[test]
    fn inv32_seeds_have_an_end() {
        let sent = |count: usize, length: usize| {
            let text = serde_json::json!({"images": true, "seeds": vec!["x".repeat(length); count]}).to_string();
            serde_json::from_str::<PullRequest>(&text)
        };
        assert_eq!(sent(MAX_SEEDS, MAX_CURSOR_BYTES).unwrap().seeds.len(), MAX_SEEDS);
        assert!(sent(MAX_SEEDS + 1, 1).is_err() && sent(1, MAX_CURSOR_BYTES + 1).is_err());
    }

    #[test]
    fn an_image_that_the_client_has_names_no_file() {
        let (url, sha256, shape) = ("/x".to_owned(), "ab".to_owned(), "s".to_owned());
        let file = ImageFile { url, size: 3, sha256, rows: 2, shape };
        let image = |file| ImageRef { bucket: "r:a".to_owned(), version: 7, file };
        let text = |image: &ImageRef| serde_json::to_string(image).unwrap();
        assert_eq!(text(&image(None)), r#"{"bucket":"r:a","version":7}"#);
        for image in [image(None), image(Some(file))] {
            assert_eq!(serde_json::from_str::<ImageRef>(&text(&image)).unwrap(), image);
        }
    }

    #[test]
    fn wires_are_one_and_two() {
        assert_eq!([None, Some("1"), Some("2")].map(Wire::parse), [Some(Wire::One), Some(Wire::One), Some(Wire::Two)]);
        for other in ["", "0", "3", "02", "2.0", " 2", "two"] {
            assert_eq!(Wire::parse(Some(other)), None, "{other:?}");
        }
    }

    #[test]
    fn older_clients_begin_with_zero_or_nothing() {
        for body in [r#"{"cursor": ""}"#, r#"{"cursor": 0}"#, r#"{"cursor": "0"}"#, r#"{"cursor": null}"#, "{}"] {
            assert_eq!(serde_json::from_str::<PullRequest>(body).unwrap().cursor, CursorText::default(), "{body}");
        }
        assert_ne!(serde_json::from_str::<PullRequest>(r#"{"cursor": 7}"#).unwrap().cursor, CursorText::default());
    }
}
