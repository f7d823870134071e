//! A first sync, streamed and paged, with the limit in turn.

use super::{
    Size,
    app::Running,
    load,
    report::{median, risen_mb},
};

/// Medians in rows a second.
pub(crate) struct FirstSync {
    pub(crate) streamed: f64,
    pub(crate) paged: f64,
    pub(crate) limit: f64,
    /// By how many MB the memory rose at most while one streamed.
    pub(crate) most_mb: f64,
}

impl FirstSync {
    pub(crate) async fn measure(server: &Running, rows: u32, size: Size, mut theirs: impl AsyncFnMut() -> f64) -> Self {
        let (mut streamed, mut paged, mut limit, mut most_mb) = (Vec::new(), Vec::new(), Vec::new(), 0.0_f64);
        for _ in 0..size.rounds {
            let (rate, mb) = risen_mb(load::streamed_sync(server, rows)).await;
            streamed.push(rate);
            most_mb = most_mb.max(mb);
            limit.push(theirs().await);
            paged.push(load::first_sync(server, rows).await.0);
        }
        Self { streamed: median(&streamed), paged: median(&paged), limit: median(&limit), most_mb }
    }
}
