//! Mutators at work on the device: run when they are made, and again over fresh rows.

use super::{
    StoreError, ddl,
    error::{is_loss, is_transient},
    tx::Tx,
};
use futures_util::FutureExt as _;
use nizhal_core::{CtxParts, DateTimeUtc, Error, Hlc, MutationIds, MutatorEntry, Random};
use sea_orm::{DbErr, RuntimeErr};
use serde_json::value::RawValue;
use std::panic::AssertUnwindSafe;

/// The savepoint around a mutator.
const MUTATOR: &str = "_nizhal_mutator";

/// A pending mutation.
pub(super) struct Entry {
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) call: MutatorEntry,
    pub(super) args: String,
    pub(super) hlc: Hlc,
}

impl Tx<'_> {
    /// Runs one mutation in a savepoint; when it fails, its effects are gone. The triggers keep what it touches.
    ///
    /// # Errors
    /// When the store fails, or the mutator ended the store's transaction.
    pub(super) async fn play(&self, entry: &Entry) -> Result<Result<(), Error>, StoreError> {
        // A savepoint that the driver does not know: whatever savepoints a mutator makes by raw SQL are inside of it.
        self.run(&format!("savepoint {MUTATOR}"), []).await?;
        self.run("update _nizhal_meta set capture = 1, seq = $1", [entry.seq.into()]).await?;
        let Ok(args) = serde_json::from_str::<&RawValue>(&entry.args) else {
            return Ok(Err(Error::InvalidArgs("the arguments are no JSON".to_owned())));
        };
        let principal = self.store.principal();
        let mut ids = MutationIds::of(principal.key(), &entry.id, entry.hlc.millis);
        let parts = CtxParts {
            tx: self.savepoint().await?,
            principal,
            // Of the stamp, which the server has too.
            now: DateTimeUtc::from_timestamp_millis(entry.hlc.millis).unwrap_or_default(),
            hlc: entry.hlc,
            ids: Box::new(move || ids.next_id()),
            jobs: Vec::new(),
            random: Random::of(&entry.id),
            server: None,
        };
        let called = AssertUnwindSafe((entry.call.call)(parts, args)).catch_unwind().await;
        if self.is_lost() {
            return Err(lost(entry, called.map(|(_, result)| result.map(drop)).unwrap_or(Ok(()))));
        }
        let result = match called {
            Ok((parts, Ok(_))) => self.release(parts.tx).await.map(Ok),
            Ok((parts, Err(error))) => self.rollback_to(parts.tx).await.map(|()| Err(error)),
            // The driver's savepoint went with the panic.
            Err(_) => Ok(Err(Error::internal(format!("the mutator `{}` panicked", entry.call.desc.name)))),
        }?;
        if result.is_err() {
            self.run(&format!("rollback to {MUTATOR}"), []).await?;
        }
        self.run(&format!("release {MUTATOR}"), []).await?;
        Ok(result)
    }

    /// Whether only the server can run it: it says so, or it asks for a table that stays there.
    pub(super) fn is_servers(&self, error: &Error) -> bool {
        match error {
            Error::ServerOnly(_) => true,
            Error::Db(DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) => {
                let text = error.as_database_error().map(|error| error.message().to_owned()).unwrap_or_default();
                let missing = text.strip_prefix("no such table: ").map(|name| name.trim_start_matches("main."));
                missing.is_some_and(|name| self.store.schema().absent().contains(&name))
            }
            _ => false,
        }
    }

    /// Takes all pending effects off the rows.
    pub(super) async fn undo(&self) -> Result<(), StoreError> {
        let shown = self.one("select 1 from _nizhal_outbox where shown = 1 limit 1", []).await?;
        if shown.is_none() {
            return Ok(());
        }
        for table in self.store.schema().tables() {
            for sql in ddl::undo(table) {
                self.run(&sql, []).await?;
            }
        }
        self.run("delete from _nizhal_made", []).await?;
        self.run("delete from _nizhal_needs", []).await?;
        self.run("update _nizhal_outbox set shown = 0 where shown = 1", []).await?;
        Ok(())
    }

    /// Leaves a pending mutation to the server: it is not run here any more.
    pub(super) async fn leave_to_server(&self, seq: i64) -> Result<(), StoreError> {
        self.run("update _nizhal_outbox set shown = 2 where seq = $1", [seq.into()]).await?;
        Ok(())
    }

    /// Runs again, in order, all that the rows do not show yet. One that fails now stays queued without effect: the server decides.
    pub(super) async fn redo(&self) -> Result<(), StoreError> {
        let sql = "select seq, id, name, args, hlc from _nizhal_outbox where covered = 0 and shown = 0 order by seq";
        let mut shown: Vec<i64> = Vec::new();
        for row in self.all(sql, []).await? {
            let name: String = row.try_get("", "name")?;
            let hlc: String = row.try_get("", "hlc")?;
            // A mutator that an update of the app took away is the server's to judge.
            let Some(call) = self.store.schema().mutator(&name).copied() else { continue };
            let hlc = hlc.parse().map_err(|_| StoreError::Broken("the outbox has a stamp that is none".to_owned()))?;
            let entry = Entry {
                seq: row.try_get("", "seq")?,
                id: row.try_get("", "id")?,
                call,
                args: row.try_get("", "args")?,
                hlc,
            };
            match self.play(&entry).await? {
                Ok(()) => shown.push(entry.seq),
                // No fault of the mutation's: it would be without effect until the next replay.
                Err(Error::Db(error)) if is_transient(&error) || is_loss(&error) => return Err(error.into()),
                Err(error) => tracing::debug!(name, id = entry.id, %error, "a pending mutation has no effect for now"),
            }
        }
        if !shown.is_empty() {
            let shown = serde_json::to_string(&shown).unwrap_or_default();
            let sql = "update _nizhal_outbox set shown = 1 where seq in (select value from json_each($1))";
            self.run(sql, [shown.into()]).await?;
        }
        self.run("update _nizhal_meta set capture = 0", []).await?;
        Ok(())
    }
}

/// What a transaction that was lost while a mutator ran tells of: SQLite's own trouble, or the mutator's doing.
fn lost(entry: &Entry, result: Result<(), Error>) -> StoreError {
    match result {
        Err(Error::Db(error)) if is_transient(&error) => error.into(),
        _ => StoreError::EndedByMutator { name: entry.call.desc.name, seq: entry.seq },
    }
}
