//! HTTP by reqwest, the stream by tokio-tungstenite, TLS by rustls with ring.

use super::{BlobMethod, BlobRequest, Body, Frame, Frames, Request, Response, Transport};
use crate::session::{Failure, FailureKind};
use futures_util::{SinkExt as _, StreamExt as _};
use nizhal_core::__private::BoxFuture;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use std::sync::Arc;
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest as _};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

/// How long the server may be silent, before its answer and within it.
const SILENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(15);
/// The slowest network that a piece of a blob is waited for.
const MIN_BYTES_PER_MS: u64 = 8;

/// Why there is no way to a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address is none.
    #[error("`{0}` is no server's address: write one like https://example.com, without a query")]
    Url(String),
    /// The authority is none.
    #[error(
        "the authority holds no certificate that can be read: give it as PEM, from `-----BEGIN CERTIFICATE-----` on"
    )]
    Authority,
    /// The configuration of TLS does not fit.
    #[error("TLS cannot be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// One server.
#[derive(Clone)]
pub struct HttpTransport {
    base: String,
    http: reqwest::Client,
    tls: Arc<ClientConfig>,
}

impl HttpTransport {
    /// The server at this address, trusted by the web's usual authorities.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(base: &str) -> Result<Self, TransportError> {
        Self::trusting(base, web())
    }

    /// The same, and trusted too when an authority of one's own signed its certificate, as inside a company's network; `pem` holds the
    /// authority's certificates.
    ///
    /// ```
    /// # use nizhal_client::transport::{HttpTransport, TransportError};
    /// let wrong = HttpTransport::with_authority("https://ledger.internal", b"no certificate");
    /// assert!(matches!(wrong, Err(TransportError::Authority)));
    /// ```
    ///
    /// # Errors
    /// When the address is none, or `pem` holds no certificate.
    pub fn with_authority(base: &str, pem: &[u8]) -> Result<Self, TransportError> {
        let mut roots = web();
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| TransportError::Authority)?;
            roots.add(certificate).map_err(|_| TransportError::Authority)?;
            found = true;
        }
        if found { Self::trusting(base, roots) } else { Err(TransportError::Authority) }
    }

    fn trusting(base: &str, roots: RootCertStore) -> Result<Self, TransportError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TransportError::Tls(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self::with_tls(base, tls)
    }

    /// The same with another configuration of TLS: a certificate of the device's own, say.
    ///
    /// # Errors
    /// When the address is none.
    pub fn with_tls(base: &str, tls: ClientConfig) -> Result<Self, TransportError> {
        let wrong = || TransportError::Url(base.to_owned());
        let http = base.starts_with("http://") || base.starts_with("https://");
        let url: reqwest::Url = base.parse().map_err(|_| wrong())?;
        if !http || url.host_str().is_none() || url.query().is_some() {
            return Err(wrong());
        }
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls.clone()).connect_timeout(CONNECT);
        // An answer that is elsewhere is not our server's; a portal of a hotel redirects, too.
        let client = client.redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| TransportError::Tls(error.into()))?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http: client, tls: Arc::new(tls) })
    }
}

/// The web's usual authorities.
fn web() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// With all its causes: that a certificate is not trusted stands in the last.
fn network(error: impl std::error::Error) -> Failure {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    Failure::new(FailureKind::Network, "network", message)
}

fn silent<T>(_: T) -> Failure {
    Failure::new(FailureKind::Network, "timeout", "the server fell silent")
}

