//! The admin's URLs: a password, compared in constant time, that a peer may get wrong a few times before it has to wait.

use super::{credentials::credentials, error::HttpError};
use crate::settings::Secret;
use actix_web::HttpRequest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How many wrong passwords a peer may give before it has to wait.
const FREE_ATTEMPTS: u32 = 10;
/// The longest wait after a wrong password. A peer that gave none for that long is forgotten.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);
/// The most peers whose attempts are counted apart; all others share a count.
const MAX_PEERS: usize = 10_000;

/// Admits the admin.
#[derive(Debug)]
pub(crate) struct AdminGuard {
    password: Option<Secret>,
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

/// The wrong passwords of a peer.
#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    /// How much longer the peer has to wait: a second after the first attempt that was not free, twice as long after each further.
    fn wait(self, now: Instant) -> Duration {
        let Some(more) = self.count.checked_sub(FREE_ATTEMPTS) else { return Duration::ZERO };
        let wait = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(more)).min(MAX_WAIT);
        wait.saturating_sub(now.saturating_duration_since(self.last))
    }
}

impl AdminGuard {
    /// A guard that asks for this password, and lets nobody in without one.
    pub(crate) fn new(password: Option<Secret>) -> Self {
        Self { password, failures: Mutex::default() }
    }

    /// Lets a request in that carries the password, as Bearer or as Basic with any name.
    ///
    /// # Errors
    /// When it is absent or wrong, or its peer has given wrong ones too often.
    pub(crate) fn admit(&self, request: &HttpRequest) -> Result<(), HttpError> {
        let given = password_of(request);
        self.judge(request.peer_addr().map(|peer| peer.ip()), given.as_deref(), Instant::now())
    }

    fn judge(&self, peer: Option<IpAddr>, given: Option<&[u8]>, now: Instant) -> Result<(), HttpError> {
        let password = self.password.as_ref().ok_or(HttpError::AdminUnset)?;
        // A request without one is no attempt.
        let given = given.ok_or(HttpError::AdminWrong)?;
        let peer = network(peer);
        let wait = self.failures().get(&peer).map_or(Duration::ZERO, |failures| failures.wait(now));
        if wait > Duration::ZERO {
            tracing::warn!(%peer, "the admin's password is tried too often: the peer has to wait");
            return Err(HttpError::RateLimited { retry_after_s: wait.as_millis().div_ceil(1000) as u64 });
        }
        if password.matches(given) {
            self.failures().remove(&peer);
            return Ok(());
        }
        let attempts = self.failed(peer, now);
        tracing::warn!(%peer, attempts, "a wrong password for the admin's URLs");
        Err(HttpError::AdminWrong)
    }

    /// Counts a wrong password.
    fn failed(&self, peer: IpAddr, now: Instant) -> u32 {
        let mut all = self.failures();
        if all.len() >= MAX_PEERS && !all.contains_key(&peer) {
            all.retain(|_, failures| now.saturating_duration_since(failures.last) < MAX_WAIT);
        }
        let is_counted_apart = all.len() < MAX_PEERS || all.contains_key(&peer);
        let key = if is_counted_apart { peer } else { network(None) };
        let failures = all.entry(key).or_insert(Failures { count: 0, last: now });
        if now.saturating_duration_since(failures.last) >= MAX_WAIT {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        failures.count
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<IpAddr, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address that attempts are counted by: of IPv6 the first 64 bits, since the rest is its holder's to choose.
fn network(peer: Option<IpAddr>) -> IpAddr {
    match peer.map(|peer| peer.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        Some(address) => address,
        None => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn password_of(request: &HttpRequest) -> Option<Vec<u8>> {
    match credentials(request)? {
        (scheme, token) if scheme.eq_ignore_ascii_case("bearer") => Some(token.as_bytes().to_vec()),
        (scheme, pair) if scheme.eq_ignore_ascii_case("basic") => {
            let pair = BASE64_STANDARD.decode(pair).ok()?;
            let colon = pair.iter().position(|byte| *byte == b':')?;
            Some(pair[colon + 1..].to_vec())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{http::header, test::TestRequest};

    fn guard() -> AdminGuard {
        AdminGuard::new(Some(Secret::new("hun:ter2")))
    }

    #[test]
    fn the_admin_needs_the_password() {
        let basic = |pair: &str| format!("Basic {}", BASE64_STANDARD.encode(pair));
        let admit = |guard: &AdminGuard, value: &str| {
            guard.admit(&TestRequest::default().insert_header((header::AUTHORIZATION, value)).to_http_request())
        };
        for right in ["Bearer hun:ter2", &basic("admin:hun:ter2"), &basic(":hun:ter2")] {
            assert!(admit(&guard(), right).is_ok(), "{right}");
        }
        for wrong in
            ["Bearer hun", "Bearer ", "hun:ter2", "Basic !!!", &basic("hun"), &basic("admin:"), &basic("hun:ter2:")]
        {
            assert!(matches!(admit(&guard(), wrong), Err(HttpError::AdminWrong)), "{wrong}");
        }
        assert!(matches!(admit(&AdminGuard::new(None), "Bearer x"), Err(HttpError::AdminUnset)));
    }

    #[test]
    fn inv31_a_peer_that_guesses_has_to_wait_and_others_have_not() {
        let (guard, start) = (guard(), Instant::now());
        let (guesser, admin): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let try_at = |peer, given: &[u8], seconds: u64| {
            guard.judge(Some(peer), Some(given), start + Duration::from_secs(seconds))
        };
        for _ in 0..FREE_ATTEMPTS {
            assert!(matches!(try_at(guesser, b"guess", 0), Err(HttpError::AdminWrong)));
        }
        // Whether it was right is not told either.
        for given in [&b"guess"[..], b"hun:ter2"] {
            assert!(matches!(try_at(guesser, given, 0), Err(HttpError::RateLimited { retry_after_s: 1 })));
        }
        assert!(try_at(admin, b"hun:ter2", 0).is_ok());
        assert!(matches!(try_at(guesser, b"guess", 1), Err(HttpError::AdminWrong)));
        assert!(matches!(try_at(guesser, b"guess", 1), Err(HttpError::RateLimited { retry_after_s: 2 })));
        assert!(try_at(guesser, b"hun:ter2", 3).is_ok());
        assert!(matches!(try_at(guesser, b"guess", 3), Err(HttpError::AdminWrong)), "it begins anew");
        for _ in 0..100 {
            let _ = guard.failed(network(Some(guesser)), start);
        }
        assert!(matches!(try_at(guesser, b"hun:ter2", 1), Err(HttpError::RateLimited { retry_after_s: 899 })));
    }

    #[test]
    fn inv28_guessers_are_counted_in_bounded_memory() {
        let (guard, start) = (guard(), Instant::now());
        let peer = |at: u32| Some(IpAddr::from(at.to_be_bytes()));
        for at in 0..2 * MAX_PEERS as u32 {
            let _ = guard.judge(peer(at), Some(b"guess"), start);
        }
        assert_eq!(guard.failures().len(), MAX_PEERS + 1);
        let _ = guard.judge(peer(u32::MAX), Some(b"guess"), start + MAX_WAIT);
        assert_eq!(guard.failures().len(), 1, "those of long ago are forgotten");
        let of = |text: &str| network(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
