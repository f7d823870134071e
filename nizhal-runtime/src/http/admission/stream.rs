//! Pulls that are streamed: each holds a connection of the database for as long as its reader takes.
//!
//! An actor has half of them at most. When all are taken, whoever comes waits for a while, and meanwhile the reader that has kept its
//! line waiting longest gives its place up, one for each who waits; alone, a reader may take its time.

use crate::{
    engine::{Line, LineReader, PullError},
    http::{error::HttpError, pace::Pace},
    share::{Share, ShareLimits, Shares},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep_until, timeout},
};

/// How long streams and those that want to be one wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamTimes {
    /// How long a pull waits for its turn.
    turn: Duration,
    /// How fast lines are taken, at least, and how long one may wait, while nobody else wants to be streamed …
    alone: Pace,
    /// … and how long one may wait while somebody does.
    contended: Duration,
}

impl Default for StreamTimes {
    fn default() -> Self {
        Self {
            turn: Duration::from_secs(10),
            alone: Pace { grace: Duration::from_secs(60), bytes_per_second: 1024 },
            contended: Duration::from_secs(4),
        }
    }
}

/// The streams of one server; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::http) struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    times: StreamTimes,
    shares: Shares,
    turns: Arc<Semaphore>,
    queue: Mutex<Queue>,
    /// Something of the queue changed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// How many wait for their turn …
    waiting: usize,
    /// … and how many of them no reader has given its place up for.
    claims: usize,
    /// The lines that wait for their readers, the oldest first.
    lines: BTreeSet<(Instant, usize)>,
    next_line: usize,
}

/// The permit of a stream; dropping it gives it up.
#[derive(Debug)]
pub(in crate::http) struct StreamPermit {
    _share: Share,
    _turn: OwnedSemaphorePermit,
}

/// A stream that waits for its turn, counted for as long as it does.
struct QueuedStream<'a>(&'a Inner);

/// A line that waits for its reader.
struct WaitingLine<'a> {
    of: &'a Inner,
    key: (Instant, usize),
}

impl Streams {
    pub(super) fn new(max: u32, times: StreamTimes) -> Self {
        // Those that wait are counted too, so that one actor does not fill the queue either.
        let shares = Shares::new(ShareLimits { per_actor: max.div_ceil(2).into(), all: u64::from(max) * 4 });
        let turns = Arc::new(Semaphore::new(usize::try_from(max).unwrap_or(1)));
        Self(Arc::new(Inner { times, shares, turns, queue: Mutex::default(), changed: Notify::new() }))
    }

    /// Waits for a turn.
    pub(in crate::http) async fn permit(&self, actor: &str) -> Result<StreamPermit, HttpError> {
        let inner = &*self.0;
        let _share = inner.shares.acquire(actor, 1)?;
        let queued = QueuedStream::new(inner);
        let turn = timeout(inner.times.turn, inner.turns.clone().acquire_owned()).await;
        drop(queued);
        match turn {
            Ok(Ok(_turn)) => Ok(StreamPermit { _share, _turn }),
            _ => Err(HttpError::Busy),
        }
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> QueuedStream<'a> {
    fn new(inner: &'a Inner) -> Self {
        let mut queue = inner.queue();
        queue.waiting += 1;
        queue.claims += 1;
        drop(queue);
        inner.changed.notify_waiters();
        Self(inner)
    }
}

impl Drop for QueuedStream<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.waiting -= 1;
        queue.claims = queue.claims.min(queue.waiting);
    }
}

impl<'a> WaitingLine<'a> {
    fn new(of: &'a Inner) -> Self {
        let mut queue = of.queue();
        queue.next_line += 1;
        let key = (Instant::now(), queue.next_line);
        queue.lines.insert(key);
        drop(queue);
        Self { of, key }
    }

    /// Whether it is this one whose reader has to give its place up.
    fn is_claimed(&self) -> bool {
        let queue = self.of.queue();
        queue.claims > 0 && queue.lines.first() == Some(&self.key)
    }

    /// The same once its time is over; then one of those who wait is served.
    fn give_up(&self) -> bool {
        let mut queue = self.of.queue();
        let is_claimed = queue.claims > 0
            && queue.lines.first() == Some(&self.key)
            && self.key.0 + self.of.times.contended <= Instant::now();
        if is_claimed {
            queue.claims -= 1;
        }
        is_claimed
    }
}

impl Drop for WaitingLine<'_> {
    fn drop(&mut self) {
        self.of.queue().lines.remove(&self.key);
        self.of.changed.notify_waiters();
    }
}

/// Takes the lines of a streamed pull to its reader, at least at its pace.
#[derive(Debug)]
pub(in crate::http) struct PacedLines {
    to: mpsc::Sender<Result<Line, PullError>>,
    streams: Streams,
    begun: Instant,
    moved: AtomicUsize,
}

