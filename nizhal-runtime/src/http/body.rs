//! Request bodies: read within the limit, then JSON, then the right shape; each step with its own answer.

use super::{error::HttpError, pace::Pace};
use crate::share::Share;
use actix_web::{
    HttpRequest,
    http::header,
    web::{BytesMut, Payload},
};
use futures_util::StreamExt;
use serde::{Deserialize, de::DeserializeOwned, de::IgnoredAny};
use std::time::Duration;
use tokio::time::Instant;

/// How much of a refused body is read and dropped, so that its sender reads the answer instead of a reset.
const DRAIN_BYTES: usize = 8 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// The limits of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most bytes.
    pub(crate) bytes: usize,
    /// How long it may keep the server waiting.
    pub(crate) pace: Pace,
}

/// Reads the body.
///
/// Its bytes are counted to this share: all that it announces before any of it is read, or each part as it comes. A server that
/// has stopped waits no longer.
pub(crate) async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    (limits, stopped): (Limits, impl Future<Output = ()>),
    share: &mut Share,
) -> Result<BytesMut, HttpError> {
    tokio::select! {
        body = read_within(request, payload, limits, share) => body,
        () = stopped => Err(HttpError::Stopping),
    }
}

async fn read_within(
    request: &HttpRequest,
    payload: &mut Payload,
    limits: Limits,
    share: &mut Share,
) -> Result<BytesMut, HttpError> {
    let Limits { bytes: limit, pace } = limits;
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let declared: Option<usize> = declared.and_then(|value| value.parse().ok());
    if declared.is_some_and(|length| length > limit) {
        drain(payload).await;
        return Err(HttpError::TooLarge { limit });
    }
    share.try_grow(declared.unwrap_or(0) as u64)?;
    let mut body = BytesMut::with_capacity(declared.unwrap_or(0));
    let begun = Instant::now();
    loop {
        let next = tokio::time::timeout_at(pace.deadline(begun, body.len()), payload.next()).await;
        let Some(chunk) = next.map_err(|_| HttpError::BodyTooSlow)? else { break };
        let chunk = chunk.map_err(|_| HttpError::BadRequest("the body ended early".to_owned()))?;
        if body.len() + chunk.len() > limit {
            drain(payload).await;
            return Err(HttpError::TooLarge { limit });
        }
        if declared.is_none() {
            share.try_grow(chunk.len() as u64)?;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads what comes for a while and drops it.
pub(super) async fn drain(payload: &mut Payload) {
    let mut left = DRAIN_BYTES;
    let reading = async {
        while let Some(Ok(chunk)) = payload.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    };
    // Whether it ended in time or not, the answer is the same.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

/// The body as `T`; nothing at all counts as `{}`.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, HttpError> {
    let text = std::str::from_utf8(body).map_err(|_| HttpError::BadJson)?.trim();
    let text = if text.is_empty() { "{}" } else { text };
    let mut whole = serde_json::Deserializer::from_str(text);
    IgnoredAny::deserialize(&mut whole).and_then(|_| whole.end()).map_err(|_| HttpError::BadJson)?;
    if !text.starts_with('{') {
        return Err(HttpError::BadRequest("the body must be a JSON object".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| {
        let error = error.to_string();
        let sentence = error.rfind(" at line ").map_or(error.as_str(), |end| &error[..end]);
        HttpError::BadRequest(format!("the body does not fit: {sentence}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::{ShareLimits, Shares};
    use actix_web::{FromRequest, test::TestRequest};
    use nizhal_core::wire::{PullRequest, PushRequest};

    fn share() -> Share {
        Shares::new(ShareLimits { per_actor: 1 << 20, all: 1 << 20 }).nothing("ana")
    }

    fn pace(grace_ms: u64) -> Pace {
        Pace { grace: Duration::from_millis(grace_ms), bytes_per_second: 1024 }
    }

    async fn read_with(body: &'static [u8], declared: Option<&str>, limit: usize) -> Result<BytesMut, HttpError> {
        let mut request = TestRequest::post().set_payload(body);
        if let Some(length) = declared {
            request = request.insert_header((header::CONTENT_LENGTH, length));
        }
        let (request, mut payload) = request.to_http_parts();
        let mut payload = Payload::from_request(&request, &mut payload).await.unwrap();
        read_within(&request, &mut payload, Limits { bytes: limit, pace: pace(60_000) }, &mut share()).await
    }

    #[actix_web::test]
    async fn inv28_a_body_that_stops_or_trickles_is_given_up() {
        let limits = Limits { bytes: 1 << 20, pace: pace(100) };
        // Nothing at all, and a byte now and then, for ever.
        for bytes in [0, 1] {
            let chunks = futures_util::stream::unfold((), move |()| async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Some((Ok::<_, actix_web::error::PayloadError>(actix_web::web::Bytes::from(vec![b'x'; bytes])), ()))
            });
            let (request, _) = TestRequest::post().to_http_parts();
            let mut payload = actix_web::dev::Payload::from(chunks.boxed_local());
            let mut payload = Payload::from_request(&request, &mut payload).await.unwrap();
            assert!(
                matches!(read_within(&request, &mut payload, limits, &mut share()).await, Err(HttpError::BodyTooSlow)),
                "{bytes}"
            );
        }
    }

    #[actix_web::test]
    async fn the_limit_holds_with_and_without_a_declared_length() {
        assert_eq!(read_with(b"0123456789", None, 10).await.unwrap(), &b"0123456789"[..]);
        assert!(matches!(read_with(b"0123456789a", None, 10).await, Err(HttpError::TooLarge { limit: 10 })));
        assert!(matches!(read_with(b"", Some("11"), 10).await, Err(HttpError::TooLarge { limit: 10 })));
        assert!(read_with(b"", Some("garbage"), 10).await.unwrap().is_empty());
    }

    #[test]
    fn an_empty_body_is_an_empty_object() {
        for body in ["", "  \n", "{}"] {
            assert_eq!(parse::<PullRequest>(body.as_bytes()).unwrap().cursor.0, "");
        }
    }

    #[test]
    fn what_is_not_json() {
        for body in [&b"{"[..], b"hello", b"{\"cursor\": tru}", b"{}{}", b"{\"limit\": \"x\", ", b"{\"a\": \"\xff\"}"] {
            assert!(matches!(parse::<PullRequest>(body), Err(HttpError::BadJson)), "{body:?}");
        }
    }

    #[test]
    fn json_of_the_wrong_shape_says_what_is_wrong() {
        for body in ["[]", "null", "7", "\"x\"", "{\"limit\": \"x\"}", "{\"deviceId\": []}"] {
            let error = parse::<PullRequest>(body.as_bytes()).unwrap_err();
            assert!(matches!(error, HttpError::BadRequest(_)), "{body}");
        }
        let error = parse::<PushRequest>(b"").unwrap_err().to_string();
        assert_eq!(error, "the body does not fit: missing field `mutations`");
    }

    #[test]
    fn unknown_fields_are_ignored() {
        assert!(parse::<PullRequest>(br#"{"cursor": 0, "syncRule": "x", "more": [1]}"#).is_ok());
    }
}
