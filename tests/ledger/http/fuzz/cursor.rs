//! Cursors: whatever is no cursor of ours is answered with a reset, and never with a fault.

use super::try_all;
use crate::fixture::{customers, two_shops};
use nizhal_tests::{App, both};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

both![inv32_no_cursor_breaks_a_pull];

/// What is sent in a cursor's place.
#[derive(Clone, Debug)]
enum Sent {
    Any(Value),
    /// A good one, spoilt.
    Spoilt(Spoil, Index, u8),
}

#[derive(Clone, Copy, Debug)]
enum Spoil {
    Replace,
    Insert,
    Cut,
    /// The whole of it, but for a bit of what it encodes.
    Flip,
}

fn sent() -> impl Strategy<Value = Sent> {
    let text = prop_oneof![".{0,40}", "[A-Za-z0-9_-]{0,300}", "[A-Za-z0-9+/=]{8000,9000}", "\\PC{1,60}"];
    let json = prop_oneof![
        text.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        Just(json!({"v": 1})),
        Just(json!([[], {}])),
        any::<bool>().prop_map(Value::from),
    ];
    let spoil = prop_oneof![Just(Spoil::Replace), Just(Spoil::Insert), Just(Spoil::Cut), Just(Spoil::Flip)];
    prop_oneof![
        json.prop_map(Sent::Any),
        (spoil, any::<Index>(), any::<u8>()).prop_map(|(spoil, at, byte)| Sent::Spoilt(spoil, at, byte)),
    ]
}

fn spoilt(good: &str, spoil: Spoil, at: Index, byte: u8) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let letter = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ \n"[usize::from(byte) % 69];
    let mut bytes = good.as_bytes().to_vec();
    let at = at.index(bytes.len());
    match spoil {
        Spoil::Replace => bytes[at] = letter,
        Spoil::Insert => bytes.insert(at, letter),
        Spoil::Cut => bytes.truncate(at),
        Spoil::Flip => {
            let mut inside = URL_SAFE_NO_PAD.decode(good).expect("cursors are base64");
            let at = at % inside.len();
            inside[at] ^= 1 << (byte % 8);
            return URL_SAFE_NO_PAD.encode(inside);
        }
    }
    String::from_utf8(bytes).expect("letters")
}

async fn inv32_no_cursor_breaks_a_pull(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 3).await;
    let mut device = app.device("d", "ana", "s1");
    device.pull().await;
    let good = device.cursor.clone();
    try_all(300, &(sent(), any::<Option<i64>>(), any::<bool>()), async |(sent, limit, two)| {
        let cursor = match sent {
            Sent::Any(value) => value,
            Sent::Spoilt(spoil, at, byte) => Value::from(spoilt(&good, spoil, at, byte)),
        };
        let is_first = matches!(&cursor, Value::String(text) if text.is_empty() || text == "0")
            || cursor.as_f64() == Some(0.0)
            || cursor.is_null();
        let is_good = cursor == good.as_str();
        let request = app.request(reqwest::Method::POST, "/sync/pull").bearer_auth(&device.token);
        let request = request.header("x-nizhal-wire", if two { "2" } else { "1" });
        let body = json!({"cursor": cursor, "limit": limit}).to_string();
        let reply = nizhal_tests::Reply::of(request.body(body)).await;
        prop_assert_eq!(reply.status, 200, "{}", reply.text);
        let page = reply.json();
        prop_assert_eq!(page["cursorReset"] == true, !is_first && !is_good, "{}", cursor);
        prop_assert_eq!(page["changed"].as_array().map(Vec::is_empty), Some(is_good));
        Ok(())
    });
}
