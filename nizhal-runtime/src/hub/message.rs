//! The messages between servers, as text, in pieces where one is too large.

use nizhal_core::{Bucket, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::HashMap, fmt::Write};

/// Another version is another server's business.
const VERSION: u8 = 1;
/// The most bytes of one message that came in pieces.
const MAX_ASSEMBLED_BYTES: usize = 64 * 1024 * 1024;

/// One message.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    v: u8,
    /// The server that says it; each run has an id of its own.
    pub(crate) from: Uuid,
    pub(crate) body: MessageBody,
}

/// The body of a message.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MessageBody {
    /// Somebody wrote here.
    Wrote(Vec<(String, Vec<String>)>),
    /// Somebody wrote, and it is not known where: all should pull.
    Something,
    /// Presence changed; the first of these is number `first`.
    Changes { first: u64, changes: Vec<Change> },
    /// All who are present at the sender's, as it is after change number `at`.
    State { at: u64, present: Vec<Change> },
    /// The sender lives; its last change was number `at`.
    Beat { at: u64 },
    /// The sender has just come, or come back: it knows nobody's presence.
    Hello,
    /// The sender lacks something of this server's presence.
    Want { of: Uuid },
    /// The sender goes.
    Bye,
}

/// One connection's presence in one bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    #[serde(rename = "b")]
    pub(crate) bucket: (String, Vec<String>),
    #[serde(rename = "c")]
    pub(crate) connection: u64,
    /// The user and what is shown; nothing when the connection left.
    #[serde(rename = "e")]
    pub(crate) entry: Option<(String, Value)>,
}

pub(crate) fn of(bucket: &Bucket) -> (String, Vec<String>) {
    (bucket.rule.clone(), bucket.params.clone())
}

pub(crate) fn bucket((rule, params): (String, Vec<String>)) -> Bucket {
    Bucket { rule, params }
}

/// The texts to send for these bodies: each within `max_message_bytes`, a longer one in pieces.
pub(crate) fn write(from: Uuid, bodies: Vec<MessageBody>, max_message_bytes: usize, pieces: &mut u64) -> Vec<String> {
    let mut texts = Vec::new();
    for body in bodies {
        let text = serde_json::to_string(&Message { v: VERSION, from, body });
        let text = text.unwrap_or_else(|_| unreachable!("texts and JSON values are JSON"));
        if text.len() <= max_message_bytes {
            texts.push(text);
            continue;
        }
        *pieces += 1;
        split(&text, from, *pieces, max_message_bytes, &mut texts);
    }
    texts
}

/// `#<from>/<message>/<piece>/<pieces>#…`
fn split(text: &str, from: Uuid, number: u64, max_message_bytes: usize, texts: &mut Vec<String>) {
    const HEAD: usize = 100;
    let size = max_message_bytes.saturating_sub(HEAD).max(HEAD);
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = size.min(rest.len());
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    for (index, part) in parts.iter().enumerate() {
        let mut piece = String::with_capacity(HEAD + part.len());
        write!(piece, "#{from}/{number}/{index}/{}#{part}", parts.len())
            .unwrap_or_else(|_| unreachable!("a String takes every write"));
        texts.push(piece);
    }
}

/// Splits buckets so that each body fits into `max_message_bytes`, where one bucket does.
pub(crate) fn wrote(buckets: impl IntoIterator<Item = Bucket>, max_message_bytes: usize) -> Vec<MessageBody> {
    chunks(buckets.into_iter().map(|bucket| (bucket.rule, bucket.params)), max_message_bytes)
        .map(MessageBody::Wrote)
        .collect()
}

/// Splits changes likewise.
pub(crate) fn changes(first: u64, changes: Vec<Change>, max_message_bytes: usize) -> Vec<MessageBody> {
    let mut next = first;
    let numbered = |changes: Vec<Change>| {
        let first = next;
        next += changes.len() as u64;
        MessageBody::Changes { first, changes }
    };
    chunks(changes.into_iter(), max_message_bytes).map(numbered).collect()
}

fn chunks<T: Serialize>(items: impl Iterator<Item = T>, max_message_bytes: usize) -> impl Iterator<Item = Vec<T>> {
    const HEAD: usize = 150;
    let mut items = items.peekable();
    std::iter::from_fn(move || {
        items.peek()?;
        let (mut chunk, mut left) = (Vec::new(), max_message_bytes.saturating_sub(HEAD));
        while let Some(item) = items.peek() {
            let size = serde_json::to_string(item).map_or(0, |text| text.len() + 1);
            if !chunk.is_empty() && size > left {
                break;
            }
            left = left.saturating_sub(size);
            chunk.extend(items.next());
        }
        Some(chunk)
    })
}

