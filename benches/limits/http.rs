//! A client for the load that costs next to nothing: one connection, one request at a time, bodies as they come.

use std::fmt::Write as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    host: String,
    head: String,
    /// What was read and not yet taken.
    buffer: Vec<u8>,
    taken: usize,
}

impl Connection {
    /// To a server at `http://host:port`; `headers` go with each request, each line with its end.
    pub(crate) async fn open(url: &str, headers: &str) -> Self {
        let host = url.strip_prefix("http://").expect("a plain address").to_owned();
        let stream = TcpStream::connect(&host).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, host, head: headers.to_owned(), buffer: Vec::new(), taken: 0 }
    }

    /// Posts JSON, and gives the body of the answer.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Vec<u8> {
        let mut whole = Vec::new();
        self.send(path, body, |part| whole.extend_from_slice(part)).await;
        whole
    }

    /// The same, with the body handed on part by part.
    pub(crate) async fn send(&mut self, path: &str, body: &str, mut take: impl FnMut(&[u8])) {
        let mut request = String::with_capacity(body.len() + 512);
        let _ = write!(
            request,
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{}content-length: {}\r\n\r\n{body}",
            self.host,
            self.head,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("the server reads");
        let status = self.line().await;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line().await.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().expect("a length"),
                Some(("transfer-encoding", value)) => chunked = value == "chunked",
                _ => {}
            }
        }
        let mut failed = Vec::new();
        let ok = status.starts_with("HTTP/1.1 200");
        let mut part = |bytes: &[u8]| if ok { take(bytes) } else { failed.extend_from_slice(bytes) };
        if chunked {
            loop {
                let size = self.line().await;
                let size = usize::from_str_radix(&size, 16).expect("a chunk's size");
                self.body(size, &mut part).await;
                self.line().await;
                if size == 0 {
                    break;
                }
            }
        } else {
            self.body(length, &mut part).await;
        }
        assert!(ok, "{path}: {status}: {}", String::from_utf8_lossy(&failed));
    }

    async fn more(&mut self) {
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
        }
        self.buffer.reserve(64 * 1024);
        let read = self.stream.read_buf(&mut self.buffer).await.expect("the server writes");
        assert!(read > 0, "the server hung up");
    }

    async fn line(&mut self) -> String {
        loop {
            let rest = &self.buffer[self.taken..];
            if let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                self.taken += end + 2;
                return line;
            }
            self.more().await;
        }
    }

    async fn body(&mut self, mut left: usize, take: &mut impl FnMut(&[u8])) {
        while left > 0 {
            if self.taken == self.buffer.len() {
                self.more().await;
            }
            let rest = &self.buffer[self.taken..];
            let part = rest.len().min(left);
            take(&rest[..part]);
            self.taken += part;
            left -= part;
        }
    }
}
