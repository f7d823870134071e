//! A WebSocket of a few hundred bytes, for thousands at a time: the upgrade and frames as RFC 6455 has them, and nothing more.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// As many open files as this process may have; its children inherit that.
pub fn raise_file_limit() {
    // Where it cannot be had, opening files will say so.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
}

/// One open socket.
#[derive(Debug)]
pub struct RawSocket {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawFrame {
    /// A text frame.
    Text(String),
    /// A ping, which was answered.
    Ping,
    /// A close frame, with its code.
    Closed(u16),
}

impl RawSocket {
    /// Opens `/sync/stream` at `host:port`; the status, when it is refused.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn open(address: &str, token: &str) -> io::Result<Result<Self, u16>> {
        let mut stream = TcpStream::connect(address).await?;
        let upgrade = format!(
            "GET /sync/stream HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).await?;
        let mut socket = Self { stream, buffer: Vec::new() };
        let head = loop {
            if let Some(end) = socket.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break socket.buffer.drain(..end + 4).collect::<Vec<u8>>();
            }
            socket.more().await?;
        };
        let status = std::str::from_utf8(&head).ok().and_then(|head| head.get(9..12)?.parse().ok()).unwrap_or(0);
        Ok(if status == 101 { Ok(socket) } else { Err(status) })
    }

    /// The same, until its first presence state: then it hears all that is told.
    ///
    /// # Panics
    /// When it is refused, or the connection goes.
    pub async fn come(address: &str, token: &str) -> Self {
        let opened = Self::open(address, token).await.expect("an answer");
        let mut socket = opened.unwrap_or_else(|status| panic!("refused with {status}"));
        socket.text("presence:state:").await.expect("a state");
        socket
    }

    /// The next frame.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn next(&mut self) -> io::Result<RawFrame> {
        loop {
            if let Some((opcode, payload)) = self.frame() {
                match opcode {
                    1 => return Ok(RawFrame::Text(String::from_utf8_lossy(&payload).into_owned())),
                    8 => {
                        let code = payload.get(..2).map_or(0, |code| u16::from_be_bytes([code[0], code[1]]));
                        return Ok(RawFrame::Closed(code));
                    }
                    9 => {
                        self.send(10, &payload).await?;
                        return Ok(RawFrame::Ping);
                    }
                    _ => {}
                }
                continue;
            }
            self.more().await?;
        }
    }

    /// The next text that begins so.
    ///
    /// # Errors
    /// When the connection is gone, or closed.
    pub async fn text(&mut self, prefix: &str) -> io::Result<String> {
        loop {
            match self.next().await? {
                RawFrame::Text(text) if text.starts_with(prefix) => return Ok(text),
                RawFrame::Closed(code) => return Err(io::Error::other(format!("closed with {code}"))),
                RawFrame::Text(_) | RawFrame::Ping => {}
            }
        }
    }

    /// Sends a small text frame.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn say(&mut self, text: &str) -> io::Result<()> {
        self.send(1, text.as_bytes()).await
    }

    /// Sends these bytes as they are, whatever they say.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// A frame of fewer than 126 bytes, masked with zeros.
    async fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126).expect("a small frame");
        let frame = [&[0x80 | opcode, 0x80 | length, 0, 0, 0, 0], payload].concat();
        self.stream.write_all(&frame).await
    }

    /// Takes a whole frame off the buffer; a server's are not masked.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (head, length) = match *self.buffer.get(1)? & 0x7f {
            126 => (4, usize::from(u16::from_be_bytes(self.buffer.get(2..4)?.try_into().ok()?))),
            127 => (10, usize::try_from(u64::from_be_bytes(self.buffer.get(2..10)?.try_into().ok()?)).ok()?),
            short => (2, usize::from(short)),
        };
        let opcode = self.buffer[0] & 0x0f;
        let payload = self.buffer.get(head..head + length)?.to_vec();
        self.buffer.drain(..head + length);
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
        Some((opcode, payload))
    }

    async fn more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 2048];
        match self.stream.read(&mut bytes).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }
}
