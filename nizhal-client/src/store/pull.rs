//! A pull's answer: put aside until its snapshot is whole, then laid under the pending mutations in one transaction.

use super::image::{Attached, have};
use super::meta::Meta;
use super::{
    ChangedTables, NewId, PullAnswer, PullStart, REVISED_TABLE, SqliteStore, StoreError, purge::Purged, tx::Tx,
};
use crate::session::{Memory, PullStored};
use crate::wire::Page;
use nizhal_core::local::{LocalTable, cell};
use nizhal_core::wire::Batch;
use sea_orm::Value;
use std::sync::atomic::Ordering::Relaxed;

/// What `kind` says in `_nizhal_stage`.
const ROWS: i64 = 0;
const PAGE: i64 = 1;
pub(super) const IMAGE: i64 = 2;

impl SqliteStore {
    pub(super) async fn begin_pull(&self) -> Result<PullStart, StoreError> {
        let tx = self.begin().await?;
        let meta = tx.meta().await?;
        tx.run("delete from _nizhal_stage where loose = 1", []).await?;
        let buckets = if self.schema.has_demand() { Some(tx.subscriptions().await?) } else { None };
        tx.commit().await?;
        let (cursor, client_id) = (meta.position().to_owned(), meta.client_id);
        // Those of a later priority come after the first cursor.
        let seeds = if cursor.is_empty() || !meta.complete { self.seeds().await } else { Vec::new() };
        Ok(PullStart { cursor, client_id, seeds, buckets })
    }

