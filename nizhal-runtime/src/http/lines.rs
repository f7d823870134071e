//! `POST /sync/pull` as `application/x-ndjson`: the engine's lines, handed on one by one.

use super::{
    admission::{Admitted, PacedLines},
    error::HttpError,
    gzip::Packer,
};
use crate::{
    engine::{Line, LineReader, PullError},
    http::Server,
    observe::PullEvent,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY},
    rt,
    web::Bytes,
};
use futures_util::{Stream, stream};
use nizhal_core::{Principal, wire::PullRequest};
use std::time::{Duration, Instant};
use tokio::{sync::mpsc, time::timeout};

const NDJSON: &str = "application/x-ndjson";
/// Lines that are ready while one is being sent.
const MAX_LINES_READY: usize = 1;

/// Where a pull's lines go, and how long one may wait for the reader.
#[derive(Clone, Debug)]
pub struct Lines {
    to: mpsc::Sender<Result<Line, PullError>>,
    read_timeout: Duration,
}

impl Lines {
    /// Lines for the reader of this channel, which should be short: what is in it is in memory.
    pub fn new(to: mpsc::Sender<Result<Line, PullError>>, read_timeout: Duration) -> Self {
        Self { to, read_timeout }
    }
}

impl LineReader for Lines {
    fn read_timeout_s(&self) -> u64 {
        self.read_timeout.as_secs()
    }

    async fn send(&self, line: Result<Line, PullError>) -> Result<(), PullError> {
        let sending = timeout(self.read_timeout, self.to.send(line)).await;
        sending.map_err(|_| PullError::SlowReader)?.map_err(|_| PullError::ReaderGone)
    }
}

/// Whether the client asks for lines.
pub(super) fn wants_lines(request: &HttpRequest) -> bool {
    let accepted = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|range| range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(NDJSON))
}

/// Streams a pull; what fails before the first line is an answer like any other.
pub(super) async fn answer(
    server: Server,
    principal: Principal,
    wanted: PullRequest,
    (gzip, admitted): (bool, Admitted),
    begun: Instant,
) -> Result<HttpResponse, HttpError> {
    // A stream holds a database connection for as long as its reader takes: some must be left for everybody else.
    let streams = server.admission().streams();
    let permit = streams.permit(principal.key()).await?;
    let (to, mut from) = mpsc::channel(MAX_LINES_READY);
    let engine = server.engine().clone();
    let progress =
        StreamProgress { actor: principal.key().to_owned(), device: wanted.device_id.clone(), begun, bytes: 0 };
    let lines = PacedLines::new(to, streams);
    rt::spawn(async move {
        engine.pull_lines(&principal, &wanted, &lines).await;
        drop((permit, admitted));
    });
    let first = from.recv().await.ok_or(HttpError::Panicked)??;
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, NDJSON)).insert_header((CACHE_CONTROL, "no-store"));
    // Said here, so that a compressing middleware leaves it alone: it would hold lines back until it has a block's worth.
    response.insert_header((CONTENT_ENCODING, if gzip { "gzip" } else { "identity" }));
    response.insert_header((VARY, "accept-encoding"));
    Ok(response.streaming(stream_lines(server, progress, Packer::new(gzip), first, from)))
}

/// The progress of a stream, which observers get when it ends.
struct StreamProgress {
    actor: String,
    device: Option<String>,
    begun: Instant,
    bytes: usize,
}

