//! A whole pull as lines, from one snapshot, no faster than its reader takes them.

use super::{
    Engine, PullError,
    lane::{PageBudget, PageEnd, PullPlan, merge},
    page,
    pull::Begun,
};
use crate::store::{LaneRead, LineTaker, Position, StoreError};
use nizhal_core::{
    Principal,
    wire::{PullRequest, Wire},
};

/// The budget of one read from the database.
const STREAM_BUDGET: PageBudget = PageBudget { rows: 1_000, bytes: 1024 * 1024, end: PageEnd::BetweenVersions };
/// Once this many rows are gone the pull ends where it is, and the client asks again: their ids wait for the last line.
const MAX_GONE: usize = 10_000;
/// How long a statement may wait for the one before it, beyond the reader's time.
const SLACK_S: u64 = 15;

/// One line of a pull.
#[derive(Debug)]
pub enum Line {
    /// Rows of a table.
    Rows(Vec<u8>),
    /// All the rest, the cursor too: without it a client takes nothing of what came before.
    Last {
        /// The line.
        line: Vec<u8>,
        /// Whether it carries `cursorReset`.
        reset: bool,
        /// How many live rows came before it.
        rows: usize,
    },
}

/// The reader of a pull's lines.
pub trait LineReader: Sync {
    /// How long one line may wait for it, in seconds: for so long the snapshot is held between two statements.
    fn read_timeout_s(&self) -> u64;

    /// Takes a line.
    ///
    /// # Errors
    /// [`PullError::SlowReader`] when it waited too long, [`PullError::ReaderGone`] when nobody takes it.
    fn send(&self, line: Result<Line, PullError>) -> impl Future<Output = Result<(), PullError>> + Send;
}

/// Sends the lines of a scan on.
struct Sender<'a, L> {
    lines: &'a L,
    rows: &'a mut usize,
}

impl<L: LineReader> LineTaker for Sender<'_, L> {
    type Error = PullError;

    async fn take(&mut self, mut line: Vec<u8>, rows: usize) -> Result<(), PullError> {
        *self.rows += rows;
        page::end_line(&mut line);
        self.lines.send(Ok(Line::Rows(line))).await
    }
}

impl Engine {
    /// Answers a wire-2 pull with lines; a failure is the last of them, unless the reader is the cause.
    pub async fn pull_lines(&self, principal: &Principal, request: &PullRequest, lines: &impl LineReader) {
        let mut sent = Box::pin(self.send_lines(principal, request, lines)).await;
        if let Err(PullError::Store(StoreError::UnknownTriggers)) = sent {
            // It shows before the first line.
            sent = match self.store.check_triggers().await {
                Ok(()) => Box::pin(self.send_lines(principal, request, lines)).await,
                Err(error) => Err(error.into()),
            };
        }
        let Err(failure) = sent else { return };
        if let PullError::Store(StoreError::StalePlan(_)) = failure {
            // The next one finds none; half of this one may have been sent.
            self.store.renew_connections();
        }
        tracing::warn!(error = &failure as &dyn std::error::Error, "a streamed pull ended early");
        if let PullError::Store(_) | PullError::TooManyBuckets(_) = failure {
            // The snapshot is gone; a reader that does not want to know is left alone.
            let _ = lines.send(Err(failure)).await;
        }
    }

    /// Sends all that is left in lanes that need no tombstones, as first syncs do; true when other lanes have more.
    async fn stream_full_lanes(
        &self,
        begun: &mut Begun<'_>,
        lines: &impl LineReader,
        rows: &mut usize,
    ) -> Result<bool, PullError> {
        let horizon = begun.reader.clock().horizon;
        let heads = page::heads(&self.tables);
        for lane in begun.lanes.iter_mut().filter(|lane| lane.floor >= horizon && !lane.is_done(horizon)) {
            let read = LaneRead { from: &lane.position, floor: lane.floor, buckets: &lane.buckets, limit: 0 };
            let mut sender = Sender { lines, rows };
            if begun.reader.full_scan(&read, &heads, &mut sender).await? {
                lane.position = Position::after(horizon);
            }
        }
        begun.lanes = merge(std::mem::take(&mut begun.lanes));
        Ok(begun.lanes.iter().any(|lane| !lane.is_done(horizon)))
    }

    async fn send_lines(
        &self,
        principal: &Principal,
        request: &PullRequest,
        lines: &impl LineReader,
    ) -> Result<(), PullError> {
        let hold_s = Some(lines.read_timeout_s() + SLACK_S);
        let plan = PullPlan { principal, max_buckets: self.max_buckets, wire: Wire::Two, request, hold_s };
        let (mut all, mut page) = (self.page(), self.page());
        let (mut begun, mut has_more) = self.begin(plan, STREAM_BUDGET, &mut page).await?;
        let total = self.total(&mut begun, page.row_count(), has_more).await?;
        let (mut rows, mut untold) = (0, total);
        if has_more {
            // What was read with the cursor comes first.
            rows += page.row_count();
            for line in page.first_lines(&mut untold) {
                lines.send(Ok(Line::Rows(line))).await?;
            }
            all.append_gone(&mut page);
            page = self.page();
            has_more = self.stream_full_lanes(&mut begun, lines, &mut rows).await?;
            begun.reader.take_unreadable().into_iter().for_each(|row| all.push_unreadable(row));
            if has_more {
                has_more = self.go_on(&mut begun, STREAM_BUDGET, &mut page).await?;
            }
        }
        loop {
            rows += page.row_count();
            for line in page.first_lines(&mut untold) {
                lines.send(Ok(Line::Rows(line))).await?;
            }
            // In one snapshot a row that some page shows is gone from none: all the actor's buckets are asked.
            all.append_gone(&mut page);
            if !has_more || all.gone_count() >= MAX_GONE {
                break;
            }
            page = self.page();
            has_more = self.go_on(&mut begun, STREAM_BUDGET, &mut page).await?;
        }
        let trailer = self.end(begun, has_more, rows, total).await?;
        let reset = trailer.reset;
        lines.send(Ok(Line::Last { line: all.last_line(trailer), reset, rows })).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Lines,
        testing::{self, Claims},
    };
    use sea_orm::ConnectionTrait as _;
    use std::time::Duration;
    use tokio::sync::mpsc;

    #[actix_web::test]
    async fn inv05_a_reader_that_takes_nothing_is_left_without_the_last_line() {
        let server = testing::server(testing::app(&testing::clock())).await;
        let engine = server.engine();
        let notes = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000) \
            insert into notes (id, shop_id) select 'n' || i, 's1' from n";
        engine.store.connection().execute_unprepared(notes).await.unwrap();
        let claims = Claims { user_id: "u".to_owned(), owner_id: "o".to_owned(), shop_id: "s1".to_owned() };
        let principal = Principal::new(claims, None);
        let request = PullRequest::default();

        let (to, mut from) = mpsc::channel(1);
        // It ends although nobody reads.
        engine.pull_lines(&principal, &request, &Lines::new(to, Duration::from_millis(1))).await;
        assert!(matches!(from.recv().await, Some(Ok(Line::Rows(_)))));
        assert!(from.recv().await.is_none(), "no cursor and no error: what came is worth nothing");
        // The one connection of a database in memory is free again.
        engine.store.begin().await.unwrap();

        let (to, mut from) = mpsc::channel(1_000);
        engine.pull_lines(&principal, &request, &Lines::new(to, Duration::from_secs(60))).await;
        let mut last = None;
        while let Some(line) = from.recv().await {
            last = Some(line);
        }
        assert!(matches!(last, Some(Ok(Line::Last { rows: 5000, .. }))), "{last:?}");
    }
}
