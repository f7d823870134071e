//! The cursor: the client's memory of what it holds, opaque on the wire.
//!
//! It carries the epoch, the incarnation of the database, each rule's fingerprint, and *lanes*: sets of buckets that were read up to the
//! same place. The first lane is the main one; a bucket that is gained gets a lane of its own at the beginning of time, and lanes that
//! arrive at the same place become one. The server keeps nothing per device, so no lost answer can falsify it. It is sealed for its actor
//! with the database's secret (`cursor/seal.rs`), because a cursor from the future makes the server mint a new epoch, and nobody may forge
//! that; and because versions and places tell of what others write.
//!
//! Decision: book/src/decisions/pulling.md#the-cursor-holds-lanes

mod seal;

use crate::store::{Position, Tie};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use nizhal_core::Bucket;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The longest cursor that a client must take, in bytes.
pub(crate) const MAX_BYTES: usize = nizhal_core::limits::MAX_CURSOR_BYTES;
/// The longest number in a cursor of the TypeScript system: a `bigint`.
const MAX_FOREIGN_DIGITS: usize = 19;
const FORMAT: u8 = 3;
/// The bytes of the signature that a cursor of before ends with.
const SIGNATURE_BYTES: usize = 16;

/// The state that a client holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The database's epoch that the versions belong to.
    pub(crate) epoch: String,
    /// The rules under which it was made: by name, what tells their contents.
    pub(crate) rules: BTreeMap<String, String>,
    /// The incarnation of the database in which it was made.
    pub(crate) incarnation: String,
    /// The WAL position in that incarnation.
    pub(crate) wal_lsn: i64,
    /// Whether the answer that it came with ended before its snapshot did.
    pub(crate) is_partial: bool,
    /// At least one.
    pub(crate) lanes: Vec<Lane>,
}

/// Buckets read up to one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    /// Read up to here.
    pub(crate) position: Position,
    /// Tombstones at or below this version tell of rows that the client never got.
    pub(crate) floor: i64,
    /// The buckets.
    pub(crate) buckets: Vec<Bucket>,
}

impl Lane {
    /// A lane that has everything yet to read; `clock` is the version from which deletes matter to it.
    pub(crate) fn fresh(buckets: Vec<Bucket>, clock: i64) -> Self {
        Self { position: Position::default(), floor: clock, buckets }
    }

    /// Whether nothing up to the horizon is left to read.
    pub(crate) fn is_done(&self, horizon: i64) -> bool {
        self.position.version >= horizon && self.position.tie.is_none()
    }

    /// The version up to which this lane needs no tombstone.
    pub(crate) fn needs_tombstones_after(&self) -> i64 {
        self.position.done().max(self.floor)
    }
}

/// A cursor as it is written: the bucket lists apart, because they may be kept by the server under their hash.
#[derive(Serialize, Deserialize)]
struct Written {
    v: u8,
    e: String,
    r: BTreeMap<String, String>,
    n: String,
    w: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    m: bool,
    l: Vec<WrittenLane>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    s: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct WrittenLane {
    p: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    t: Option<(usize, Vec<String>)>,
    f: i64,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    b: Vec<(String, Vec<String>)>,
}

/// A cursor just read: whole, or with its buckets kept elsewhere.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// All is here.
    Whole(Cursor),
    /// The bucket lists are in the set of this id.
    Elsewhere(Cursor, String),
}

impl Decoded {
    /// How far each lane was read; the buckets may be elsewhere.
    pub(crate) fn lanes(&self) -> &[Lane] {
        match self {
            Self::Whole(cursor) | Self::Elsewhere(cursor, _) => &cursor.lanes,
        }
    }
}

/// A set of bucket lists too long for a cursor, to be kept under the hash of its content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spilled {
    /// The hash.
    pub(crate) id: String,
    /// The lists as JSON.
    pub(crate) buckets: String,
}

impl Cursor {
    /// Whether it knows of versions that this clock has not drawn.
    pub(crate) fn is_ahead_of(&self, clock: i64) -> bool {
        self.lanes.iter().any(|lane| lane.position.version.max(lane.floor) > clock)
    }

