//! The watch over the writer's connection: what commits on it, what SQLite rolled back by itself, and when it must be closed.
//!
//! The driver counts transactions by the statements that it sent. SQLite ends one by itself when a commit finds no room, or at
//! `insert or rollback`; the count is wrong from then on, and what later counts as a commit commits nothing. So SQLite itself is
//! asked: its commit hook must have run where a commit of ours succeeded, and lets nobody else's pass meanwhile; its rollback hook
//! tells of what was lost. A connection on which a transaction ended with an error is closed, and one that is given back in a
//! transaction too.
//!
//! Decision: book/src/decisions/sqlite.md#sqlite-itself-reports-how-a-transaction-ended

use crate::store::error::StoreError;
use nizhal_core::OpenFile;
use sea_orm::{DbErr, RuntimeErr};
use sqlx::{Connection, SqliteConnection, sqlite::SqlitePoolOptions};
use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};
use tokio::sync::Mutex;

/// The state of the one writer's connection.
#[derive(Debug, Default)]
pub(in crate::store) struct Guard {
    /// Whether a transaction of ours is open, so that a commit would be somebody else's.
    watching: AtomicBool,
    /// Whether SQLite rolled that transaction back.
    lost: AtomicBool,
    /// Whether SQLite committed since the end began.
    committed: AtomicBool,
    /// Whether the connection is closed when it is given back. Held while a transaction ends, so that the giving back waits for
    /// the outcome.
    broken: Mutex<bool>,
    /// The file that is open, unless all is in memory.
    file: OnceLock<Option<OpenFile>>,
}

impl Guard {
    /// The pool of the writer's connection, under watch.
    pub(super) fn watch(self: &Arc<Self>, pool: SqlitePoolOptions) -> SqlitePoolOptions {
        let (connected, released) = (self.clone(), self.clone());
        pool.after_connect(move |db, _| {
            let guard = connected.clone();
            Box::pin(async move { guard.attach(db).await })
        })
        .after_release(move |db, _| {
            let guard = released.clone();
            Box::pin(async move { guard.release(db).await })
        })
    }

    /// Keeps watch over the file at this path, of which a connection is open.
    pub(super) fn watch_file(&self, path: Option<&Path>) {
        let _ = self.file.set(path.and_then(OpenFile::at));
    }

    /// Whether what is committed is in the file that the database's name leads to.
    pub(super) fn check_file(&self) -> Result<(), StoreError> {
        Ok(self.file.get().and_then(Option::as_ref).map_or(Ok(()), OpenFile::check)?)
    }

    async fn attach(self: Arc<Self>, db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        // SQLite opens its log at the first look at the file.
        sqlx::raw_sql("select 1 from sqlite_schema limit 1").execute(&mut *db).await?;
        if let Some(Some(file)) = self.file.get() {
            file.reopened();
        }
        self.watching.store(false, SeqCst);
        self.lost.store(false, SeqCst);
        let mut handle = db.lock_handle().await?;
        let guard = self.clone();
        handle.set_commit_hook(move || {
            guard.committed.store(true, SeqCst);
            !guard.watching.load(SeqCst)
        });
        handle.set_rollback_hook(move || {
            if self.watching.load(SeqCst) {
                self.lost.store(true, SeqCst);
            }
        });
        Ok(())
    }

    /// Whether the connection may be used again.
    async fn release(self: Arc<Self>, db: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        let broken = std::mem::take(&mut *self.broken.lock().await);
        // What was left open is rolled back by now: the rollback was sent before this.
        db.ping().await?;
        let lost = self.lost.swap(false, SeqCst) && self.watching.load(SeqCst);
        self.watching.store(false, SeqCst);
        if broken || lost || !is_idle(db).await {
            tracing::warn!("a connection to SQLite whose transaction ended with an error is closed");
            return Ok(false);
        }
        Ok(true)
    }

    /// Begins the watch over a transaction of ours: nothing commits until it [ends](Self::commit).
    pub(super) fn watch_transaction(&self) {
        self.lost.store(false, SeqCst);
        self.watching.store(true, SeqCst);
    }

    /// Whether SQLite rolled the transaction back by itself.
    pub(super) fn is_lost(&self) -> bool {
        self.watching.load(SeqCst) && self.lost.load(SeqCst)
    }

    /// Closes the connection when it is given back.
    pub(super) async fn mark_broken(&self) {
        *self.broken.lock().await = true;
    }

    /// Ends the transaction by a commit, whose success SQLite must bear out.
    pub(super) async fn commit(&self, commit: impl Future<Output = Result<(), DbErr>>) -> Result<(), DbErr> {
        self.end(true, commit).await
    }

    /// Ends the transaction by a rollback.
    pub(super) async fn roll_back(&self, rollback: impl Future<Output = Result<(), DbErr>>) -> Result<(), DbErr> {
        self.end(false, rollback).await
    }

    async fn end(&self, commits: bool, end: impl Future<Output = Result<(), DbErr>>) -> Result<(), DbErr> {
        let mut broken = self.broken.lock().await;
        // Also where this future is dropped before it knows.
        let before = std::mem::replace(&mut *broken, true);
        self.committed.store(false, SeqCst);
        let was_watching = self.watching.swap(false, SeqCst);
        if commits && was_watching && self.lost.load(SeqCst) {
            return Err(rolled_back());
        }
        end.await?;
        if commits && was_watching && !self.committed.load(SeqCst) {
            return Err(rolled_back());
        }
        *broken = before;
        Ok(())
    }
}

/// Whether the connection is in no transaction, by the driver's count and by SQLite's own word.
pub(super) async fn is_idle(db: &mut SqliteConnection) -> bool {
    !db.is_in_transaction() && sqlx::raw_sql("begin; rollback").execute(db).await.is_ok()
}

fn rolled_back() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("SQLite rolled the transaction back by itself".to_owned()))
}
