//! A mutator's run on a transaction, what its outcome means, and whether what it wrote was its actor's to write.

use super::{
    actor::{EarlierMemberships, Holding, Holdings, RunningActor},
    reply::PushError,
};
use crate::{
    engine::Engine,
    observe::ConflictEvent,
    store::{Conflict, Membership, PullHeader, Record, StoreError, WriteSetEntry, is_cancelled},
};
use futures_util::FutureExt;
use nizhal_core::{
    Applied, Bucket, CtxParts, DateTimeUtc, Error, Hlc, MutationIds, MutatorEntry, NewJob, Principal, Random,
    ServerParts, TableDesc,
    limits::MAX_IDENTIFIER_BYTES,
    wire::{LostColumn, Mutation},
};
use sea_orm::{DatabaseTransaction, DbErr};
use std::{collections::BTreeSet, panic::AssertUnwindSafe, sync::Arc};

/// One run of a mutator.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) principal: &'a Principal,
    pub(super) entry: &'a MutatorEntry,
    pub(super) mutation: &'a Mutation,
    pub(super) hlc: Hlc,
    /// Whether each of its statements has a savepoint.
    pub(super) savepoints: bool,
    /// The memberships that its actor had before, where it may change them.
    pub(super) earlier: Option<&'a EarlierMemberships>,
    /// The bucket that it is replayed in.
    pub(super) replayed_in: Option<&'a Bucket>,
}

/// The end of a mutator's run.
pub(super) struct MutatorRun {
    /// The transaction that it ran on.
    pub(super) tx: DatabaseTransaction,
    /// The jobs that it wants done.
    pub(super) jobs: Vec<NewJob>,
    /// Its result to be stored, or a final refusal: then all that it did is to be rolled back.
    pub(super) result: Result<Record, PushError>,
    /// Memberships that it gained and wanted a number by; it is to run again when they were asked about.
    pub(super) gained: BTreeSet<Membership>,
}

impl Engine {
    /// Calls the mutator. Where it fails without an answer, the transaction is gone.
    pub(super) async fn run(&self, run: Run<'_>, tx: DatabaseTransaction) -> Result<MutatorRun, PushError> {
        let Run { principal, entry, mutation, hlc, savepoints, earlier, replayed_in } = run;
        let now = self.environment.now();
        // A device runs the same mutator with the same time and the same ids. It does not know where we clamp its stamp, so ids
        // follow from the stamp as it was sent.
        let made = mutation.hlc.and_then(|_| DateTimeUtc::from_timestamp_millis(hlc.millis)).unwrap_or(now);
        let sent = mutation.hlc.map_or(now.timestamp_millis(), |stamp| stamp.millis);
        let mut ids = MutationIds::of(principal.key(), &mutation.client_mutation_id, sent);
        // What runs again later has the same time then.
        let now = if replayed_in.is_some() { made } else { now };
        let actor = Arc::new(RunningActor::new((&self.schema, &self.store), principal, (entry, replayed_in), earlier));
        let parts = CtxParts {
            tx,
            principal: principal.clone(),
            now: made,
            hlc,
            ids: Box::new(move || ids.next_id()),
            jobs: Vec::new(),
            random: Random::of(&mutation.client_mutation_id),
            server: Some(ServerParts { scope: actor.clone(), now, savepoints }),
        };
        let calling = AssertUnwindSafe((entry.call)(parts, &mutation.args)).catch_unwind();
        let Some(called) = self.store.wait_for_app(self.mutator_timeout, calling).await? else {
            let (mutator, limit_s) = (entry.desc.name, self.mutator_timeout.as_secs());
            tracing::error!(mutator, limit_s, "a mutator took longer than it may");
            return Err(PushError::Internal("the mutator took longer than it may".into()));
        };
        let (CtxParts { tx, mut jobs, .. }, result) = called.map_err(|panic| {
            let (mutator, panic) = (entry.desc.name, panic_text(&*panic));
            tracing::error!(mutator, mutation = mutation.client_mutation_id, panic, "a mutator panicked");
            PushError::MutatorPanicked
        })?;
        jobs.iter_mut().for_each(|job| principal.key().clone_into(&mut job.actor));
        if result.is_ok() && self.store.is_lost() {
            // It went on after a statement that took all before it along.
            return Err(StoreError::Aborted.into());
        }
        let result = match result {
            Ok(applied) => Ok(record_of(&applied, mutation)),
            Err(Error::Rejected(reason)) => Err(PushError::Rejected(storable_reason(&reason))),
            Err(Error::InvalidArgs(reason)) => Err(PushError::InvalidArgs(storable_reason(&reason))),
            Err(Error::TransactionControl(reason)) => {
                tracing::error!(
                    mutator = entry.desc.name,
                    reason,
                    "a mutator may not control its transaction or its session"
                );
                Err(PushError::TransactionControl(reason))
            }
            // As the write of a row that is another's: which of both it is, is not the device's to know.
            Err(Error::Forbidden | Error::Db(DbErr::RecordNotUpdated)) => Err(PushError::Forbidden),
            // One that is too slow by itself is so each time: devices set a mutation aside at which a server that is well otherwise
            // fails (500), and wait for ever for a database that is busy (503).
            Err(Error::Db(error)) if is_cancelled(&error) => {
                let mutator = entry.desc.name;
                tracing::error!(
                    mutator,
                    "a statement of the mutator took longer than the database's statement_timeout"
                );
                return Err(PushError::Internal(error.into()));
            }
            Err(Error::Db(error)) => match self.judge(entry.desc.name, StoreError::from(error)) {
                refusal if refusal.is_final() => Err(refusal),
                failure => return Err(failure),
            },
            Err(Error::Internal(cause)) => return Err(PushError::Internal(cause)),
            Err(other) => return Err(PushError::Internal(other.into())),
        };
        let result = match result {
            Err(control @ PushError::TransactionControl(_)) => Err(control),
            _ if actor.is_refused() => Err(PushError::Forbidden),
            result => result,
        };
        Ok(MutatorRun { tx, jobs, result, gained: actor.gained() })
    }