    /// The text for the wire, for this actor alone, and what the server must keep for it to be readable.
    pub(crate) fn encode(&self, secret: &str, actor: &str) -> (String, Option<Spilled>) {
        let text = self.written((secret, actor), true, None);
        if text.len() <= MAX_BYTES {
            return (text, None);
        }
        let lists: Vec<_> = self.lanes.iter().map(|lane| pairs(&lane.buckets)).collect();
        let buckets = serde_json::to_string(&lists).unwrap_or_else(|_| unreachable!("texts are JSON"));
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(buckets.as_bytes()));
        (self.written((secret, actor), false, Some(id.clone())), Some(Spilled { id, buckets }))
    }

    fn written(&self, (secret, actor): (&str, &str), inline: bool, set: Option<String>) -> String {
        let lane = |lane: &Lane| WrittenLane {
            p: lane.position.version,
            t: lane.position.tie.as_ref().map(|tie| (tie.slot, tie.key.clone())),
            f: lane.floor,
            b: if inline { pairs(&lane.buckets) } else { Vec::new() },
        };
        let lanes = self.lanes.iter().map(lane).collect();
        let Self { epoch, rules, incarnation, wal_lsn, is_partial, .. } = self;
        let written = Written {
            v: FORMAT,
            e: epoch.clone(),
            r: rules.clone(),
            n: incarnation.clone(),
            w: *wal_lsn,
            m: *is_partial,
            l: lanes,
            s: set,
        };
        let bytes = serde_json::to_vec(&written).unwrap_or_else(|_| unreachable!("numbers and texts are JSON"));
        URL_SAFE_NO_PAD.encode(seal::seal(secret, actor, &bytes))
    }

    /// Reads a cursor of this actor's; `None` for anything that [`encode`](Self::encode) did not write. One of before is signed, and was
    /// anybody's; it is read, lest every device start again.
    pub(crate) fn decode(text: &str, secret: &str, actor: &str) -> Option<Decoded> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let json =
            if seal::is_sealed(&bytes) { seal::open(secret, actor, &bytes)? } else { signed(secret, &bytes)?.to_vec() };
        let written: Written = serde_json::from_slice(&json).ok()?;
        if written.v != FORMAT || written.l.is_empty() {
            return None;
        }
        let mut lanes = Vec::with_capacity(written.l.len());
        for lane in written.l {
            if lane.p < 0 || lane.f < 0 {
                return None;
            }
            let tie = lane.t.map(|(slot, key)| Tie { slot, key });
            lanes.push(Lane { position: Position { version: lane.p, tie }, floor: lane.f, buckets: buckets(lane.b) });
        }
        let Written { e: epoch, r: rules, n: incarnation, w: wal_lsn, m: is_partial, .. } = written;
        let cursor = Self { epoch, rules, incarnation, wal_lsn, is_partial, lanes };
        Some(match written.s {
            None => Decoded::Whole(cursor),
            Some(id) => Decoded::Elsewhere(cursor, id),
        })
    }

    /// Whether this is a cursor of the TypeScript system, base64 of a number, and so tells of another system's rows.
    pub(crate) fn is_foreign(text: &str) -> bool {
        let number = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).unwrap_or_default();
        !number.is_empty() && number.len() <= MAX_FOREIGN_DIGITS && number.iter().all(u8::is_ascii_digit)
    }

    /// Puts back the bucket lists that were kept elsewhere.
    pub(crate) fn with_buckets(mut self, lists: &str) -> Option<Self> {
        let lists: Vec<Vec<(String, Vec<String>)>> = serde_json::from_str(lists).ok()?;
        if lists.len() != self.lanes.len() {
            return None;
        }
        for (lane, list) in self.lanes.iter_mut().zip(lists) {
            lane.buckets = buckets(list);
        }
        Some(self)
    }
}

/// What was signed, without the signature.
fn signed<'a>(secret: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (bytes, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE_BYTES)?)?;
    signer(secret, bytes).verify_truncated_left(signature).ok()?;
    Some(bytes)
}

/// HMAC-SHA-256 (RFC 2104) over the cursor's bytes.
fn signer(secret: &str, bytes: &[u8]) -> Hmac<Sha256> {
    let mut hmac = seal::mac(secret.as_bytes());
    hmac.update(bytes);
    hmac
}

