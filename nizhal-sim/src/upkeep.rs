//! What the server does beside its answers: it collects blobs, makes images of buckets and forgets them, under the faults that wait for it.

use crate::blobs::GRACE_DAYS;
use crate::fixture::Fixture;
use crate::server::Server;
use futures_util::FutureExt as _;
use nizhal_core::DateTimeUtc;
use nizhal_runtime::engine::{Demand, Making};
use std::panic::AssertUnwindSafe;

impl Server {
    /// Marks blobs that no row names, and removes them as after the grace.
    pub(crate) async fn collect_blobs(&mut self) -> Result<u64, String> {
        let Some(endpoints) = &self.blobs else { return Ok(0) };
        let now = self.world.now_ms();
        let at = |ms: i64| DateTimeUtc::from_timestamp_millis(ms).unwrap_or_default();
        let later = now + i64::from(GRACE_DAYS + 1) * 86_400_000;
        let collecting = async {
            endpoints.collect(at(now), GRACE_DAYS).await?;
            endpoints.collect(at(later), GRACE_DAYS).await
        };
        match self.under_faults(collecting, || Ok(0)).await.unwrap_or(Ok(0)) {
            Err(_) if self.took_fault().is_some() => Ok(0),
            collected => collected.map_err(|error| format!("blobs are not collected: {error}")),
        }
    }

    /// Makes an image of one of the user's buckets; whether it did, and `None` when the server died of it.
    pub(crate) async fn make_image(
        &mut self,
        fixture: &Fixture<'_>,
        user: usize,
        draw: u32,
    ) -> Result<Option<bool>, String> {
        let Some(engine) = &self.engine else { return Ok(Some(false)) };
        let making = async {
            let scope = engine.scope(&fixture.users[user]).await.map_err(|error| format!("{error:?}"))?;
            let count = scope.len().max(1);
            let bucket = scope.iter().nth(usize::try_from(draw >> 8).unwrap_or_default() % count);
            let Some(bucket) = bucket else { return Ok(false) };
            let made = engine.make_image(bucket, Demand::Sync).await;
            made.map(|made| made == Making::Made).map_err(|error| format!("no image is made: {error:?}"))
        };
        // The database may be newer than the server.
        let making =
            making.map(|made| made.or_else(|error| if error.contains("OtherRules") { Ok(false) } else { Err(error) }));
        let made = self.under_faults(making, || Ok(false)).await;
        self.done(fixture, made).await
    }

    /// Forgets images; whether there was one to forget, and `None` when the server died of it.
    pub(crate) async fn forget_images(&mut self, fixture: &Fixture<'_>) -> Result<Option<bool>, String> {
        let Some(engine) = &self.engine else { return Ok(Some(false)) };
        let forgetting = engine.forget_images().map(|forgotten| {
            forgotten.map(|count| count > 0).map_err(|error| format!("images are not forgotten: {error:?}"))
        });
        let forgotten = self.under_faults(forgetting, || Ok(false)).await;
        self.done(fixture, forgotten).await
    }

    /// Forgets mutations that are settled, and the images of rows before them; whether there were some, and `None` when the server died
    /// of it.
    pub(crate) async fn forget_settled(&mut self, fixture: &Fixture<'_>) -> Result<Option<bool>, String> {
        let now_ms = self.world.now_ms();
        // What it met a fault at is done when it is asked again.
        for _ in 0..2 {
            let Some(engine) = self.engine.as_ref().filter(|_| self.plain.is_some()) else { return Ok(Some(false)) };
            let forgetting = engine.forget_settled().map(|done| done.map_err(|error| format!("{error:?}")));
            match self.under_faults(forgetting, || Err("given up".to_owned())).await {
                None => {
                    self.kill(fixture).await;
                    return Ok(None);
                }
                Some(Ok(_)) => break,
                Some(Err(_)) if self.took_fault().is_some() => {}
                Some(Err(error)) => return Err(format!("settled mutations are not forgotten: {error}")),
            }
        }
        let forgotten = self.plain.as_mut().map(|plain| plain.forget(now_ms));
        Ok(Some(forgotten.is_some_and(|count| count > 0)))
    }

    /// Work of the server's that may meet the faults which wait for it: given up where a statement falls silent, wherever that is, and
    /// `None` where the server died of it.
    pub(crate) async fn under_faults<T>(
        &self,
        work: impl Future<Output = T>,
        given_up: impl FnOnce() -> T,
    ) -> Option<T> {
        let work = async {
            tokio::select! {
                biased;
                done = work => done,
                () = self.failpoints.silence() => given_up(),
            }
        };
        match AssertUnwindSafe(Box::pin(work)).catch_unwind().await {
            _ if self.world.is_burnt() => None,
            Ok(done) => Some(done),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// What came of work that no device waits for: a fault of its database is no reason to fail.
    async fn done(
        &mut self,
        fixture: &Fixture<'_>,
        done: Option<Result<bool, String>>,
    ) -> Result<Option<bool>, String> {
        match done {
            None => {
                self.kill(fixture).await;
                Ok(None)
            }
            Some(Err(_)) if self.took_fault().is_some() => Ok(Some(false)),
            Some(done) => done.map(Some),
        }
    }
}
