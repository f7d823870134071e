//! The hybrid logical clock: stamps that order writes of devices whose clocks disagree.
//!
//! After Kulkarni et al., "Logical Physical Clocks and Consistent Snapshots in Globally Distributed Databases" (2014).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// The node part of a stamp: 128 bits, 32 hexadecimal digits as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u128);

/// One stamp; its text compares as the stamps do.
///
/// ```
/// # use nizhal_core::Hlc;
/// let text = "2026-11-21T02:00:00.000Z-0000-0123456789abcdef0123456789abcdef";
/// assert_eq!(text.parse::<Hlc>().unwrap().to_string(), text);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc {
    /// Milliseconds since the Unix epoch.
    pub millis: i64,
    /// Orders stamps of one millisecond.
    pub counter: u16,
    /// Who made it.
    pub node: NodeId,
}

/// Why a text is no stamp.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an HLC timestamp like 2026-11-21T02:00:00.000Z-0000-0123456789abcdef0123456789abcdef")]
pub struct HlcParseError;

/// The earliest and the latest moment with a year of four digits, so that stamps compare as text.
const MILLIS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// The length of a text whose node has 16 digits …
const SHORT_BYTES: usize = 46;
/// … and of one whose node has 32.
const LONG_BYTES: usize = 62;

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.millis.clamp(*MILLIS.start(), *MILLIS.end());
        let time = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
        write!(f, "{}-{:04x}-{:032x}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ"), self.counter, self.node.0)
    }
}

impl FromStr for Hlc {
    type Err = HlcParseError;

    fn from_str(text: &str) -> Result<Self, HlcParseError> {
        // 24 characters of time, 4 of counter, 32 of node, two dashes; only the one canonical spelling, but for nodes of 16
        // digits, as clients of the first version have them.
        if ![SHORT_BYTES, LONG_BYTES].contains(&text.len()) || !text.is_ascii() {
            return Err(HlcParseError);
        }
        let (time, counter, node) = (&text[..24], &text[25..29], &text[30..]);
        let millis = chrono::DateTime::parse_from_rfc3339(time).map_err(|_| HlcParseError)?.timestamp_millis();
        let counter = u16::from_str_radix(counter, 16).map_err(|_| HlcParseError)?;
        let node = u128::from_str_radix(node, 16).map_err(|_| HlcParseError)?;
        let stamp = Self { millis, counter, node: NodeId(node) };
        let canonical = stamp.to_string();
        let (head, node) = canonical.split_at(30);
        let is_canonical = text.starts_with(head) && node.ends_with(&text[30..]);
        if is_canonical { Ok(stamp) } else { Err(HlcParseError) }
    }
}

impl Serialize for Hlc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hlc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A node's clock: never goes back, never follows a stamp that is too far ahead.
#[derive(Clone, Debug)]
pub struct HlcClock {
    node: NodeId,
    millis: i64,
    counter: u16,
}

impl HlcClock {
    /// How far ahead of this clock a received stamp may be, in milliseconds.
    pub const MAX_AHEAD_MS: i64 = 60_000;

    /// A clock of this node that has seen nothing yet.
    pub const fn new(node: NodeId) -> Self {
        Self { node, millis: i64::MIN, counter: 0 }
    }

    /// The next stamp at wall time `now_ms`, later than every stamp before.
    pub fn tick(&mut self, now_ms: i64) -> Hlc {
        if now_ms > self.millis {
            (self.millis, self.counter) = (now_ms, 0);
        } else if self.counter == u16::MAX {
            (self.millis, self.counter) = (self.millis + 1, 0);
        } else {
            self.counter += 1;
        }
        Hlc { millis: self.millis, counter: self.counter, node: self.node }
    }

    /// Comes back to wall time `now_ms` where the wall clock was so far ahead for a while that a stamp of another would not have been
    /// followed there. For servers, which stamp for many: a device's own edits must stay in their order whatever its clock does.
    pub fn come_back(&mut self, now_ms: i64) {
        if self.millis > now_ms.saturating_add(Self::MAX_AHEAD_MS) {
            (self.millis, self.counter) = (now_ms, 0);
        }
    }

