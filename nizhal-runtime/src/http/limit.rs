//! The rate of one actor: a bucket of tokens a key, forgotten when it is full again.

use super::error::HttpError;
use crate::settings::RateLimit;
use governor::{
    Quota,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// After this many checks the full buckets are forgotten.
const CHECKS_PER_SWEEP: usize = 4096;

/// Limits requests by actor.
pub(crate) struct Limiter<C: Clock = DefaultClock> {
    buckets: governor::RateLimiter<String, DefaultKeyedStateStore<String>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    checks: AtomicUsize,
}

impl Limiter {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self::with_clock(limit, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limiter<C> {
    fn with_clock(limit: RateLimit, clock: C) -> Self {
        let each = limit.period / limit.requests.get();
        // A period of zero does not parse; if it came by the builder it means no wait between requests.
        let quota = Quota::with_period(each).unwrap_or_else(|| Quota::per_second(limit.requests));
        let buckets = governor::RateLimiter::new(quota.allow_burst(limit.requests), Default::default(), clock.clone());
        Self { buckets, clock, checks: AtomicUsize::new(0) }
    }

    /// Takes one token of this actor.
    pub(crate) fn check(&self, key: &str) -> Result<(), HttpError> {
        if self.checks.fetch_add(1, Relaxed) % CHECKS_PER_SWEEP == CHECKS_PER_SWEEP - 1 {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
        self.buckets.check_key(&key.to_owned()).map_err(|not_yet| {
            let wait = not_yet.wait_time_from(self.clock.now());
            HttpError::RateLimited { retry_after_s: wait.as_millis().div_ceil(1000).max(1) as u64 }
        })
    }
}

impl<C: Clock> std::fmt::Debug for Limiter<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use std::{num::NonZeroU32, time::Duration};

    fn limiter(requests: u32, seconds: u64) -> (Limiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let limit = RateLimit { requests: NonZeroU32::new(requests).unwrap(), period: Duration::from_secs(seconds) };
        (Limiter::with_clock(limit, clock.clone()), clock)
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let (limiter, clock) = limiter(3, 30);
        for _ in 0..3 {
            assert!(limiter.check("a").is_ok());
        }
        assert!(matches!(limiter.check("a"), Err(HttpError::RateLimited { retry_after_s: 10 })));
        assert!(limiter.check("b").is_ok(), "another actor has its own");
        clock.advance(Duration::from_millis(9_500));
        assert!(matches!(limiter.check("a"), Err(HttpError::RateLimited { retry_after_s: 1 })));
        clock.advance(Duration::from_millis(500));
        assert!(limiter.check("a").is_ok());
    }

    #[test]
    fn actors_that_are_gone_are_forgotten() {
        let (limiter, clock) = limiter(1, 1);
        for actor in 0..CHECKS_PER_SWEEP - 1 {
            assert!(limiter.check(&actor.to_string()).is_ok());
        }
        assert_eq!(limiter.buckets.len(), CHECKS_PER_SWEEP - 1);
        clock.advance(Duration::from_secs(10));
        assert!(limiter.check("last").is_ok());
        assert_eq!(limiter.buckets.len(), 1);
    }
}
