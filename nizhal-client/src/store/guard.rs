//! What SQLite itself says of the writer's transaction: whether it was committed, and by whom it was ended.
//!
//! The driver counts how deep it is in transactions, and is wrong when SQLite rolls back by itself (a full disk at COMMIT, an
//! interrupt, `raise(rollback)`): everything after that would be a savepoint that nobody commits. So SQLite's own hooks say what
//! became of a transaction, and a connection whose transaction did not end well is closed.

use super::ChangedTables;
use nizhal_core::{Displaced, OpenFile};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnection, SqlitePoolOptions};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Where a transaction stands.
const OPEN: u8 = 0;
/// We have asked for COMMIT; SQLite has not begun it.
const COMMITTING: u8 = 1;
const COMMITTED: u8 = 2;
/// We have asked for ROLLBACK.
const ROLLING_BACK: u8 = 3;
const ROLLED_BACK: u8 = 4;
/// Somebody else ended it: SQLite by itself, or a mutator.
const LOST: u8 = 5;

/// One transaction, as SQLite's hooks tell of it.
#[derive(Debug, Default)]
pub(super) struct Standing(AtomicU8);

impl Standing {
    fn change(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }

    /// Whether it was ended by somebody else: nothing of it is on the disk, or will be.
    pub(super) fn is_lost(&self) -> bool {
        self.0.load(SeqCst) == LOST
    }

    /// Lets the next COMMIT pass; false when there is nothing left to commit.
    pub(super) fn allow_commit(&self) -> bool {
        self.change(OPEN, COMMITTING)
    }

    /// Whether SQLite committed it.
    pub(super) fn is_committed(&self) -> bool {
        self.0.load(SeqCst) == COMMITTED
    }

    /// Lets the next ROLLBACK pass; false when there is nothing left to roll back.
    pub(super) fn allow_rollback(&self) -> bool {
        self.change(OPEN, ROLLING_BACK)
    }

    /// Whether the connection may be used again.
    fn ended_well(&self) -> bool {
        matches!(self.0.load(SeqCst), COMMITTED | ROLLED_BACK)
    }

    /// SQLite is about to commit; false makes it roll back.
    fn on_commit(&self) -> bool {
        if self.change(COMMITTING, COMMITTED) {
            return true;
        }
        self.0.store(LOST, SeqCst);
        false
    }

    fn on_rollback(&self) {
        if !self.change(ROLLING_BACK, ROLLED_BACK) {
            self.0.store(LOST, SeqCst);
        }
    }
}

/// Watches the one connection that writes.
#[derive(Debug, Default)]
pub(super) struct Guard {
    current: Mutex<Option<Arc<Standing>>>,
    /// BEGIN failed: the connection may be inside of something.
    suspect: AtomicBool,
    /// Tables whose rows changed.
    pub(super) changed_tables: Mutex<ChangedTables>,
    /// Counts the instructions that SQLite may still run; see [`Guard::interrupt_after`].
    instructions: Mutex<Option<Arc<std::sync::atomic::AtomicU64>>>,
    /// The file that is open, unless all is in memory.
    file: OnceLock<Option<OpenFile>>,
}

impl Guard {
    fn current(&self) -> std::sync::MutexGuard<'_, Option<Arc<Standing>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps watch over the file at this path, of which a connection is open.
    pub(super) fn watch_file(&self, path: Option<&Path>) {
        let _ = self.file.set(path.and_then(OpenFile::at));
    }

    /// Whether what is committed is in the file that the store's name leads to.
    pub(super) fn check_file(&self) -> Result<(), Displaced> {
        self.file.get().and_then(Option::as_ref).map_or(Ok(()), OpenFile::check)
    }

    /// A transaction was begun.
    pub(super) fn watch_transaction(&self) -> Arc<Standing> {
        let standing = Arc::<Standing>::default();
        *self.current() = Some(standing.clone());
        // What a transaction that came to nothing touched.
        self.changed_tables().clear();
        standing
    }

    /// A transaction could not be begun.
    pub(super) fn suspect(&self) {
        self.suspect.store(true, SeqCst);
    }

    pub(super) fn changed_tables(&self) -> std::sync::MutexGuard<'_, ChangedTables> {
        self.changed_tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has SQLite interrupt whatever it is doing after about so many of its instructions, once.
    pub(super) fn interrupt_after(&self, instructions: u64) {
        let left = Arc::new(std::sync::atomic::AtomicU64::new(instructions.max(1)));
        *self.instructions.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
        // The next connection is made with the counter.
        self.suspect();
    }

    /// How many of them are left, of the counter that was set last.
    pub(super) fn instructions_left(&self) -> u64 {
        let counter = self.instructions.lock().unwrap_or_else(PoisonError::into_inner);
        counter.as_ref().map_or(0, |left| left.load(SeqCst))
    }

    /// Has the pool watch its one connection.
    pub(super) fn watch(self: &Arc<Self>, pool: SqlitePoolOptions) -> SqlitePoolOptions {
        let (connected, released, taken) = (self.clone(), self.clone(), self.clone());
        pool.after_connect(move |connection, _| Box::pin(connected.clone().connected(connection)))
            .after_release(move |connection, _| {
                let standing = released.current().take();
                let well = standing.is_none_or(|standing| standing.ended_well()) && !connection.is_in_transaction();
                Box::pin(std::future::ready(Ok(well)))
            })
            .before_acquire(move |connection, _| {
                let well = !taken.suspect.swap(false, SeqCst) && !connection.is_in_transaction();
                Box::pin(std::future::ready(Ok(well)))
            })
    }

    async fn connected(self: Arc<Self>, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        *self.current() = None;
        // SQLite opens its log at the first look at the file.
        sqlx::raw_sql("select 1 from sqlite_schema limit 1").execute(&mut *connection).await?;
        if let Some(Some(file)) = self.file.get() {
            file.reopened();
        }
        let mut handle = connection.lock_handle().await?;
        let guard = self.clone();
        handle.set_update_hook(move |change| {
            if !change.table.starts_with("_nizhal_") {
                let mut changed_tables = guard.changed_tables();
                if !changed_tables.contains(change.table) {
                    changed_tables.insert(change.table.to_owned());
                }
            }
        });
        let guard = self.clone();
        handle.set_commit_hook(move || guard.current().as_ref().is_none_or(|standing| standing.on_commit()));
        let guard = self.clone();
        handle.set_rollback_hook(move || {
            if let Some(standing) = &*guard.current() {
                standing.on_rollback();
            }
        });
        if let Some(left) = self.instructions.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            handle.set_progress_handler(1, move || {
                left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) != Ok(1)
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv39_only_a_commit_that_was_asked_for_passes() {
        let asked = Standing::default();
        assert!(asked.allow_commit() && asked.on_commit() && asked.is_committed() && asked.ended_well());
        // The disk is full: SQLite rolls back in the middle of it.
        asked.on_rollback();
        assert!(asked.is_lost() && !asked.is_committed() && !asked.ended_well());
        let unasked = Standing::default();
        assert!(!unasked.on_commit() && unasked.is_lost());
        assert!(!unasked.allow_commit() && !unasked.on_commit() && !unasked.allow_rollback());
    }

    #[test]
    fn inv39_a_transaction_that_nobody_ended_costs_its_connection() {
        let open = Standing::default();
        assert!(!open.ended_well());
        assert!(open.allow_rollback() && !open.ended_well());
        open.on_rollback();
        assert!(open.ended_well() && !open.is_lost());
    }
}
