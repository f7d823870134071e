//! What a client may send: four kinds of text frame.

use serde::Deserialize;
use serde_json::{Map, Value};

/// One frame from a client.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Ping,
    Track { bucket: String, payload: Map<String, Value> },
    Untrack { bucket: String },
    Heartbeat { bucket: String },
}

#[derive(Deserialize)]
struct PresenceBody {
    bucket: String,
    payload: Option<Map<String, Value>>,
}

impl Frame {
    /// Reads a text frame; `None` when it is none of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "ping" {
            return Some(Self::Ping);
        }
        let (kind, body) = text.strip_prefix("presence:")?.split_once(':')?;
        let PresenceBody { bucket, payload } = serde_json::from_str(body).ok()?;
        match kind {
            "track" => Some(Self::Track { bucket, payload: payload.unwrap_or_default() }),
            "untrack" => Some(Self::Untrack { bucket }),
            "heartbeat" => Some(Self::Heartbeat { bucket }),
            _ => None,
        }
    }
}

/// The length of a payload as JSON.
pub(super) fn payload_bytes(payload: &Map<String, Value>) -> usize {
    serde_json::to_string(payload).map_or(usize::MAX, |text| text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn frames_of_ours() {
        let bucket = || "s1".to_owned();
        let payload = json!({"typing": true}).as_object().unwrap().clone();
        let table = [
            ("ping", Frame::Ping),
            (r#"presence:track:{"bucket":"s1"}"#, Frame::Track { bucket: bucket(), payload: Map::new() }),
            (r#"presence:track:{"bucket":"s1","payload":{"typing":true}}"#, Frame::Track { bucket: bucket(), payload }),
            (r#"presence:untrack:{"bucket":"s1"}"#, Frame::Untrack { bucket: bucket() }),
            (r#"presence:heartbeat:{"bucket":"s1"}"#, Frame::Heartbeat { bucket: bucket() }),
        ];
        for (text, frame) in table {
            assert_eq!(Frame::parse(text), Some(frame), "{text}");
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        for text in [
            "",
            "pong",
            "PING",
            "repull:s1",
            "presence:",
            "presence:track",
            "presence:track:",
            "presence:track:{}",
            "presence:track:[\"s1\"",
            r#"presence:track:{"bucket":1}"#,
            r#"presence:track:{"bucket":"s1","payload":[1]}"#,
            r#"presence:state:{"bucket":"s1"}"#,
        ] {
            assert_eq!(Frame::parse(text), None, "{text}");
        }
    }
}
