//! The keep-alive of a socket: the peer is pinged now and then, and has so much time to answer with anything at all.

use std::time::Duration;
use tokio::time::Instant;

/// The times at which the peer is pinged, and counts as gone.
///
/// The time since the ping counts, not the time since the last frame: a process that was starved of its processor for a minute
/// has heard nobody, and must not close everybody for that.
#[derive(Debug)]
pub(super) struct KeepAlive {
    ping_interval: Duration,
    answer_timeout: Duration,
    ping_at: Instant,
    /// Since when an answer is waited for.
    pinged_at: Option<Instant>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Send a ping.
    Ping,
    /// The peer is gone.
    Gone,
}

impl KeepAlive {
    /// A peer that may be silent for so long.
    pub(super) fn new(idle: Duration, now: Instant) -> Self {
        // Asked twice before it is given up.
        let ping_interval = idle * 5 / 12;
        Self { ping_interval, answer_timeout: idle - ping_interval, ping_at: now + ping_interval, pinged_at: None }
    }

    /// Notes that the peer sent something.
    pub(super) fn received(&mut self) {
        self.pinged_at = None;
    }

    /// What is due now.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if self.pinged_at.is_some_and(|pinged_at| now >= pinged_at + self.answer_timeout) {
            return Due::Gone;
        }
        if now < self.ping_at {
            return Due::Nothing;
        }
        self.ping_at = now + self.ping_interval;
        self.pinged_at.get_or_insert(now);
        Due::Ping
    }

    /// When something is due again.
    pub(super) fn next(&self) -> Instant {
        self.pinged_at.map_or(self.ping_at, |pinged_at| self.ping_at.min(pinged_at + self.answer_timeout))
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
        assert_eq!((keep_alive.due(at(25)), keep_alive.next()), (Due::Ping, at(50)));
        assert_eq!((keep_alive.due(at(50)), keep_alive.next()), (Due::Ping, at(60)));
        assert_eq!(keep_alive.due(at(60)), Due::Gone);
    }

    #[test]
    fn whoever_answers_lives() {
        let start = Instant::now();
        let mut keep_alive = KeepAlive::new(Duration::from_secs(60), start);
        for round in 1..100 {
            let now = start + Duration::from_secs(25 * round);
            assert_eq!(keep_alive.due(now), Due::Ping);
            keep_alive.received();
        }
    }

    #[test]
    fn who_was_not_asked_in_time_has_the_whole_time_to_answer() {
        let start = Instant::now();
        let mut keep_alive = KeepAlive::new(Duration::from_secs(60), start);
        // The process stood still for an hour.
        let late = start + Duration::from_secs(3600);
        assert_eq!(keep_alive.due(late), Due::Ping);
        assert_eq!(keep_alive.due(late + Duration::from_secs(34)), Due::Ping);
        assert_eq!(keep_alive.due(late + Duration::from_secs(35)), Due::Gone);
    }
}
