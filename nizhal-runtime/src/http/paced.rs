//! A connection that must take what it is sent, at least at its pace; below the codecs, so that all that is sent counts.

use super::pace::Pace;
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::{Instant, Sleep, sleep, sleep_until},
};

/// How long what waits to be sent may still take once the server stops.
const STOP_TIME: Duration = Duration::from_secs(5);

/// A connection whose peer is given up when it takes too long to read.
pub(super) struct Paced {
    stream: TcpStream,
    pace: Pace,
    stopping: watch::Receiver<bool>,
    /// Since the peer's buffers are full.
    full: Option<Full>,
}

/// A peer that must read before more can be sent.
struct Full {
    since: Instant,
    moved: usize,
    late: Pin<Box<Sleep>>,
    stopped: Pin<Box<dyn Future<Output = ()>>>,
}

impl Paced {
    pub(super) fn new(stream: TcpStream, pace: Pace, stopping: watch::Receiver<bool>) -> Self {
        Self { stream, pace, stopping, full: None }
    }

    /// The peer's side of it.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Pending, unless the peer is late.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let pace = self.pace;
        let full = self.full.get_or_insert_with(|| {
            let (since, mut stopping) = (Instant::now(), self.stopping.clone());
            let stopped = Box::pin(async move {
                match stopping.wait_for(|stopping| *stopping).await.is_ok() {
                    true => sleep(STOP_TIME).await,
                    false => std::future::pending().await,
                }
            });
            Full { since, moved: 0, late: Box::pin(sleep_until(pace.deadline(since, 0))), stopped }
        });
        let deadline = pace.deadline(full.since, full.moved);
        if full.late.deadline() != deadline {
            full.late.as_mut().reset(deadline);
        }
        if full.late.as_mut().poll(context).is_ready() || full.stopped.as_mut().poll(context).is_ready() {
            tracing::debug!(moved = full.moved, "a connection was closed: its peer reads too slowly");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    fn written(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.wait(context),
            Poll::Ready(Ok(count)) => {
                if let Some(full) = &mut self.full {
                    full.moved += count;
                }
                Poll::Ready(Ok(count))
            }
            failed => failed,
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called once all that was to be sent is in the system's buffers: the peer is no debtor any more.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.full = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl fmt::Debug for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paced").field("stream", &self.stream).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    async fn pair(pace: Pace) -> (Paced, TcpStream, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stop, stopping) = watch::channel(false);
        (Paced::new(listener.accept().await.unwrap().0, pace, stopping), peer, stop)
    }

    /// More than the system's buffers hold.
    const MUCH: usize = 64 * 1024 * 1024;

    #[tokio::test]
    async fn inv31_a_peer_that_reads_nothing_or_too_little_is_given_up() {
        for reads in [false, true] {
            let pace = Pace { grace: Duration::from_millis(100), bytes_per_second: 1 << 30 };
            let (mut paced, mut peer, _stop) = pair(pace).await;
            let much = vec![0; MUCH];
            let sending = paced.write_all(&much);
            let reading = async {
                let mut few = [0; 16];
                loop {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    if reads {
                        peer.read_exact(&mut few).await.unwrap();
                    }
                }
            };
            let sent = tokio::select! {
                sent = sending => sent,
                () = reading => unreachable!("it reads for ever"),
            };
            assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::TimedOut, "{reads}");
        }
    }

    #[tokio::test]
    async fn a_peer_that_reads_gets_all_of_it() {
        let (mut paced, mut peer, _stop) = pair(Pace { grace: Duration::from_secs(60), bytes_per_second: 1024 }).await;
        let mut read = vec![0; MUCH];
        let much = vec![7; MUCH];
        let (sent, got) = tokio::join!(paced.write_all(&much), peer.read_exact(&mut read));
        sent.unwrap();
        assert_eq!(got.unwrap(), MUCH);
        paced.flush().await.unwrap();
        assert!(paced.full.is_none());
    }

    #[tokio::test]
    async fn inv33_a_server_that_stops_waits_for_nobody_who_does_not_read() {
        let (mut paced, _peer, stop) = pair(Pace { grace: Duration::from_secs(86_400), bytes_per_second: 1 }).await;
        stop.send_replace(true);
        let begun = Instant::now();
        assert!(paced.write_all(&vec![0; MUCH]).await.is_err());
        assert!(begun.elapsed() >= STOP_TIME);
    }
}
