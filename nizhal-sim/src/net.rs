//! What is on its way, and the device's end of it.

use crate::oracle::Rows;
use nizhal_client::session::{Failure, FailureKind};
use nizhal_client::store::PullStart;
use nizhal_client::transport::{BlobMethod, BlobRequest, Body, Frames, Request, Response, Transport};
use nizhal_core::__private::BoxFuture;
use nizhal_core::wire::MutationResult;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Notify, oneshot};

/// The path of a request for the file of an image.
pub(crate) const IMAGE: &str = "/image";

/// The path of a request about a blob.
pub(crate) const BLOB: &str = "/blob";

/// What a device does at a time: an exchange, and an upload beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Exchange,
    Upload,
}

/// A response of a server.
#[derive(Clone, Debug)]
pub(crate) struct ServerResponse {
    pub(crate) status: u16,
    pub(crate) retry_after_ms: Option<i64>,
    pub(crate) lines: bool,
    pub(crate) body: Vec<u8>,
    /// What the user might see at that moment; of pulls.
    pub(crate) truth: Option<Rc<Truth>>,
    /// Which of the server's histories it is of.
    pub(crate) era: u32,
    /// What the server failed at, by a fault of its own.
    pub(crate) cause: Option<String>,
    /// The kind of trouble that was in its way.
    pub(crate) took: Option<&'static str>,
}

/// What a user might see when a pull was answered.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) rows: Rows,
    /// Whether the rows have the column that the next version adds.
    pub(crate) grown: bool,
}

/// The load of a message.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    Request(Request),
    Response(Request, ServerResponse),
    Ping,
}

/// One message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) device: usize,
    pub(crate) lane: Lane,
    /// The exchange or upload that it belongs to; nobody waits when that is over.
    pub(crate) ticket: u64,
    pub(crate) load: Load,
}

/// A request, and where its answer goes.
type Posted = (Request, oneshot::Sender<Result<Response, Failure>>);

/// A device's end of the network.
#[derive(Default)]
pub(crate) struct Port {
    posted: Mutex<Option<Posted>>,
    pub(crate) post: Notify,
}

impl Port {
    /// What the device sent, and where its answer goes.
    pub(crate) fn take_request(&self) -> Option<Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

pub(crate) fn network(code: &str) -> Failure {
    Failure::new(FailureKind::Network, code, "the simulated network failed")
}

impl Transport for Port {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(async move {
            let (answer, waiting) = oneshot::channel();
            *self.posted.lock().unwrap_or_else(PoisonError::into_inner) = Some((request, answer));
            self.post.notify_one();
            waiting.await.unwrap_or_else(|_| Err(network("gone")))
        })
    }

    fn fetch<'a>(&'a self, url: &'a str, from: u64) -> BoxFuture<'a, Result<Response, Failure>> {
        let body = serde_json::json!({"url": url, "from": from}).to_string().into_bytes();
        let none = String::new();
        self.send(Request { path: IMAGE, token: none.clone(), contract_version: none, lines: false, body })
    }

    fn send_blob(&self, request: BlobRequest) -> BoxFuture<'_, Result<Response, Failure>> {
        let method = match request.method {
            BlobMethod::Get => "GET",
            BlobMethod::Post => "POST",
            BlobMethod::Put => "PUT",
        };
        let body = serde_json::json!({"method": method, "url": request.url, "body": request.body});
        let token = request.caller.map(|caller| caller.token).unwrap_or_default();
        let body = body.to_string().into_bytes();
        self.send(Request { path: BLOB, token, contract_version: String::new(), lines: false, body })
    }

    fn open<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Box<dyn Frames>, Failure>> {
        // The simulator itself is the stream.
        Box::pin(async { Err(network("stream")) })
    }
}

/// A body in pieces, cut after the last when it is.
pub(crate) struct Pieces {
    pub(crate) pieces: VecDeque<Vec<u8>>,
    pub(crate) cut: bool,
}

impl Body for Pieces {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, Failure>> {
        let next = self.pieces.pop_front();
        let cut = self.cut;
        Box::pin(async move {
            match next {
                Some(piece) => Ok(Some(piece)),
                None if cut => Err(network("cut")),
                None => Ok(None),
            }
        })
    }
}

impl ServerResponse {
    /// An answer of the network's own making.
    pub(crate) fn refusal(status: u16, code: &str, retry_after_ms: Option<i64>) -> Self {
        let body = serde_json::json!({"code": code, "error": code}).to_string().into_bytes();
        Self { retry_after_ms, ..Self::of(status, false, body) }
    }

    /// A server's, with no trouble in its way.
    pub(crate) fn of(status: u16, lines: bool, body: Vec<u8>) -> Self {
        Self { status, retry_after_ms: None, lines, body, truth: None, era: 0, cause: None, took: None }
    }

    /// As a device receives it, cut after so many bytes.
    pub(crate) fn response(&self, cut: Option<usize>) -> Response {
        let body = &self.body[..cut.unwrap_or(self.body.len()).min(self.body.len())];
        let pieces = body.chunks(200).map(<[u8]>::to_vec).collect();
        let body = Box::new(Pieces { pieces, cut: cut.is_some() });
        Response { status: self.status, retry_after_ms: self.retry_after_ms, lines: self.lines, body }
    }
}

/// What a push is answered.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Pushed {
    pub(crate) results: Vec<MutationResult>,
}

/// What a pull asked, out of its body.
pub(crate) fn pull_start(request: &Request) -> Option<PullStart> {
    let body: serde_json::Value = serde_json::from_slice(&request.body).ok()?;
    let text = |name: &str| body.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let names = body.get("buckets").and_then(|value| value.as_array());
    let buckets = names.map(|names| names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect());
    Some(PullStart { cursor: text("cursor")?, client_id: text("deviceId")?, seeds: Vec::new(), buckets })
}
