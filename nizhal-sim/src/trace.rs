//! What happened, as lines whose hash is the same whenever the same seed runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How often each kind of step had something to act upon.
pub type Counts = BTreeMap<&'static str, u64>;

/// What became of one mutator's calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// How often it was called on a device.
    pub tried: u64,
    /// How often the server applied it.
    pub applied: u64,
    /// What was said against it last, by the device or by the server.
    pub refusal: Option<String>,
}

/// The lines, their hash, and what was counted.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
    pub(crate) counts: Counts,
    pub(crate) calls: BTreeMap<&'static str, Calls>,
}

impl Trace {
    pub(crate) fn new(kept: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: kept.then(Vec::new), counts: Counts::new(), calls: BTreeMap::new() }
    }

    pub(crate) fn record(&mut self, line: std::fmt::Arguments<'_>) {
        let mut text = String::new();
        let _ = text.write_fmt(line);
        // FNV-1a.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        self.hash = text.bytes().fold(self.hash, hash);
        if let Some(lines) = &mut self.lines {
            lines.push(text);
        }
    }

    /// A line that may differ from run to run: random ids, times of the database's own clock.
    pub(crate) fn record_unhashed(&mut self, line: std::fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            lines.push(line.to_string());
        }
    }

    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