/// Puts pieces together; those of one sender come in order.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    halves: HashMap<Uuid, Half>,
}

#[derive(Debug)]
struct Half {
    number: u64,
    pieces: usize,
    text: String,
}

impl Reader {
    /// The message, when this text is one or ends one. What does not read is nothing to us: another version's, or garbage.
    pub(crate) fn read(&mut self, text: &str) -> Option<Message> {
        let whole = match text.strip_prefix('#') {
            Some(piece) => self.piece(piece)?,
            None => text.to_owned(),
        };
        serde_json::from_str::<Message>(&whole).ok().filter(|message| message.v == VERSION)
    }

    fn piece(&mut self, piece: &str) -> Option<String> {
        let (head, part) = piece.split_once('#')?;
        let mut head = head.split('/');
        let from: Uuid = head.next()?.parse().ok()?;
        let number: u64 = head.next()?.parse().ok()?;
        let (index, of): (usize, usize) = (head.next()?.parse().ok()?, head.next()?.parse().ok()?);
        if index == 0 {
            self.halves.insert(from, Half { number, pieces: 0, text: String::new() });
        }
        let half = self.halves.get_mut(&from)?;
        if half.number != number || half.pieces != index || half.text.len() + part.len() > MAX_ASSEMBLED_BYTES {
            self.halves.remove(&from);
            return None;
        }
        half.text.push_str(part);
        half.pieces += 1;
        if half.pieces < of {
            return None;
        }
        self.halves.remove(&from).map(|half| half.text)
    }

    /// Forgets what a server left unfinished.
    pub(crate) fn forget(&mut self, from: Uuid) {
        self.halves.remove(&from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn change(length: usize) -> Change {
        let shown = json!({"presence_ref": "r", "text": "ü".repeat(length)});
        Change {
            bucket: ("shops".to_owned(), vec!["1".to_owned()]),
            connection: 7,
            entry: Some(("u".to_owned(), shown)),
        }
    }

    #[test]
    fn what_is_written_is_read_whatever_its_size() {
        let from = Uuid::from_u128(5);
        let bodies = || {
            let mut bodies = wrote((0..500).map(|n| Bucket::new("shops", vec![n.to_string()])), 1000);
            bodies.extend(changes(9, vec![change(3), change(5_000), change(1)], 1000));
            bodies.extend([
                MessageBody::State { at: 12, present: vec![change(700); 20] },
                MessageBody::Hello,
                MessageBody::Bye,
            ]);
            bodies
        };
        let texts = write(from, bodies(), 1000, &mut 0);
        assert!(texts.len() > 30 && texts.iter().all(|text| text.len() <= 1000));
        let mut reader = Reader::default();
        let read: Vec<MessageBody> =
            texts.iter().filter_map(|text| reader.read(text)).map(|message| message.body).collect();
        assert_eq!(read, bodies());
        assert!(reader.halves.is_empty());
        assert!(matches!(
            &read[..],
            [
                ..,
                MessageBody::Changes { first: 11, .. },
                MessageBody::State { .. },
                MessageBody::Hello,
                MessageBody::Bye
            ]
        ));
    }

    #[test]
    fn a_lost_piece_loses_its_message_alone() {
        let texts = write(
            Uuid::nil(),
            vec![MessageBody::Changes { first: 1, changes: vec![change(900)] }, MessageBody::Hello],
            500,
            &mut 0,
        );
        for lost in 0..texts.len() - 1 {
            let mut reader = Reader::default();
            let kept = texts.iter().enumerate().filter(|(index, _)| *index != lost);
            let read: Vec<Message> = kept.filter_map(|(_, text)| reader.read(text)).collect();
            assert_eq!(read.len(), 1, "{lost}");
            assert_eq!(read[0].body, MessageBody::Hello);
        }
    }

    #[test]
    fn inv32_what_does_not_read_is_nothing() {
        let mut reader = Reader::default();
        let other = r#"{"v":2,"from":"00000000-0000-0000-0000-000000000000","body":"hello"}"#;
        for text in ["", "#", "##", "#a/b/c/d#e", "{}", "null", other, "#00000000-0000-0000-0000-000000000000/1/7/9#x"]
        {
            assert_eq!(reader.read(text), None, "{text}");
        }
    }
}