    /// Takes in a received stamp and returns it, clamped to this clock when it is more than
    /// [`MAX_AHEAD_MS`](Self::MAX_AHEAD_MS) ahead; the flag says whether it was.
    pub fn receive(&mut self, stamp: Hlc, now_ms: i64) -> (Hlc, bool) {
        if stamp.millis > now_ms.saturating_add(Self::MAX_AHEAD_MS) {
            let clamped = self.tick(now_ms);
            return (Hlc { node: stamp.node, ..clamped }, true);
        }
        if (stamp.millis, stamp.counter) > (self.millis, self.counter) {
            (self.millis, self.counter) = (stamp.millis, stamp.counter);
        }
        (stamp, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(7);

    #[test]
    fn ticks_only_go_forward() {
        let mut clock = HlcClock::new(NODE);
        let stamps = [5, 5, 3, 9, 9].map(|now| clock.tick(now));
        assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]), "{stamps:?}");
        let texts = stamps.map(|stamp| stamp.to_string());
        assert!(texts.windows(2).all(|pair| pair[0] < pair[1]), "{texts:?}");
    }

    #[test]
    fn a_full_counter_moves_the_millisecond() {
        let mut clock = HlcClock::new(NODE);
        let last = (0..=70_000).map(|_| clock.tick(1)).last().unwrap();
        assert_eq!((last.millis, last.counter), (2, 4_464));
    }

    #[test]
    fn inv20_a_wild_stamp_is_clamped_and_does_not_move_the_clock() {
        let mut clock = HlcClock::new(NODE);
        let wild = Hlc { millis: 4_000_000_000_000, counter: 9, node: NodeId(1) };
        let (stamp, clamped) = clock.receive(wild, 1_000);
        assert!(clamped && stamp.millis == 1_000 && stamp.node == NodeId(1));
        assert!(clock.tick(1_000).millis == 1_000);
        let near = Hlc { millis: 1_000 + HlcClock::MAX_AHEAD_MS, counter: 0, node: NodeId(1) };
        assert_eq!(clock.receive(near, 1_000), (near, false));
        assert!(clock.tick(1_000) > near);
    }

    #[test]
    fn inv20_a_clock_that_was_ahead_for_a_moment_comes_back() {
        let mut clock = HlcClock::new(NODE);
        assert_eq!(clock.tick(100_000_000).millis, 100_000_000);
        assert!(clock.tick(1_000).millis == 100_000_000, "not by itself");
        clock.come_back(1_000);
        assert_eq!(clock.tick(1_000).millis, 1_000);
        // Within what is followed it stays where it is.
        clock.tick(1_000 + HlcClock::MAX_AHEAD_MS);
        clock.come_back(1_000);
        assert_eq!(clock.tick(1_000).millis, 1_000 + HlcClock::MAX_AHEAD_MS);
        let wild = Hlc { millis: 200_000_000, counter: 0, node: NodeId(1) };
        assert_eq!(clock.receive(wild, 2_000).0.millis, 1_000 + HlcClock::MAX_AHEAD_MS);
    }

    #[test]
    fn a_node_of_sixteen_digits_is_padded() {
        let short: Hlc = "2026-11-21T02:00:00.000Z-00ab-0123456789abcdef".parse().unwrap();
        let long = "2026-11-21T02:00:00.000Z-00ab-00000000000000000123456789abcdef";
        assert_eq!((short, short.to_string()), (long.parse().unwrap(), long.to_owned()));
    }

    #[test]
    fn only_the_canonical_text_is_read() {
        for text in [
            "",
            "x",
            "2026-11-21T02:00:00.000Z-0000-0123456789ABCDEF",
            "2026-11-21T02:00:00.000Z-0000-+123456789abcdef",
            "2026-11-21T02:00:00.000Z-0000-0123456789abcde",
            "2026-11-21T02:00:00.000Z_0000_0123456789abcdef",
            "2026-11-21T02:00:00.000Z-00AB-0123456789abcdef0123456789abcdef",
            "2026-11-21T02:00:00+00:00-0000-0123456789abcdef0123456789abcdef",
            "2026-13-21T02:00:00.000Z-0000-0123456789abcdef0123456789abcdef",
            "2026-11-21T02:00:00.000Z-+001-0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(text.parse::<Hlc>(), Err(HlcParseError), "{text}");
        }
    }
}