    pub(super) async fn spill(&self, lines: &[Vec<u8>]) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        for line in lines {
            tx.stage(ROWS, 1, line.clone()).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn store_pull(
        &self,
        start: &PullStart,
        mut answer: PullAnswer,
        new_id: NewId<'_>,
    ) -> Result<(PullStored, ChangedTables), StoreError> {
        let last = std::mem::take(&mut answer.page);
        let page: Page<'_> = parse(&last)?;
        if page.has_more && !(page.complete && self.shows_part(start, &page).await?) {
            return self.store_page(start, answer, &page, &last).await;
        }
        let Some(attached) = self.attach(answer.images).await? else { return self.start_over().await };
        let stored = self.lay_pull(start, (&attached, answer.lines, &page), new_id).await;
        self.detach(&attached).await;
        if let Ok((PullStored { complete: true, .. }, _)) = &stored {
            self.clean_after_pull().await;
        }
        stored
    }

    /// Whether a whole snapshot of some buckets is shown before the others are here. Rows that are here already are not taken away for
    /// it: after a reset all stay until all have come.
    async fn shows_part(&self, start: &PullStart, page: &Page<'_>) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let meta = tx.meta().await?;
        tx.rollback().await;
        let reset = page.cursor_reset || start.cursor.is_empty() || (meta.staged.is_some() && meta.staged_reset);
        Ok(!(reset && meta.complete))
    }

    /// Puts a page aside whose snapshot goes on.
    async fn store_page(
        &self,
        start: &PullStart,
        answer: PullAnswer,
        page: &Page<'_>,
        last: &[u8],
    ) -> Result<(PullStored, ChangedTables), StoreError> {
        let tx = self.begin().await?;
        let meta = tx.meta().await?;
        if start.cursor != meta.position() || start.client_id != meta.client_id {
            return Ok(tx.pass_over(&meta).await);
        }
        let reset = page.cursor_reset || start.cursor.is_empty();
        if reset {
            tx.run("delete from _nizhal_stage where loose = 0", []).await?;
        }
        let moved = page.cursor != start.cursor;
        if moved {
            if !have(&answer.images, &page.images) {
                return Err(StoreError::ImagesMissing);
            }
            for line in answer.lines {
                tx.stage(ROWS, 1, line).await?;
            }
            for image in &answer.images {
                tx.stage(IMAGE, 1, serde_json::to_vec(image).unwrap_or_default()).await?;
            }
            tx.run("update _nizhal_stage set loose = 0", []).await?;
            let sql = "update _nizhal_meta set staged = $1, staged_reset = case when $2 then 1 when staged is null then 0 \
                else staged_reset end";
            tx.run(sql, [page.cursor.clone().into(), reset.into()]).await?;
            tx.stage(PAGE, 0, last.to_vec()).await?;
        }
        let memory = tx.meta().await?.memory();
        tx.commit().await?;
        Ok((PullStored { memory, moved, ..PullStored::default() }, ChangedTables::new()))
    }

    /// Lays the page that ends a snapshot, and all that was put aside of it.
    async fn lay_pull(
        &self,
        start: &PullStart,
        (attached, lines, page): (&Attached, Vec<Vec<u8>>, &Page<'_>),
        new_id: NewId<'_>,
    ) -> Result<(PullStored, ChangedTables), StoreError> {
        let tx = self.begin().await?;
        let meta = tx.meta().await?;
        if start.cursor != meta.position() || start.client_id != meta.client_id {
            return Ok(tx.pass_over(&meta).await);
        }
        if !attached.have(&page.images) {
            return Err(StoreError::ImagesMissing);
        }
        let reset = page.cursor_reset || start.cursor.is_empty();
        if reset {
            tx.run("delete from _nizhal_stage where loose = 0", []).await?;
        }
        let moved = page.cursor != start.cursor;
        let rotated = meta.epoch.as_ref().is_some_and(|epoch| *epoch != page.epoch);
        let reset = reset || (meta.staged.is_some() && meta.staged_reset);
        let staged = meta.staged.is_some() || tx.one("select 1 from _nizhal_stage limit 1", []).await?.is_some();
        let last_number = page.last_mutation_id.unwrap_or(0);
        let (complete, partly) = (!page.has_more, page.has_more);
        let notes_buckets = meta.incomplete > 0 || !page.later_rules.is_empty();
        let quiet = !staged && !reset && lines.is_empty() && page.is_empty() && !rotated;
        if quiet && !tx.covers(&start.client_id, last_number).await? {
            let sql =
                "update _nizhal_meta set cursor = $1, epoch = $2, complete = case when $3 then complete else 1 end";
            tx.run(sql, [page.cursor.as_str().into(), page.epoch.as_str().into(), page.has_more.into()]).await?;
            if notes_buckets {
                tx.note_complete(start, page).await?;
            }
            let memory = tx.meta().await?.memory();
            tx.commit().await?;
            return Ok((PullStored { memory, complete, partly, moved, rotated }, ChangedTables::new()));
        }
        tx.undo().await?;
        if reset {
            for table in self.schema.tables() {
                tx.run(&format!("delete from {}", table.name()), []).await?;
            }
            tx.run("delete from _nizhal_unreadable", []).await?;
        }
        tx.lay_images(attached).await?;
        let mut unclear = tx.lay_staged().await?;
        tx.lay_lines(lines).await?;
        unclear |= tx.lay_page(page).await?;
        if unclear {
            tx.rollback().await;
            return self.start_over().await;
        }
        tx.forget_readable().await?;
        if self.uniques_dropped.swap(false, Relaxed) || reset {
            for table in self.schema.tables() {
                tx.index_uniques(table).await?;
            }
        }
        let sql = "update _nizhal_meta set cursor = $1, epoch = $2, complete = case when $3 then complete else 1 end, staged = null, \
            staged_reset = 0";
        tx.run(sql, [page.cursor.as_str().into(), page.epoch.as_str().into(), page.has_more.into()]).await?;
        if notes_buckets {
            tx.note_complete(start, page).await?;
        }
        tx.run("delete from _nizhal_stage", []).await?;
        let sql =
            "update _nizhal_outbox set covered = 1 where client_id = $1 and number between 1 and $2 and covered = 0";
        tx.run(sql, [start.client_id.as_str().into(), last_number.into()]).await?;
        if rotated {
            // The server lost what it knew of our sequence, and maybe what it had acknowledged: all that the rows do not show for
            // certain is sent again.
            tx.rotate(new_id, true).await?;
        }
        tx.forget_done().await?;
        let is_revised = tx.revise(&page.revised).await?;
        tx.redo().await?;
        tx.settle_blobs().await?;
        tx.drop_unnamed_blobs().await?;
        let memory = tx.meta().await?.memory();
        let mut changed_tables = tx.commit().await?;
        if is_revised {
            changed_tables.insert(REVISED_TABLE.to_owned());
        }
        Ok((PullStored { memory, complete, partly, moved, rotated }, changed_tables))
    }

    /// Nothing of the answer is of use: the rows stay as they were, and all of them are asked for again.
    async fn start_over(&self) -> Result<(PullStored, ChangedTables), StoreError> {
        let tx = self.begin().await?;
        tx.forget_position().await?;
        let memory = tx.meta().await?.memory();
        tx.commit().await?;
        Ok((PullStored { memory, moved: true, ..PullStored::default() }, ChangedTables::new()))
    }

    pub(super) async fn rotate(&self, new_id: NewId<'_>) -> Result<Memory, StoreError> {
        let tx = self.begin().await?;
        tx.rotate(new_id, false).await?;
        let memory = tx.meta().await?.memory();
        tx.commit().await?;
        Ok(memory)
    }

    pub(super) async fn repair(&self, new_id: NewId<'_>) -> Result<Memory, StoreError> {
        let tx = self.begin().await?;
        tx.rotate(new_id, false).await?;
        tx.forget_position().await?;
        let memory = tx.meta().await?.memory();
        tx.commit().await?;
        Ok(memory)
    }
}

impl Tx<'_> {
    async fn stage(&self, kind: i64, loose: i64, body: Vec<u8>) -> Result<(), StoreError> {
        let sql = "insert into _nizhal_stage (kind, loose, body) values ($1, $2, $3)";
        self.run(sql, [kind.into(), loose.into(), Value::Bytes(Some(body))]).await?;
        Ok(())
    }

    /// Whether some mutation's effects are in the rows now that were not before.
    async fn covers(&self, client_id: &str, last: i64) -> Result<bool, StoreError> {
        let sql =
            "select 1 from _nizhal_outbox where client_id = $1 and number between 1 and $2 and covered = 0 limit 1";
        Ok(self.one(sql, [client_id.into(), last.into()]).await?.is_some())
    }

    /// Lays what was put aside, piece by piece, so that memory holds one; whether a purge was unclear.
    async fn lay_staged(&self) -> Result<bool, StoreError> {
        let (mut n, mut unclear) = (0_i64, false);
        let sql = "select n, kind, body from _nizhal_stage where n > $1 order by n limit 1";
        while let Some(row) = self.one(sql, [n.into()]).await? {
            n = row.try_get("", "n")?;
            let (kind, body): (i64, Vec<u8>) = (row.try_get("", "kind")?, row.try_get("", "body")?);
            match kind {
                ROWS => self.lay_batch(&parse(&body)?).await?,
                PAGE => unclear |= self.lay_page(&parse(&body)?).await?,
                // Laid before all others.
                _ => {}
            }
        }
        Ok(unclear)
    }

    async fn lay_page(&self, page: &Page<'_>) -> Result<bool, StoreError> {
        // What is gone first: a row may have moved to a bucket that is held.
        let unclear = matches!(self.purge(&page.removed_buckets).await?, Purged::Unclear);
        self.remove(&page.tombstoned).await?;
        self.remove(&page.removed).await?;
        for batch in &page.changed {
            self.lay_batch(batch).await?;
        }
        Ok(unclear)
    }

    async fn lay_batch(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        // A table that a newer server syncs means nothing to this app.
        let Some(table) = self.store.schema().table(&batch.table) else { return Ok(()) };
        self.lay_rows(table, cell::rows(table, batch.rows)?).await
    }

    pub(super) async fn lay_rows(&self, table: &LocalTable, read: cell::ReadRows) -> Result<(), StoreError> {
        for rows in read.groups {
            self.put(table, rows).await?;
        }
        self.leave_out(table, read.unreadable).await
    }

    /// Lays lines of rows. The next is read while SQLite works on the one before: a first sync is bound by the two of them.
    async fn lay_lines(&self, lines: Vec<Vec<u8>>) -> Result<(), StoreError> {
        let read = |line: Vec<u8>| {
            let schema = self.store.schema().clone();
            tokio::task::spawn_blocking(move || {
                let batch: Batch<'_> = parse(&line)?;
                let rows = schema.table(&batch.table).map(|table| cell::rows(table, batch.rows)).transpose()?;
                Ok::<_, StoreError>((batch.table.into_owned(), rows.unwrap_or_default()))
            })
        };
        let mut lines = lines.into_iter();
        let mut next = lines.next().map(read);
        while let Some(reading) = next {
            let (table, groups) = reading.await.map_err(std::io::Error::other)??;
            next = lines.next().map(read);
            if let Some(table) = self.store.schema().table(&table) {
                self.lay_rows(table, groups).await?;
            }
        }
        Ok(())
    }

    /// The answer is to an older question: its acknowledgement would drop another write.
    async fn pass_over(self, meta: &Meta) -> (PullStored, ChangedTables) {
        let stored = PullStored { memory: meta.memory(), moved: true, ..PullStored::default() };
        self.rollback().await;
        (stored, ChangedTables::new())
    }

    pub(super) async fn forget_position(&self) -> Result<(), StoreError> {
        self.run("update _nizhal_meta set cursor = '', staged = null, staged_reset = 0", []).await?;
        self.run("delete from _nizhal_stage", []).await?;
        Ok(())
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, StoreError> {
    serde_json::from_slice(body).map_err(|error| StoreError::Malformed(error.to_string()))
}
