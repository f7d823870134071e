//! How an adapter fares, for stats and metrics.

use super::adapter::AdapterError;
use nizhal_core::DateTimeUtc;
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// An error and its causes, for an operator.
fn text_with_causes(error: &AdapterError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.ends_with(&line) {
            text = format!("{text}: {line}");
        }
        cause = error.source();
    }
    text
}

/// One adapter's fortunes.
#[derive(Debug, Default)]
pub(crate) struct Health {
    pub(crate) received: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// Times that everybody was told to pull because something may have been missed.
    pub(crate) healed: AtomicU64,
    ways: Mutex<[Way; 2]>,
}

/// Which way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    /// From others to us.
    In,
    /// From us to others.
    Out,
}

/// How one way fares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    /// `None` before the first try came to an end.
    pub(crate) up: Option<bool>,
    pub(crate) since: Option<DateTimeUtc>,
    pub(crate) last_error: Option<String>,
}

impl Health {
    /// It works.
    pub(crate) fn up(&self, way: Direction, now: DateTimeUtc) {
        self.turn(way, true, now);
    }

    /// It does not, and why; whether that is news.
    pub(crate) fn down(&self, way: Direction, error: &AdapterError, now: DateTimeUtc) -> bool {
        self.failures.fetch_add(1, Relaxed);
        self.lock()[way as usize].last_error = Some(text_with_causes(error));
        self.turn(way, false, now)
    }

    fn turn(&self, way: Direction, up: bool, now: DateTimeUtc) -> bool {
        let way = &mut self.lock()[way as usize];
        let news = way.up != Some(up);
        if news {
            (way.up, way.since) = (Some(up), Some(now));
        }
        news
    }

    /// How this way fares.
    pub(crate) fn way(&self, way: Direction) -> Way {
        self.lock()[way as usize].clone()
    }

    /// Whether both ways work, as far as they were tried.
    pub(crate) fn is_up(&self) -> bool {
        let ways = self.lock();
        ways[Direction::In as usize].up == Some(true) && ways[Direction::Out as usize].up != Some(false)
    }

    fn lock(&self) -> MutexGuard<'_, [Way; 2]> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
