//! The least speed of a peer: how long it may keep the server waiting, by what it moved until now.

use std::time::Duration;
use tokio::time::Instant;

/// A time to begin with, and more for each byte that was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// How long a peer may take for nothing at all.
    pub(crate) grace: Duration,
    /// The bytes that earn a second more.
    pub(crate) bytes_per_second: u32,
}

impl Pace {
    /// When a peer that began then and moved so many bytes since is given up.
    ///
    /// By its whole length, so that one who moves a byte now and then is given up as well as one who stops.
    pub(crate) fn deadline(self, begun: Instant, bytes: usize) -> Instant {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let earned_ms = bytes.saturating_mul(1_000) / u64::from(self.bytes_per_second.max(1));
        begun + self.grace + Duration::from_millis(earned_ms.min(MAX_EARNED_MS))
    }
}

/// No transfer takes longer than a month.
const MAX_EARNED_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv31_each_byte_earns_its_time() {
        let pace = Pace { grace: Duration::from_secs(2), bytes_per_second: 1_000 };
        let begun = Instant::now();
        let after = |bytes| pace.deadline(begun, bytes) - begun;
        assert_eq!(after(0), Duration::from_secs(2));
        assert_eq!(after(1), Duration::from_millis(2_001));
        assert_eq!(after(500_000), Duration::from_secs(502));
        assert!(after(usize::MAX) < Duration::from_secs(31 * 24 * 60 * 60), "no moment that a clock cannot tell");
    }
}
