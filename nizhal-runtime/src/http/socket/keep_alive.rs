//! Whether the peer still lives: it is asked now and then, and has so much time to answer with anything at all.

use std::time::Duration;
use tokio::time::Instant;

/// When the peer is asked, and when it counts as gone.
///
/// What counts is the time since it was asked, not since it was heard: a process that was starved of its processor for a minute
/// has heard nobody, and must not close everybody for that.
#[derive(Debug)]
pub(super) struct KeepAlive {
    ask_every: Duration,
    answer_within: Duration,
    ask_at: Instant,
    /// Since when an answer is waited for.
    asked: Option<Instant>,
}

/// What is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Send a ping.
    Ask,
    /// The peer is gone.
    Gone,
}

impl KeepAlive {
    /// A peer that may be silent for so long.
    pub(super) fn new(idle: Duration, now: Instant) -> Self {
        // Asked twice before it is given up.
        let ask_every = idle * 5 / 12;
        Self { ask_every, answer_within: idle - ask_every, ask_at: now + ask_every, asked: None }
    }

    /// The peer sent something.
    pub(super) fn heard(&mut self) {
        self.asked = None;
    }

    /// What is to do now.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if self.asked.is_some_and(|asked| now >= asked + self.answer_within) {
            return Due::Gone;
        }
        if now < self.ask_at {
            return Due::Nothing;
        }
        self.ask_at = now + self.ask_every;
        self.asked.get_or_insert(now);
        Due::Ask
    }

    /// When something is to do again.
    pub(super) fn next(&self) -> Instant {
        self.asked.map_or(self.ask_at, |asked| self.ask_at.min(asked + self.answer_within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_asked_twice_and_then_gone() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut keep_alive = KeepAlive::new(Duration::from_secs(60), start);
        assert_eq!((keep_alive.next(), keep_alive.due(at(24))), (at(25), Due::Nothing));
        assert_eq!((keep_alive.due(at(25)), keep_alive.next()), (Due::Ask, at(50)));
        assert_eq!((keep_alive.due(at(50)), keep_alive.next()), (Due::Ask, at(60)));
        assert_eq!(keep_alive.due(at(60)), Due::Gone);
    }

    #[test]
    fn whoever_answers_lives() {
        let start = Instant::now();
        let mut keep_alive = KeepAlive::new(Duration::from_secs(60), start);
        for round in 1..100 {
            let now = start + Duration::from_secs(25 * round);
            assert_eq!(keep_alive.due(now), Due::Ask);
            keep_alive.heard();
        }
    }

    #[test]
    fn who_was_not_asked_in_time_has_the_whole_time_to_answer() {
        let start = Instant::now();
        let mut keep_alive = KeepAlive::new(Duration::from_secs(60), start);
        // The process stood still for an hour.
        let late = start + Duration::from_secs(3600);
        assert_eq!(keep_alive.due(late), Due::Ask);
        assert_eq!(keep_alive.due(late + Duration::from_secs(34)), Due::Ask);
        assert_eq!(keep_alive.due(late + Duration::from_secs(35)), Due::Gone);
    }
}
