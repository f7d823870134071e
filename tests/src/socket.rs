//! A device's WebSocket: what comes is read frame by frame.

use crate::DEADLINE;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
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
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens `url?query`, with the token in the header when given.
    ///
    /// # Errors
    /// The status, when the server refuses the upgrade.
    ///
    /// # Panics
    /// When there is no answer at all.
    pub async fn open(url: &str, query: &str, token: Option<&str>) -> Result<Self, u16> {
        let url = format!("{}?{query}", url.replacen("http://", "ws://", 1));
        let mut request = url.into_client_request().expect("a URL");
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("a header value");
            request.headers_mut().insert("authorization", value);
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("the stream neither opened nor was refused: {error}"),
        }
    }

    /// Sends a text frame.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("the socket is open");
    }

    /// Sends a binary frame.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.send(Message::binary(bytes.to_vec())).await.expect("the socket is open");
    }

    /// Sends a text frame, unless the connection is gone; whether it went out.
    pub async fn try_send(&mut self, text: &str) -> bool {
        self.0.send(Message::text(text)).await.is_ok()
    }

    /// Sends a binary frame, unless the connection is gone; whether it went out.
    pub async fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.0.send(Message::binary(bytes.to_vec())).await.is_ok()
    }

    /// Sends a close frame, unless the connection is gone; whether it went out.
    pub async fn try_close(&mut self) -> bool {
        self.0.close(None).await.is_ok()
    }

    /// The next frame that is not presence's.
    ///
    /// # Panics
    /// When none comes until the deadline.
    pub async fn next(&mut self) -> Frame {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.0.next()).await.expect("a frame comes");
            match message {
                Some(Ok(Message::Text(text))) if text.starts_with("presence:") => {}
                Some(Ok(Message::Text(text))) => return Frame::text(text.as_str()),
                Some(Ok(Message::Close(frame))) => return Frame::Closed(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Frame::Closed(None),
            }
        }
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
