//! A device's WebSocket: read all the time, as a real one does, so that it answers pings; handed out frame by frame.

use crate::DEADLINE;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// What the server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text frame.
    Text(String),
    /// The end, with its code when there was one.
    Closed(Option<u16>),
}

impl Frame {
    /// A text frame.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// An open stream.
#[derive(Debug)]
pub struct Socket {
    sink: SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>,
    frames: mpsc::UnboundedReceiver<Frame>,
    reader: JoinHandle<()>,
    reason: Option<String>,
    reasons: mpsc::UnboundedReceiver<String>,
    /// The subprotocol that the server chose.
    pub protocol: Option<String>,
}

impl Socket {
    /// Opens `url?query`, with the token in the header when given.
    ///
    /// # Errors
    /// The status, when the server refuses the upgrade.
    ///
    /// # Panics
    /// When there is no answer at all.
    pub async fn open(url: &str, query: &str, token: Option<&str>) -> Result<Self, u16> {
        let header = token.map(|token| ("authorization", format!("Bearer {token}")));
        Self::open_with(url, query, header).await
    }

    /// The same, offering these subprotocols.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// # Panics
    /// As [`open`](Self::open).
    pub async fn open_as(url: &str, query: &str, protocols: &str) -> Result<Self, u16> {
        Self::open_with(url, query, Some(("sec-websocket-protocol", protocols.to_owned()))).await
    }

    async fn open_with(url: &str, query: &str, header: Option<(&'static str, String)>) -> Result<Self, u16> {
        let url = format!("{}?{query}", url.replacen("http://", "ws://", 1));
        let mut request = url.into_client_request().expect("a URL");
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse().expect("a header value"));
        }
        let (socket, response) = match tokio_tungstenite::connect_async(request).await {
            Ok(opened) => opened,
            Err(tungstenite::Error::Http(response)) => return Err(response.status().as_u16()),
            Err(error) => panic!("the stream neither opened nor was refused: {error}"),
        };
        let protocol = response.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok());
        let protocol = protocol.map(str::to_owned);
        let (sink, mut stream) = socket.split();
        let (told, frames) = mpsc::unbounded_channel();
        let (why, reasons) = mpsc::unbounded_channel();
        let reader = tokio::spawn(async move {
            loop {
                let frame = match stream.next().await {
                    Some(Ok(Message::Text(text))) => Frame::text(text.as_str()),
                    Some(Ok(Message::Close(frame))) => {
                        if let Some(frame) = &frame {
                            let _ = why.send(frame.reason.to_string());
                        }
                        Frame::Closed(frame.map(|frame| frame.code.into()))
                    }
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => Frame::Closed(None),
                };
                let is_end = matches!(frame, Frame::Closed(_));
                if told.send(frame).is_err() {
                    return;
                }
                if is_end {
                    // The close handshake ends with the stream.
                    while let Some(Ok(_)) = stream.next().await {}
                    return;
                }
            }
        });
        Ok(Self { sink, frames, reader, reason: None, reasons, protocol })
    }

    /// Sends a text frame.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send(&mut self, text: &str) {
        self.sink.send(Message::text(text)).await.expect("the socket is open");
    }

    /// Sends a binary frame.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.sink.send(Message::binary(bytes.to_vec())).await.expect("the socket is open");
    }

    /// Sends a text frame, unless the connection is gone; whether it went out.
    pub async fn try_send(&mut self, text: &str) -> bool {
        self.sink.send(Message::text(text)).await.is_ok()
    }

    /// Sends a binary frame, unless the connection is gone; whether it went out.
    pub async fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.sink.send(Message::binary(bytes.to_vec())).await.is_ok()
    }

    /// Sends a close frame, unless the connection is gone; whether it went out.
    pub async fn try_close(&mut self) -> bool {
        self.sink.send(Message::Close(None)).await.is_ok()
    }

    /// The next frame that is not presence's.
    ///
    /// # Panics
    /// When none comes until the deadline.
    pub async fn next(&mut self) -> Frame {
        loop {
            match self.any().await {
                Frame::Text(text) if text.starts_with("presence:") => {}
                frame => return frame,
            }
        }
    }

    /// The next frame, whatever it is.
    ///
    /// # Panics
    /// When none comes until the deadline.
    pub async fn any(&mut self) -> Frame {
        let frame = tokio::time::timeout(DEADLINE, self.frames.recv()).await.expect("a frame comes");
        // Only after the end there is nothing more to hear.
        frame.unwrap_or(Frame::Closed(None))
    }

    /// The next frame of presence: `state` or `diff`, and what it says.
    ///
    /// # Panics
    /// When something else comes, or nothing until the deadline.
    pub async fn presence(&mut self) -> (String, Value) {
        let frame = self.any().await;
        let Frame::Text(text) = &frame else { panic!("{frame:?}") };
        let said = text.strip_prefix("presence:").and_then(|rest| rest.split_once(':'));
        let (kind, body) = said.unwrap_or_else(|| panic!("{text}"));
        (kind.to_owned(), serde_json::from_str(body).expect("JSON"))
    }

    /// What the server's close frame said, after its end was read.
    pub fn reason(&mut self) -> Option<&str> {
        if let Ok(reason) = self.reasons.try_recv() {
            self.reason = Some(reason);
        }
        self.reason.as_deref()
    }

    /// Waits until the server has this socket among its listeners: it answers our `ping`.
    ///
    /// # Panics
    /// When it answers anything else.
    pub async fn ready(&mut self) {
        self.send("ping").await;
        assert_eq!(self.next().await, Frame::text("pong"));
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The connection goes with its two halves, as a device that is switched off.
        self.reader.abort();
    }
}
