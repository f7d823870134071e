//! The way to a server: requests and a stream of frames, as traits with one real implementation.

mod abort;
mod http;

pub(crate) use abort::{Abortable, Given, unless};
pub use http::{HttpTransport, TransportError};
/// The TLS that [`HttpTransport::with_tls`] is configured in.
pub use rustls;

use crate::exchange::Caller;
use crate::session::{Failure, FailureKind};
use nizhal_core::__private::BoxFuture;

/// A `POST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `/sync/pull` or `/sync/push`.
    pub path: &'static str,
    /// The bearer token.
    pub token: String,
    /// The contract that the app was built for.
    pub contract_version: String,
    /// Whether to ask for lines.
    pub lines: bool,
    /// JSON.
    pub body: Vec<u8>,
}

/// How a request about a blob is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobMethod {
    /// Asks for something.
    Get,
    /// Begins or ends an upload.
    Post,
    /// Sends bytes.
    Put,
}

/// A request about a blob: to the server, or to where it said that bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRequest {
    /// How.
    pub method: BlobMethod,
    /// A path of the server's, which begins with `/`; else a URL.
    pub url: String,
    /// The caller, where the server is asked; what a signed URL names takes no token.
    pub caller: Option<Caller>,
    /// Headers that the signed URL demands.
    pub headers: Vec<(String, String)>,
    /// JSON, or a piece of a blob.
    pub body: Vec<u8>,
    /// How many bytes go or come beside the rest, for the time that this may take.
    pub bytes: u64,
}

/// An answer whose body is still to be read.
pub struct Response {
    /// The status.
    pub status: u16,
    /// What the server asks to wait.
    pub retry_after_ms: Option<i64>,
    /// Whether the body is lines.
    pub lines: bool,
    /// The body.
    pub body: Box<dyn Body>,
}

/// A body, piece by piece.
pub trait Body: Send {
    /// The next piece; `None` at its end. A body that was cut fails.
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, Failure>>;
}

/// A whole body.
impl Body for Option<Vec<u8>> {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, Failure>> {
        let all = self.take();
        Box::pin(async move { Ok(all) })
    }
}

/// What came on the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text.
    Text(String),
    /// The end, with its code when there was one.
    Closed(Option<u16>),
}

/// An open stream. Dropping it closes it.
pub trait Frames: Send {
    /// The next frame. Dropping the future loses none.
    fn next(&mut self) -> BoxFuture<'_, Frame>;
    /// Sends a text; what goes wrong shows as the end of frames.
    fn send<'a>(&'a mut self, text: &'a str) -> BoxFuture<'a, ()>;
}

/// A server within reach, or out of it.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request in wire 2.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>>;
    /// Sends a request about a blob. A transport without it has no blobs: they wait.
    fn send_blob(&self, request: BlobRequest) -> BoxFuture<'_, Result<Response, Failure>> {
        let text = format!("this transport carries no blobs: implement `send_blob` for {}", request.url);
        Box::pin(async { Err(Failure::new(FailureKind::Refused, "no_blobs", text)) })
    }
    /// Reads a file from this byte on: one of this server where the URL begins with `/`, and one of another place otherwise. Without
    /// the token: the URL itself is the permission. A transport without it has no images: their rows come as lines.
    fn fetch<'a>(&'a self, url: &'a str, from: u64) -> BoxFuture<'a, Result<Response, Failure>> {
        let text = format!("this transport fetches no files: implement `fetch` for {url} from byte {from} on");
        Box::pin(async { Err(Failure::new(FailureKind::Refused, "no_files", text)) })
    }
    /// Opens the stream of pings in wire 2.
    fn open<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Box<dyn Frames>, Failure>>;
}
