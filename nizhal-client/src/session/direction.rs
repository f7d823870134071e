//! One direction of sync: when it may be tried again, and since when it stands still.

use super::{Failure, FailureKind, Millis, Settings};
use nizhal_core::Random;

/// How often in a row a server may fail before that is told of: once or twice is a restart.
const FAULTS_UNTIL_STUCK: u32 = 3;

/// Pulling, or pushing.
#[derive(Clone, Debug, Default)]
pub(super) struct Direction {
    /// Failures since it last went well.
    pub(super) failures: u32,
    /// Not before this.
    pub(super) at: Option<Millis>,
    /// What went wrong last.
    pub(super) error: Option<Failure>,
    /// Since when something is wanted and nothing moves.
    pub(super) since: Option<Millis>,
    /// How often in a row the server itself failed.
    pub(super) faults: u32,
    /// The watchdog has tried to mend it, to no avail until now.
    pub(super) repaired: bool,
}

impl Direction {
    pub(super) fn is_ready(&self, now: Millis) -> bool {
        self.at.is_none_or(|at| now >= at)
    }

    /// It went well and something moved.
    pub(super) fn moved(&mut self) {
        *self = Self::default();
    }

    /// It went wrong; wait, longer each time, but no longer than the limit or the server's wish.
    pub(super) fn failed(&mut self, failure: Failure, now: Millis, settings: &Settings, random: &mut Random) {
        self.failures = self.failures.saturating_add(1);
        self.faults = if failure.kind == FailureKind::ServerError { self.faults.saturating_add(1) } else { 0 };
        let asked = failure.retry_after_ms.map(|wait| wait.clamp(0, settings.longest_wait_ms));
        let wait = asked.unwrap_or(0).max(backoff_ms(settings, self.failures, random));
        self.at = Some(now.saturating_add(wait));
        self.error = Some(failure);
    }

    /// Takes note of whether something is wanted of it.
    pub(super) fn watch(&mut self, wanted: bool, now: Millis) {
        match (wanted, self.since) {
            (true, None) => self.since = Some(now),
            (false, _) => self.since = None,
            (true, Some(_)) => {}
        }
    }

    /// Whether it waits for a server that is away, busy or broken: nothing that could be mended here.
    pub(super) fn is_failed_by_server(&self) -> bool {
        let theirs = |kind| matches!(kind, FailureKind::Busy | FailureKind::ServerError);
        self.error.as_ref().is_some_and(|error| !error.is_reached() || theirs(error.kind))
    }

    /// What to tell of, when repair did not help or the server fails again and again.
    pub(super) fn is_stuck(&self) -> Option<&Failure> {
        self.error.as_ref().filter(|_| self.repaired || self.faults >= FAULTS_UNTIL_STUCK)
    }

    /// Whether it stands still for so long that something must be wrong with us rather than with the network.
    pub(super) fn is_stalled(&self, now: Millis, settings: &Settings) -> bool {
        !self.is_failed_by_server() && self.since.is_some_and(|since| now - since >= settings.stall_ms)
    }
}

/// The wait before the next try: doubled each time, less a random part. Less, never more: the longest wait is what was
/// promised, and a crowd that was cut off together comes back spread out.
pub(super) fn backoff_ms(settings: &Settings, failures: u32, random: &mut Random) -> Millis {
    let doublings = failures.saturating_sub(1).min(30);
    let full = settings.first_wait_ms.saturating_mul(1 << doublings).clamp(1, settings.longest_wait_ms);
    let spread = u64::try_from(full / 2).unwrap_or(0);
    full - i64::try_from(random.below(spread + 1)).unwrap_or(0)
}
