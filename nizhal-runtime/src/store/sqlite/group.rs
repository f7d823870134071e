//! Several pushes in one transaction: SQLite has one writer, and what a commit costs is the disk's.
//!
//! A push takes its turn and runs on a savepoint. When it is done it does not commit: it leaves the transaction for whoever
//! waits, and queues up behind them. The first that comes around again commits for all, and only then is any of them answered.
//! Turns are taken in the order they were asked for, so a push that nobody waits behind commits at once, and one that others
//! wait behind waits for those alone that came before its own end. What goes wrong in a turn is rolled back to its savepoint; when
//! the transaction itself is lost, all in it are told to try again.

use super::txn::settled;
use crate::store::StoreError;
use sea_orm::{DatabaseTransaction, TransactionTrait};
use tokio::sync::{Mutex, MutexGuard, oneshot};

/// The most pushes in one transaction.
const MOST: usize = 50;

/// The transaction that the next turn goes on with.
#[derive(Debug, Default)]
pub(in crate::store) struct Group(Mutex<Option<Open>>);

#[derive(Debug)]
struct Open {
    tx: DatabaseTransaction,
    /// Those who wait for the commit.
    done: Vec<oneshot::Sender<()>>,
}

/// One push's turn. Dropping it loses the whole transaction.
#[derive(Debug)]
pub(in crate::store) struct Turn<'a> {
    group: &'a Group,
    next: MutexGuard<'a, Option<Open>>,
    open: Open,
}

impl Group {
    /// Waits for a turn, and makes its savepoint.
    pub(in crate::store) async fn turn(
        &self,
        begin: impl AsyncFnOnce() -> Result<DatabaseTransaction, StoreError>,
    ) -> Result<(DatabaseTransaction, Turn<'_>), StoreError> {
        let mut next = self.0.lock().await;
        let open = match next.take() {
            Some(open) => open,
            None => Open { tx: begin().await?, done: Vec::new() },
        };
        let turn = Turn { group: self, next, open };
        Ok((turn.open.tx.begin().await?, turn))
    }

    /// Ends what is left of a transaction whose pushes are gone.
    pub(in crate::store) async fn close(&self) {
        if let Some(open) = self.0.lock().await.take() {
            let _ = open.commit().await;
        }
    }
}

impl Turn<'_> {
    /// Keeps the savepoint, and returns when the commit is on the disk.
    pub(in crate::store) async fn commit(self, savepoint: DatabaseTransaction) -> Result<(), StoreError> {
        let Self { group, mut next, mut open } = self;
        savepoint.commit().await?;
        if open.done.len() >= MOST {
            return open.commit().await;
        }
        let (done, committed) = oneshot::channel();
        open.done.push(done);
        *next = Some(open);
        drop(next);
        tokio::select! {
            biased;
            told = committed => told.map_err(|_| StoreError::Overtaken),
            mut next = group.0.lock() => match next.take() {
                // Nobody took it on but those who were here before: their turns are over.
                Some(open) => open.commit().await,
                None => Err(StoreError::Overtaken),
            },
        }
    }

    /// Goes on without this push, whose savepoint was rolled back or dropped.
    pub(in crate::store) async fn abandon(mut self) {
        if self.open.done.is_empty() {
            let _ = self.open.tx.rollback().await;
        } else {
            *self.next = Some(self.open);
        }
    }
}

impl Open {
    async fn commit(self) -> Result<(), StoreError> {
        settled(&self.tx).await?;
        self.tx.commit().await?;
        for done in self.done {
            // Who does not wait any more has no need to know.
            let _ = done.send(());
        }
        Ok(())
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
        let (savepoint, turn) = group.turn(begin).await.unwrap();
        put(&savepoint, 1).await;
        let first = async {
            turn.commit(savepoint).await.unwrap();
            answered.set(true);
        };
        let refused = async {
            let (savepoint, turn) = group.turn(begin).await.unwrap();
            assert!(!answered.get(), "nothing is committed yet");
            put(&savepoint, 2).await;
            savepoint.rollback().await.unwrap();
            turn.abandon().await;
        };
        let faulty = async {
            let (savepoint, turn) = group.turn(begin).await.unwrap();
            put(&savepoint, 3).await;
            drop(savepoint);
            turn.abandon().await;
        };
        let last = async {
            let (savepoint, turn) = group.turn(begin).await.unwrap();
            assert!(!answered.get(), "one commit for all");
            put(&savepoint, 4).await;
            turn.commit(savepoint).await.unwrap();
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
            let (savepoint, turn) = group.turn(async || Ok(db.begin().await?)).await.unwrap();
            put(&savepoint, id).await;
            turn.commit(savepoint).await.unwrap();
            assert_eq!(ids(&db).await.len(), usize::try_from(id).unwrap());
        }
        let (savepoint, turn) = group.turn(async || Ok(db.begin().await?)).await.unwrap();
        savepoint.rollback().await.unwrap();
        turn.abandon().await;
        assert_eq!(ids(&db).await, [1, 2]);
    }

    #[tokio::test]
    async fn inv17_all_in_a_lost_transaction_are_told_to_try_again() {
        let (db, group) = (database().await, Group::default());
        let begin = async || Ok(db.begin().await?);
        let (savepoint, turn) = group.turn(begin).await.unwrap();
        put(&savepoint, 1).await;
        let lost = async {
            let (savepoint, turn) = group.turn(begin).await.unwrap();
            put(&savepoint, 2).await;
            drop((savepoint, turn));
        };
        let ((), told) = tokio::join!(biased; lost, turn.commit(savepoint));
        assert!(matches!(told, Err(StoreError::Overtaken)), "{told:?}");
        assert!(ids(&db).await.is_empty());
    }
}