/// The bytes; a stream that ends without its last line ends with an error, so that the connection is seen to break.
fn stream_lines(
    server: Server,
    progress: StreamProgress,
    packer: Packer,
    first: Line,
    from: mpsc::Receiver<Result<Line, PullError>>,
) -> impl Stream<Item = Result<Bytes, PullError>> {
    let start = Some((Some(first), from, progress, packer));
    stream::unfold(start, move |state| {
        let server = server.clone();
        async move {
            let (first, mut from, mut progress, mut packer) = state?;
            let line = match first {
                Some(line) => Ok(line),
                None => from.recv().await.unwrap_or(Err(PullError::SlowReader)),
            };
            Some(match line {
                Ok(Line::Rows(line)) => {
                    progress.bytes += line.len();
                    (Ok(packer.pack(line, false)), Some((None, from, progress, packer)))
                }
                Ok(Line::Last { line, reset, rows }) => {
                    server.pulled(&PullEvent {
                        actor: &progress.actor,
                        device: progress.device.as_deref(),
                        rows,
                        bytes: progress.bytes + line.len(),
                        reset,
                        streamed: true,
                        duration: progress.begun.elapsed(),
                    });
                    (Ok(packer.pack(line, true)), None)
                }
                Err(error) => (Err(error), None),
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use actix_web::test::TestRequest;
    use flate2::write::GzDecoder;
    use futures_util::StreamExt;
    use std::io::Write;

    #[test]
    fn who_asks_for_lines() {
        let asks = |value: &str| wants_lines(&TestRequest::default().insert_header((ACCEPT, value)).to_http_request());
        for yes in ["application/x-ndjson", "Application/X-NDJSON;q=1", "application/json, application/x-ndjson"] {
            assert!(asks(yes), "{yes}");
        }
        for no in ["application/json", "*/*", "application/x-ndjsonp", ""] {
            assert!(!asks(no), "{no}");
        }
        assert!(!wants_lines(&TestRequest::default().to_http_request()));
    }

    #[actix_web::test]
    async fn inv05_a_stream_without_its_last_line_ends_in_an_error() {
        let server = testing::server(testing::app(&testing::clock())).await;
        let (to, from) = mpsc::channel(1);
        let progress = || StreamProgress { actor: String::new(), device: None, begun: Instant::now(), bytes: 0 };
        let rows = |text: &str| Line::Rows(text.as_bytes().to_vec());
        to.send(Ok(rows("2"))).await.unwrap();
        drop(to);
        let plain = || Packer::new(false);
        let sent: Vec<_> = stream_lines(server.clone(), progress(), plain(), rows("1"), from).collect().await;
        assert!(matches!(&sent[..], [Ok(_), Ok(_), Err(PullError::SlowReader)]), "{sent:?}");
        let (_, from) = mpsc::channel(1);
        let last = Line::Last { line: b"{}".to_vec(), reset: false, rows: 1 };
        let sent: Vec<_> = stream_lines(server, progress(), plain(), last, from).collect().await;
        assert!(matches!(&sent[..], [Ok(_)]), "{sent:?}");
    }

    #[actix_web::test]
    async fn a_compressed_line_can_be_read_before_the_next_one_is_there() {
        let server = testing::server(testing::app(&testing::clock())).await;
        let (to, from) = mpsc::channel(1);
        let progress = StreamProgress { actor: String::new(), device: None, begun: Instant::now(), bytes: 0 };
        let lines: Vec<String> = (0..3).map(|index| format!("{index}{}\n", "rice and dal ".repeat(20_000))).collect();
        let rows = |index: usize| Line::Rows(lines[index].clone().into_bytes());
        let mut sent = Box::pin(stream_lines(server, progress, Packer::new(true), rows(0), from));
        let mut reader = GzDecoder::new(Vec::new());
        let mut packed = 0;
        for index in 0..3 {
            let part = sent.next().await.unwrap().unwrap();
            packed += part.len();
            reader.write_all(&part).unwrap();
            // Whoever reads has it all, but for what the reader itself holds back until it is asked.
            reader.flush().unwrap();
            assert_eq!(reader.get_ref().len(), lines[..=index].iter().map(String::len).sum::<usize>(), "line {index}");
            let next = match index {
                0 => rows(1),
                1 => Line::Last { line: lines[2].clone().into_bytes(), reset: false, rows: 1 },
                _ => break,
            };
            to.send(Ok(next)).await.unwrap();
        }
        assert!(sent.next().await.is_none());
        assert_eq!(reader.finish().unwrap(), lines.concat().into_bytes());
        assert!(packed < 20_000, "{packed} bytes for three lines");
    }
}
