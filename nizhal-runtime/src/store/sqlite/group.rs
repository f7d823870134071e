//! Several pushes in one transaction: SQLite has one writer, and what a commit costs is the disk's.
//!
//! A push takes its turn and runs on a savepoint. When it is done it does not commit: it leaves the transaction for whoever
//! waits, and queues up behind them. The first that comes around again commits for all, and only then is any of them answered.
//! Turns are taken in the order they were asked for, so a push that nobody waits behind commits at once, and one that others
//! wait behind waits for those alone that came before its own end. What goes wrong in a turn is rolled back to its savepoint; when
//! the transaction itself is lost, all in it are told to try again. When their commit is refused, each is told to run alone: it
//! may be the fault of any of them, and nobody is to answer for another.
//!
//! Decision: book/src/decisions/sqlite.md#pushes-share-commits

use super::{guard::Guard, txn::clear_write_set};
use crate::store::{error::StoreError, failpoint::Failpoints};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Mutex, MutexGuard, oneshot};

/// The most pushes in one transaction.
const MAX_PUSHES_PER_COMMIT: usize = 50;
/// How long a push waits for its turn.
const SLOT_TIMEOUT: Duration = Duration::from_secs(10);

/// The transaction that the next turn goes on with.
#[derive(Debug, Default)]
pub(in crate::store) struct Group {
    next: Mutex<Option<Open>>,
    guard: Arc<Guard>,
    failpoints: Arc<Failpoints>,
}

#[derive(Debug)]
struct Open {
    tx: DatabaseTransaction,
    /// Those who wait for the commit: whether it was done, or refused. One that is dropped was lost.
    done: Vec<oneshot::Sender<bool>>,
}

/// One push's turn. Dropping it loses the whole transaction.
#[derive(Debug)]
pub(in crate::store) struct CommitSlot<'a> {
    group: &'a Group,
    next: MutexGuard<'a, Option<Open>>,
    open: Open,
    alone: bool,
}

impl Group {
    pub(super) fn new(guard: Arc<Guard>, failpoints: Arc<Failpoints>) -> Self {
        Self { next: Mutex::default(), guard, failpoints }
    }

    /// Waits for a turn, and makes its savepoint. One that is to be alone shares its commit with nobody.
    pub(in crate::store) async fn slot(
        &self,
        alone: bool,
        begin: impl AsyncFnOnce() -> Result<DatabaseTransaction, StoreError>,
    ) -> Result<(DatabaseTransaction, CommitSlot<'_>), StoreError> {
        let waiting = tokio::time::timeout(SLOT_TIMEOUT, self.next.lock());
        let mut next = waiting.await.map_err(|_| StoreError::Busy)?;
        let open = match next.take() {
            Some(open) if !alone => open,
            before => {
                if let Some(before) = before {
                    // Each of them hears how it went.
                    let _ = before.commit(self, true).await;
                }
                Open { tx: begin().await?, done: Vec::new() }
            }
        };
        let slot = CommitSlot { group: self, next, open, alone };
        let savepoint = async {
            self.failpoints.before(Some(&slot.open.tx)).await?;
            slot.open.tx.begin().await
        };
        match savepoint.await {
            Ok(savepoint) => Ok((savepoint, slot)),
            Err(error) => {
                slot.lose().await;
                Err(error.into())
            }
        }
    }

    /// Ends what is left of a transaction whose pushes are gone.
    pub(in crate::store) async fn close(&self) {
        if let Some(open) = self.next.lock().await.take() {
            let _ = open.commit(self, true).await;
        }
    }

    async fn keep(&self, savepoint: DatabaseTransaction) -> Result<(), StoreError> {
        self.failpoints.before(Some(&savepoint)).await?;
        Ok(savepoint.commit().await?)
    }
}