impl PacedLines {
    /// Lines for the reader of this channel, which should be short: what is in it is in memory.
    pub(in crate::http) fn new(to: mpsc::Sender<Result<Line, PullError>>, streams: &Streams) -> Self {
        Self { to, streams: streams.clone(), begun: Instant::now(), moved: AtomicUsize::new(0) }
    }

    /// Waits until the reader has room for a line; an error when it takes too long for it.
    async fn permit(&self) -> Result<mpsc::Permit<'_, Result<Line, PullError>>, PullError> {
        let inner = &*self.streams.0;
        let StreamTimes { alone, contended, .. } = inner.times;
        let line = WaitingLine::new(inner);
        let latest = alone.deadline(self.begun, self.moved.load(SeqCst)).min(line.key.0 + alone.grace);
        let permit = self.to.reserve();
        tokio::pin!(permit);
        loop {
            let changed = inner.changed.notified();
            tokio::pin!(changed);
            // Heard from here on: what changes after the queue was looked at is not missed.
            changed.as_mut().enable();
            let deadline = if line.is_claimed() { latest.min(line.key.0 + contended) } else { latest };
            tokio::select! {
                biased;
                permit = &mut permit => return permit.map_err(|_| PullError::ReaderGone),
                () = sleep_until(deadline) => {
                    if latest <= Instant::now() || line.give_up() {
                        return Err(PullError::SlowReader);
                    }
                }
                () = changed => {}
            }
        }
    }
}

impl LineReader for PacedLines {
    fn read_timeout_s(&self) -> u64 {
        self.streams.0.times.alone.grace.as_secs()
    }

    async fn send(&self, line: Result<Line, PullError>) -> Result<(), PullError> {
        let permit = self.permit().await?;
        let bytes = match &line {
            Ok(Line::Rows(line) | Line::Last { line, .. }) => line.len(),
            Err(_) => 0,
        };
        self.moved.fetch_add(bytes, SeqCst);
        permit.send(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bytes: usize) -> Result<Line, PullError> {
        Ok(Line::Rows(vec![b'x'; bytes]))
    }

    fn streams(max: u32, alone_ms: u64, contended_ms: u64, bytes_per_second: u32) -> Streams {
        let pace = |ms| Pace { grace: Duration::from_millis(ms), bytes_per_second };
        let times = StreamTimes {
            turn: Duration::from_millis(contended_ms * 5),
            alone: pace(alone_ms),
            contended: Duration::from_millis(contended_ms),
        };
        Streams::new(max, times)
    }

    #[tokio::test]
    async fn inv31_an_actor_leaves_streams_to_others() {
        let streams = streams(2, 60_000, 10, 1024);
        let first = streams.permit("ana").await.unwrap();
        assert!(matches!(streams.permit("ana").await, Err(HttpError::TooManyRequests { .. })));
        let other = streams.permit("ben").await.unwrap();
        assert!(matches!(streams.permit("cem").await, Err(HttpError::Busy)), "it waited, and nobody gave its place up");
        let (came, ()) = tokio::join!(streams.permit("cem"), async { drop((first, other)) });
        assert!(came.is_ok());
    }

    #[tokio::test]
    async fn inv31_a_slow_reader_gives_its_place_up_when_another_waits() {
        let streams = streams(1, 60_000, 200, 1024);
        let permit = streams.permit("ana").await.unwrap();
        let (to, mut from) = mpsc::channel(1);
        let lines = PacedLines::new(to, &streams);
        lines.send(rows(10)).await.unwrap();
        let slow = async {
            let taken = lines.send(rows(10)).await;
            drop(permit);
            taken
        };
        let (taken, next) = tokio::join!(slow, streams.permit("ben"));
        assert!(matches!(taken, Err(PullError::SlowReader)), "{taken:?}");
        assert!(next.is_ok());
        from.recv().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn inv31_a_quick_reader_is_left_alone_and_no_line_waits_for_ever() {
        let streams = streams(1, 2_000, 1_000, 64);
        let _permit = streams.permit("ana").await.unwrap();
        let (to, mut from) = mpsc::channel(1);
        let lines = PacedLines::new(to, &streams);
        let peers = streams.permit("ben");
        let reading = async {
            while let Some(line) = from.recv().await {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if let Ok(Line::Rows(line)) = line
                    && line.is_empty()
                {
                    break;
                }
            }
        };
        let sending = async {
            for _ in 0..200 {
                lines.send(rows(10)).await.unwrap();
            }
            lines.send(rows(0)).await.unwrap();
        };
        let ((), ()) = tokio::select! {
            _ = peers => unreachable!("nobody gives its place up"),
            both = async { tokio::join!(reading, sending) } => both,
        };
        lines.send(rows(1)).await.unwrap();
        assert!(matches!(lines.send(rows(1)).await, Err(PullError::SlowReader)), "no line waits for ever");
    }
}
