//! The total of a first sync: how many rows are to come, told with the first of them.

use super::{Engine, PullError, pull::Begun};

impl Engine {
    /// How many rows come with this answer and those after it, where the client asked for that; `here` are in it already, and `has_more`
    /// says that its snapshot goes on. Never too few: a row in two buckets counts twice, and a row of a transaction that the answer
    /// ends inside may too.
    pub(super) async fn total(
        &self,
        begun: &mut Begun<'_>,
        here: usize,
        has_more: bool,
    ) -> Result<Option<u64>, PullError> {
        let Begun { reader, lanes, later, placed, .. } = begun;
        if !begun.plan.asks_for_total() {
            return Ok(None);
        }
        let horizon = reader.clock().horizon;
        let mut total = placed.row_count() + u64::try_from(here).unwrap_or(u64::MAX);
        if has_more {
            for lane in lanes.iter().filter(|lane| !lane.is_done(horizon)) {
                total += reader.count_rows(lane.buckets.iter(), lane.position.done()).await?;
            }
        }
        total += reader.count_rows(later.iter(), 0).await?;
        Ok(Some(total))
    }
}
