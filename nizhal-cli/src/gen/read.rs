//! Where a contract comes from: a file, standard input, or a server that runs.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a server may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no contract.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The file, or the connection.
    Io(String, std::io::Error),
    /// The server answered with another status.
    Status(String, String),
    /// Not JSON.
    Json(String, serde_json::Error),
    /// JSON, but no contract.
    NotAContract(String),
    /// No TLS in here.
    Https(String),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(from, error) => write!(out, "cannot read {from}: {error}"),
            Self::Status(from, status) => {
                write!(out, "{from} answered `{status}`; a Nizhal server has its contract at /nizhal/contract")
            }
            Self::Json(from, error) => write!(out, "{from} is no JSON: {error}"),
            Self::NotAContract(from) => {
                write!(out, "{from} has no `x-nizhal` part; `<app> contract` writes one that has")
            }
            Self::Https(from) => {
                write!(out, "{from} needs TLS: pipe it in with `curl -s {from} | nizhal gen ts --from -`")
            }
        }
    }
}

impl std::error::Error for ReadError {}

/// Reads a contract from a file, from a server's URL, or from standard input when `from` is `-`.
///
/// # Errors
/// [`ReadError`] with what to do about it.
pub(crate) fn read(from: &str) -> Result<Value, ReadError> {
    let io = |error| ReadError::Io(from.to_owned(), error);
    let text = if from == "-" {
        std::io::read_to_string(std::io::stdin()).map_err(io)?
    } else if let Some(rest) = from.strip_prefix("http://") {
        fetch(from, rest)?
    } else if from.starts_with("https://") {
        return Err(ReadError::Https(from.to_owned()));
    } else {
        std::fs::read_to_string(from).map_err(io)?
    };
    let contract: Value = serde_json::from_str(&text).map_err(|error| ReadError::Json(from.to_owned(), error))?;
    if contract["x-nizhal"]["tables"].is_object() {
        Ok(contract)
    } else {
        Err(ReadError::NotAContract(from.to_owned()))
    }
}

/// One GET by HTTP/1.0, whose answer ends with the connection: a server under development is the only one that is asked so.
fn fetch(from: &str, rest: &str) -> Result<String, ReadError> {
    let io = |error| ReadError::Io(from.to_owned(), error);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.len() > 1 { path } else { "/nizhal/contract" };
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = TcpStream::connect(address).map_err(io)?;
    stream.set_read_timeout(Some(READ_TIMEOUT)).map_err(io)?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {host}\r\naccept: application/json\r\n\r\n").map_err(io)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(io)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        Ok(body.to_owned())
    } else {
        Err(ReadError::Status(from.to_owned(), status.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers one request, and says what it was.
    fn server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                asked.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap().lines().next().unwrap_or_default().to_owned()
        });
        (at, asked)
    }

    #[test]
    fn a_server_is_asked_for_its_contract() {
        let (at, asked) = server("HTTP/1.1 200 OK\r\n\r\n{\"x-nizhal\": {\"tables\": {}}}");
        assert!(read(&at).unwrap()["x-nizhal"]["tables"].is_object());
        assert_eq!(asked.join().unwrap(), "GET /nizhal/contract HTTP/1.0");
        let (at, asked) = server("HTTP/1.1 404 Not Found\r\n\r\n");
        assert!(read(&format!("{at}/elsewhere")).unwrap_err().to_string().contains("404 Not Found"));
        assert_eq!(asked.join().unwrap(), "GET /elsewhere HTTP/1.0");
    }

    #[test]
    fn what_is_no_contract_is_refused_with_what_to_do() {
        let said = |from: &str| read(from).unwrap_err().to_string();
        assert!(said("https://example.com").contains("curl -s https://example.com | nizhal gen ts --from -"));
        assert!(said("/nowhere/at/all").starts_with("cannot read /nowhere/at/all"));
        let file = std::env::temp_dir().join(format!("nizhal-contract-{}", std::process::id()));
        for (text, wanted) in [("{}", "no `x-nizhal` part"), ("<html>", "is no JSON")] {
            std::fs::write(&file, text).unwrap();
            assert!(said(file.to_str().unwrap()).contains(wanted));
        }
        std::fs::remove_file(file).unwrap();
    }
}
