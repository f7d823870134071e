//! The horizon, computed once for many pulls.

use crate::store::{StoreError, read::Clock};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use tokio::sync::Mutex;

/// Shares one computation among the pulls that wait for it.
///
/// A horizon serves any snapshot that is taken after it was read (`clock.rs`), so an old one would skip nothing. But a pull must
/// also bring what was committed before it arrived: the device has seen that push acknowledged, or was pinged for it. Such a
/// write may be above a horizon that was *begun* earlier, even if it ends later, for its parts are read at its beginning. And a
/// cursor from another server may be above an older clock, which would pass for a database that went back in time. So a pull
/// takes no computation but one that began after the pull arrived: never the one that it finds under way, always the next.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// How many began.
    begun: AtomicU64,
    /// The last one that ended, by its number; nothing in it when it failed. Held while one is under way.
    ended: Mutex<(u64, Option<Clock>)>,
}

impl Flights {
    /// A horizon whose computation began after this call, and what else it gave when it was done for this one.
    pub(super) async fn share<T>(
        &self,
        compute: impl AsyncFnOnce() -> Result<(Clock, T), StoreError>,
    ) -> Result<(Clock, Option<T>), StoreError> {
        let arrived = self.begun.load(SeqCst);
        let mut ended = self.ended.lock().await;
        match &*ended {
            (number, Some(clock)) if *number > arrived => return Ok((clock.clone(), None)),
            // It failed for another. All who waited try by themselves, together, lest each wait for the one before to fail.
            (number, None) if *number > arrived => drop(ended),
            _ => {
                let number = self.begun.fetch_add(1, SeqCst) + 1;
                *ended = (number, None);
                let (clock, with) = compute().await?;
                *ended = (number, Some(clock.clone()));
                return Ok((clock, Some(with)));
            }
        }
        let (clock, with) = compute().await?;
        Ok((clock, Some(with)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, future::join_all};
    use std::cell::{Cell, RefCell};
    use tokio::sync::oneshot;

    fn clock(horizon: i64) -> Clock {
        Clock { last: horizon, horizon, incarnation: String::new(), wal_lsn: horizon }
    }

    #[tokio::test]
    async fn inv01_a_pull_takes_a_horizon_that_began_after_it_arrived() {
        let flights = Flights::default();
        let computed = Cell::new(0);
        let (go, wait) = oneshot::channel::<()>();
        let slow = flights.share(async || {
            computed.set(computed.get() + 1);
            let read = computed.get();
            wait.await.unwrap();
            Ok((clock(read), ()))
        });
        let mut slow = Box::pin(slow);
        assert!(slow.as_mut().now_or_never().is_none(), "it is under way");
        // These arrive now, and what is under way has read the clock before.
        let quick = async || {
            let compute = async || {
                computed.set(computed.get() + 1);
                Ok((clock(computed.get()), ()))
            };
            flights.share(compute).await.unwrap()
        };
        let mut late = Box::pin(join_all((0..20).map(|_| quick())));
        assert!(late.as_mut().now_or_never().is_none(), "they wait");
        go.send(()).unwrap();
        assert_eq!(slow.await.unwrap().0.horizon, 1);
        let late = late.await;
        assert!(late.iter().all(|(clock, _)| clock.horizon == 2), "{late:?}");
        assert_eq!(late.iter().filter(|(_, own)| own.is_some()).count(), 1, "one computed for all");
        assert_eq!(computed.get(), 2);
    }

    #[tokio::test]
    async fn inv17_a_horizon_that_failed_or_was_dropped_is_nobodys() {
        let flights = Flights::default();
        let fails = RefCell::new(true);
        let compute = async || {
            tokio::task::yield_now().await;
            if fails.replace(false) {
                return Err(StoreError::Schema("away".to_owned()));
            }
            Ok((clock(7), ()))
        };
        let answers = join_all((0..4).map(|_| flights.share(compute))).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1);
        assert!(answers.iter().flatten().all(|(clock, _)| clock.horizon == 7));
        let mut dropped = Box::pin(flights.share(async || {
            std::future::pending::<()>().await;
            Ok((clock(8), ()))
        }));
        assert!(dropped.as_mut().now_or_never().is_none());
        drop(dropped);
        assert_eq!(flights.share(async || Ok((clock(9), ()))).await.unwrap().0.horizon, 9);
    }
}