impl CommitSlot<'_> {
    /// Keeps the savepoint, and returns when the commit is on the disk.
    pub(in crate::store) async fn commit(self, savepoint: DatabaseTransaction) -> Result<(), StoreError> {
        if let Err(error) = self.group.keep(savepoint).await {
            self.lose().await;
            return Err(error);
        }
        if self.group.guard.is_lost() {
            self.lose().await;
            return Err(StoreError::Overtaken);
        }
        let Self { group, mut next, mut open, alone } = self;
        if alone || open.done.len() >= MAX_PUSHES_PER_COMMIT {
            let is_shared = !open.done.is_empty();
            return open.commit(group, is_shared).await;
        }
        let (done, committed) = oneshot::channel();
        open.done.push(done);
        *next = Some(open);
        drop(next);
        tokio::select! {
            biased;
            committed = committed => match committed {
                Ok(true) => Ok(()),
                Ok(false) => Err(StoreError::SharedCommit),
                Err(_) => Err(StoreError::Overtaken),
            },
            mut next = group.next.lock() => match next.take() {
                // Nobody took it on but those who were here before: their turns are over.
                // This push is one of those that wait.
                Some(open) => {
                    let is_shared = open.done.len() > 1;
                    open.commit(group, is_shared).await
                }
                None => Err(StoreError::Overtaken),
            },
        }
    }

    /// Goes on without this push; its savepoint is rolled back, or was dropped. Where it broke the connection, that is closed
    /// after this transaction.
    pub(in crate::store) async fn abandon(mut self, savepoint: Option<DatabaseTransaction>, is_broken: bool) {
        let Group { guard, failpoints, .. } = self.group;
        if is_broken {
            guard.mark_broken().await;
        }
        if let Some(savepoint) = savepoint {
            let rolled_back = async {
                failpoints.before(Some(&savepoint)).await?;
                savepoint.rollback().await
            };
            if rolled_back.await.is_err() {
                return self.lose().await;
            }
        }
        if guard.is_lost() {
            return self.lose().await;
        }
        if !self.open.done.is_empty() {
            *self.next = Some(self.open);
            return;
        }
        let tx = self.open.tx;
        let ended = guard.roll_back(async {
            failpoints.before(Some(&tx)).await?;
            tx.rollback().await
        });
        if let Err(error) = ended.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a rollback failed; its connection is closed");
        }
    }

    /// Gives the whole transaction up, with its connection; who waits for it is told by the silence.
    async fn lose(self) {
        self.group.guard.mark_broken().await;
    }
}