fn pairs(buckets: &[Bucket]) -> Vec<(String, Vec<String>)> {
    buckets.iter().map(|bucket| (bucket.rule.clone(), bucket.params.clone())).collect()
}

fn buckets(pairs: Vec<(String, Vec<String>)>) -> Vec<Bucket> {
    pairs.into_iter().map(|(rule, params)| Bucket { rule, params }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(buckets: usize) -> Cursor {
        let buckets =
            (0..buckets).map(|n| Bucket::new("myShops", vec![format!("3f2b8c1e-0000-4000-8000-{n:012}")])).collect();
        let tie = Some(Tie { slot: 1, key: vec!["k".to_owned()] });
        Cursor {
            epoch: "e".into(),
            rules: [("myShops".to_owned(), "r".to_owned())].into(),
            incarnation: "l".into(),
            wal_lsn: 9,
            is_partial: true,
            lanes: vec![Lane { position: Position { version: 7, tie }, floor: 3, buckets }],
        }
    }

    #[test]
    fn a_cursor_is_read_back() {
        let (text, spilled) = cursor(3).encode("k", "ana");
        assert_eq!(spilled, None);
        let Some(Decoded::Whole(read)) = Cursor::decode(&text, "k", "ana") else { panic!() };
        assert_eq!(read, cursor(3));
    }

    #[test]
    fn inv10_a_forged_cursor_is_no_cursor() {
        let (text, _) = cursor(1).encode("another database's", "ana");
        assert!(Cursor::decode(&text, "k", "ana").is_none());
    }

    #[test]
    fn a_signed_cursor_of_before_is_read() {
        let json = br#"{"v":3,"e":"e","r":{"myShops":"r"},"n":"l","w":9,"l":[{"p":7,"f":3,"b":[["myShops",["s1"]]]}]}"#;
        let signature = signer("k", json).finalize().into_bytes();
        let text = URL_SAFE_NO_PAD.encode([&json[..], &signature[..SIGNATURE_BYTES]].concat());
        let Some(Decoded::Whole(read)) = Cursor::decode(&text, "k", "ana") else { panic!() };
        assert_eq!((read.wal_lsn, read.lanes[0].buckets.len()), (9, 1));
        assert!(Cursor::decode(&text, "another", "ana").is_none());
    }

    #[test]
    fn inv19_anothers_cursor_is_no_cursor() {
        let (text, _) = cursor(1).encode("k", "ana");
        assert!(Cursor::decode(&text, "k", "ben").is_none());
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"myShops"));
    }

    #[test]
    fn a_foreign_cursor_is_base64_of_a_number() {
        for text in ["Mw", "Mw==", "MA==", "MTIzNDU2", "OTIyMzM3MjAzNjg1NDc3NTgwNw=="] {
            assert!(Cursor::is_foreign(text), "{text}");
        }
        for text in
            ["", "3", "=", "bnVsbA", "LTM=", "My41", "OTIyMzM3MjAzNjg1NDc3NTgwNzE=", &cursor(1).encode("k", "ana").0]
        {
            assert!(!Cursor::is_foreign(text), "{text}");
        }
    }

    #[test]
    fn many_buckets_are_kept_under_their_hash() {
        for count in [500, 50_000] {
            let (text, spilled) = cursor(count).encode("k", "ana");
            let spilled = spilled.unwrap();
            assert!(text.len() <= MAX_BYTES, "{}", text.len());
            let Some(Decoded::Elsewhere(read, id)) = Cursor::decode(&text, "k", "ana") else { panic!() };
            assert_eq!(id, spilled.id);
            assert_eq!(read.with_buckets(&spilled.buckets), Some(cursor(count)));
        }
    }

    #[test]
    fn inv32_rubbish_is_no_cursor() {
        for text in ["x", "0", "{}", "bnVsbA", "e30", "🦀", "eyJ2IjoxLCJlIjoiIiwiciI6IiIsImwiOltdfQ"] {
            assert!(Cursor::decode(text, "k", "ana").is_none(), "{text}");
        }
        let (whole, _) = cursor(2).encode("k", "ana");
        for end in 0..whole.len() {
            assert!(Cursor::decode(&whole[..end], "k", "ana").is_none());
        }
    }
}