impl Transport for HttpTransport {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(async move {
            let accept = if request.lines { "application/x-ndjson, application/json" } else { "application/json" };
            let sending = self
                .http
                .post(format!("{}{}", self.base, request.path))
                .bearer_auth(&request.token)
                .header("content-type", "application/json")
                .header("accept", accept)
                .header("x-nizhal-wire", "2")
                .header("x-nizhal-contract-version", &request.contract_version)
                .body(request.body)
                .send();
            let response = timeout(SILENCE, sending).await.map_err(silent)?.map_err(network)?;
            Ok(answered(response))
        })
    }

    fn send_blob(&self, request: BlobRequest) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(async move {
            let url = if request.url.starts_with('/') { format!("{}{}", self.base, request.url) } else { request.url };
            let mut sending = match request.method {
                BlobMethod::Get => self.http.get(url),
                BlobMethod::Post => self.http.post(url).header("content-type", "application/json").body(request.body),
                BlobMethod::Put => self.http.put(url).body(request.body),
            };
            for (name, value) in &request.headers {
                sending = sending.header(name, value);
            }
            if let Some(caller) = &request.caller {
                sending = sending
                    .bearer_auth(&caller.token)
                    .header("x-nizhal-wire", "2")
                    .header("x-nizhal-contract-version", &caller.contract_version);
            }
            let patience = SILENCE + Duration::from_millis(request.bytes / MIN_BYTES_PER_MS);
            Ok(answered(timeout(patience, sending.send()).await.map_err(silent)?.map_err(network)?))
        })
    }

    fn fetch<'a>(&'a self, url: &'a str, from: u64) -> BoxFuture<'a, Result<Response, Failure>> {
        Box::pin(async move {
            let url = if url.starts_with('/') { format!("{}{url}", self.base) } else { url.to_owned() };
            let request = self.http.get(url);
            let request = if from > 0 { request.header("range", format!("bytes={from}-")) } else { request };
            let response = timeout(SILENCE, request.send()).await.map_err(silent)?.map_err(network)?;
            Ok(answered(response))
        })
    }

    fn open<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Box<dyn Frames>, Failure>> {
        Box::pin(async move {
            let url = format!("{}/sync/stream?wire=2", self.base.replacen("http", "ws", 1));
            let mut request = url.into_client_request().map_err(network)?;
            let value = format!("Bearer {token}").parse().map_err(network)?;
            request.headers_mut().insert("authorization", value);
            let connector = Connector::Rustls(self.tls.clone());
            let opening = tokio_tungstenite::connect_async_tls_with_config(request, None, false, Some(connector));
            match timeout(SILENCE, opening).await.map_err(silent)? {
                Ok((socket, _)) => Ok(Box::new(Socket(socket)) as Box<dyn Frames>),
                Err(tungstenite::Error::Http(response)) => {
                    let status = response.status().as_u16();
                    let kind = if status == 401 { FailureKind::Unauthorized } else { FailureKind::Refused };
                    Err(Failure::new(kind, format!("http_{status}"), "the server refused the stream"))
                }
                Err(error) => Err(network(error)),
            }
        })
    }
}

/// An answer whose body is still to be read.
fn answered(response: reqwest::Response) -> Response {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let seconds = header("retry-after").and_then(|value| value.parse::<i64>().ok());
    Response {
        status: response.status().as_u16(),
        retry_after_ms: seconds.map(|seconds| seconds.saturating_mul(1000)),
        lines: header("content-type").is_some_and(|kind| kind.starts_with("application/x-ndjson")),
        body: Box::new(HttpBody(response)),
    }
}

struct HttpBody(reqwest::Response);

impl Body for HttpBody {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, Failure>> {
        Box::pin(async move {
            let chunk = timeout(SILENCE, self.0.chunk()).await.map_err(silent)?.map_err(network)?;
            Ok(chunk.map(Into::into))
        })
    }
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Frames for Socket {
    fn next(&mut self) -> BoxFuture<'_, Frame> {
        Box::pin(async move {
            loop {
                return match self.0.next().await {
                    Some(Ok(Message::Text(text))) => Frame::Text(text.as_str().to_owned()),
                    Some(Ok(Message::Close(frame))) => Frame::Closed(frame.map(|frame| frame.code.into())),
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => Frame::Closed(None),
                };
            }
        })
    }

    fn send<'a>(&'a mut self, text: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            // A connection that takes nothing any more ends, and that is seen where frames are read.
            let _ = timeout(SILENCE, self.0.send(Message::text(text))).await;
        })
    }
}