    /// What the buckets that a mutation touched are to its actor, all together, but for those of tables that the mutator is privileged
    /// for. A public rule's bucket is everybody's to read and so nobody's to write, and a membership table is nobody's.
    pub(super) fn judge_writes(
        &self,
        run: (&Principal, &MutatorEntry),
        earlier: Option<&EarlierMemberships>,
        write_set: &[WriteSetEntry],
        header: &PullHeader,
    ) -> Result<Holding, StoreError> {
        let (principal, entry) = run;
        let checked = checked(entry.desc.privileged, write_set);
        if let Some(unheld) = checked.iter().find(|entry| is_unheld(entry)) {
            let (mutator, table, rule) = (entry.desc.name, &unheld.table, &unheld.bucket.rule);
            tracing::warn!(
                mutator,
                table,
                rule,
                "a table that is public, or that gives a rule its buckets, is written by #[mutator(privileged(Table))] alone"
            );
            return Ok(Holding::Foreign);
        }
        if checked.is_empty() {
            return Ok(Holding::Own);
        }
        let holdings = Holdings::new(&self.schema, principal, earlier, &header.members);
        Ok(holdings.all(checked.iter().map(|entry| &entry.bucket)))
    }

    /// The columns that a mutation did not get, for its device: none of tables that it may write beyond its actor's buckets, and
    /// none that no device sees.
    pub(super) fn lost(&self, entry: &MutatorEntry, conflicts: &[Conflict]) -> Option<String> {
        let is_seen = |conflict: &&Conflict| {
            let table = self.tables.iter().find(|table| table.name == conflict.table);
            let is_private = |table: &TableDesc| table.column(&conflict.column).is_some_and(|column| column.private);
            !entry.desc.privileged.contains(&conflict.table.as_str()) && table.is_some_and(|table| !is_private(table))
        };
        let lost = conflicts.iter().filter(is_seen).map(|Conflict { table, id, column, .. }| LostColumn {
            table: table.clone(),
            id: id.clone(),
            column: column.clone(),
        });
        let lost: Vec<LostColumn> = lost.collect();
        if lost.is_empty() { None } else { serde_json::to_string(&lost).ok() }
    }

    /// Tells of the columns that a late write did not get.
    pub(super) fn conflicted(&self, conflicts: &[Conflict]) {
        for Conflict { table, id, column, kept, lost } in conflicts {
            tracing::info!(table, id, column, kept, lost, "a late write lost against a later one");
            self.observers.conflict(&ConflictEvent::new(table, id, column, kept, lost));
        }
    }
}

/// What of the touched a mutator or a job answers for that is privileged for these tables.
pub(in crate::engine) fn checked<'a>(privileged: &[&str], write_set: &'a [WriteSetEntry]) -> Vec<&'a WriteSetEntry> {
    write_set.iter().filter(|entry| !privileged.contains(&entry.table.as_str())).collect()
}

/// Whether nobody holds what was touched: a public rule's bucket, or a row of a membership table.
pub(in crate::engine) fn is_unheld(write_set: &WriteSetEntry) -> bool {
    write_set.bucket.is_membership() || write_set.bucket.params.is_empty()
}

fn record_of(applied: &Applied, mutation: &Mutation) -> Record {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Reference {
        client_id: Option<String>,
    }
    let reference = || serde_json::from_str::<Reference>(mutation.args.get()).ok().and_then(|args| args.client_id);
    // A longer one is no client's id, and is not kept for it.
    let reference = || reference().filter(|id| id.len() <= MAX_IDENTIFIER_BYTES);
    Record {
        status: "applied",
        reason: None,
        result: serde_json::to_string(applied).ok(),
        client_ref: applied.server_id.is_some().then(reference).flatten(),
        server_id: applied.server_id.clone(),
        lost: None,
    }
}

/// The longest reason that is stored, in bytes.
const MAX_REASON_BYTES: usize = 2 * 1024;

/// A reason as it can be stored. It may quote what the device sent, however long that is, and Postgres cannot keep U+0000.
pub(super) fn storable_reason(reason: &str) -> String {
    let mut reason = reason.replace('\0', "");
    if reason.len() > MAX_REASON_BYTES {
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        reason.push('…');
    }
    reason
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}