impl Open {
    /// The commit of all. Where it is refused and several share it, none of them answers for it.
    async fn commit(self, group: &Group, is_shared: bool) -> Result<(), StoreError> {
        let Self { tx, done } = self;
        let committed = async {
            group.failpoints.before(Some(&tx)).await?;
            clear_write_set(&tx).await?;
            let commit = async {
                group.failpoints.before(Some(&tx)).await?;
                tx.commit().await
            };
            Ok(group.guard.commit(commit).await?)
        };
        let committed: Result<(), StoreError> = committed.await;
        if committed.is_err() {
            group.guard.mark_broken().await;
        }
        let committed = committed.and_then(|()| group.guard.check_file());
        for done in done {
            // Who does not wait any more has no need to know.
            let _ = done.send(committed.is_ok());
        }
        match committed {
            Err(error) if is_shared => {
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    "a shared commit was refused; each push runs alone"
                );
                Err(StoreError::SharedCommit)
            }
            committed => committed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
    use std::cell::Cell;

    async fn database() -> DatabaseConnection {
        let db = Database::connect("sqlite::memory:").await.unwrap();
        let sql = "create table _nizhal_touched (note text); create table _nizhal_control (id integer, txn integer, hlc text); \
            create table t (id integer primary key)";
        db.execute_unprepared(sql).await.unwrap();
        db
    }

    async fn put(tx: &DatabaseTransaction, id: i32) {
        tx.execute_unprepared(&format!("insert into t (id) values ({id})")).await.unwrap();
    }

    async fn ids(db: &DatabaseConnection) -> Vec<i32> {
        let sql = "select id from t order by id";
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
        rows.iter().map(|row| row.try_get("", "id").unwrap()).collect()
    }

    #[tokio::test]
    async fn inv13_who_came_first_is_answered_when_those_behind_are_done() {
        let (db, group, answered) = (database().await, Group::default(), Cell::new(false));
        let begin = async || Ok(db.begin().await?);
        let (savepoint, slot) = group.slot(false, begin).await.unwrap();
        put(&savepoint, 1).await;
        let first = async {
            slot.commit(savepoint).await.unwrap();
            answered.set(true);
        };
        let refused = async {
            let (savepoint, slot) = group.slot(false, begin).await.unwrap();
            assert!(!answered.get(), "nothing is committed yet");
            put(&savepoint, 2).await;
            slot.abandon(Some(savepoint), false).await;
        };
        let faulty = async {
            let (savepoint, slot) = group.slot(false, begin).await.unwrap();
            put(&savepoint, 3).await;
            drop(savepoint);
            slot.abandon(None, false).await;
        };
        let last = async {
            let (savepoint, slot) = group.slot(false, begin).await.unwrap();
            assert!(!answered.get(), "one commit for all");
            put(&savepoint, 4).await;
            slot.commit(savepoint).await.unwrap();
        };
        // Those behind ask for their turns before the first one ends.
        tokio::join!(biased; refused, faulty, last, first);
        assert!(answered.get());
        assert_eq!(ids(&db).await, [1, 4]);
    }

    #[tokio::test]
    async fn inv13_a_push_that_nobody_waits_behind_commits() {
        let (db, group) = (database().await, Group::default());
        for id in [1, 2] {
            let (savepoint, slot) = group.slot(false, async || Ok(db.begin().await?)).await.unwrap();
            put(&savepoint, id).await;
            slot.commit(savepoint).await.unwrap();
            assert_eq!(ids(&db).await.len(), usize::try_from(id).unwrap());
        }
        let (savepoint, slot) = group.slot(false, async || Ok(db.begin().await?)).await.unwrap();
        slot.abandon(Some(savepoint), false).await;
        assert_eq!(ids(&db).await, [1, 2]);
    }

    #[tokio::test]
    async fn inv17_all_in_a_lost_transaction_are_told_to_try_again() {
        let (db, group) = (database().await, Group::default());
        let begin = async || Ok(db.begin().await?);
        let (savepoint, slot) = group.slot(false, begin).await.unwrap();
        put(&savepoint, 1).await;
        let lost = async {
            let (savepoint, slot) = group.slot(false, begin).await.unwrap();
            put(&savepoint, 2).await;
            drop((savepoint, slot));
        };
        let ((), committed) = tokio::join!(biased; lost, slot.commit(savepoint));
        assert!(matches!(committed, Err(StoreError::Overtaken)), "{committed:?}");
        assert!(ids(&db).await.is_empty());
    }

    #[tokio::test]
    async fn inv17_a_push_is_not_refused_for_anothers_deferred_constraint() {
        let db = database().await;
        let sql = "create table parents (id integer primary key); create table children (id integer primary key, \
            parent integer references parents deferrable initially deferred)";
        db.execute_unprepared(sql).await.unwrap();
        let group = Group::default();
        let begin = async || Ok(db.begin().await?);
        let good = async |alone| {
            let (savepoint, slot) = group.slot(alone, begin).await.unwrap();
            put(&savepoint, 1).await;
            slot.commit(savepoint).await
        };
        let bad = async |alone| {
            let (savepoint, slot) = group.slot(alone, begin).await.unwrap();
            savepoint.execute_unprepared("insert into children values (1, 7)").await.unwrap();
            slot.commit(savepoint).await
        };
        let (first, second) = tokio::join!(biased; good(false), bad(false));
        assert!(matches!(first, Err(StoreError::SharedCommit)), "{first:?}");
        assert!(matches!(second, Err(StoreError::SharedCommit)), "{second:?}");
        let (first, second) = tokio::join!(biased; good(true), bad(true));
        assert!(first.is_ok(), "{first:?}");
        assert!(matches!(second, Err(StoreError::Statement(_))), "{second:?}");
        assert_eq!(ids(&db).await, [1]);
    }
}
