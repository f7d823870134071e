//! A mutation of the app's own: its effect here and its place in the outbox, in one transaction.

use super::{
    ChangedTables, StoreError,
    error::{is_loss, is_transient},
    replay::Entry,
    tx::Tx,
};
use crate::session::Memory;
use nizhal_core::{DateTimeUtc, Error, Hlc, HlcClock, NodeId};
use sea_orm::{DbErr, Value};

/// A mutation as it is wanted.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its `clientMutationId`: a second write of the same id changes nothing.
    pub id: String,
    /// The mutator's wire name.
    pub name: String,
    /// Its arguments as JSON.
    pub args: String,
    /// When it is made: its stamp is of this time, or just after the one before, and its mutator is run at the time of its stamp.
    pub now: DateTimeUtc,
    /// Whether its effect shows at once, before the server has said anything.
    pub local: bool,
    /// Mutations without which it makes no sense, beyond those that made the rows it writes to.
    pub depends_on: Vec<String>,
    /// The refused mutation that it takes the place of.
    pub replaces: Option<String>,
}

/// What of a mutation shows on the device that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// All of it.
    Shown,
    /// Nothing before the server has answered, as was asked for; or it had been written before.
    Later,
    /// Nothing: only the server can run it.
    ServerOnly,
    /// Nothing: it changes a row that is not here, because its user may not see it or it was not pulled yet. It is run again over
    /// fresh rows.
    RowAbsent,
    /// Nothing: its mutator is replayed and fails on the rows that are here. The server decides: it has all rows, and runs the mutation
    /// at its place in time. It is run again here over fresh rows.
    Undecided {
        /// Why it fails here, for people.
        reason: String,
    },
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Written {
    /// What of it shows.
    pub effect: Effect,
    /// What the store holds now.
    pub memory: Memory,
    /// The tables that changed.
    pub changed_tables: ChangedTables,
}

/// Why a mutation was not written; nothing was changed and nothing queued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MutateError {
    /// The mutator said no.
    #[error("{0}")]
    Rejected(String),
    /// The arguments do not fit.
    #[error("{0}")]
    InvalidArgs(String),
    /// The app did not list the mutator.
    #[error("the mutator `{0}` is not listed: add it to .mutators(...)")]
    UnknownMutator(String),
    /// The mutator ended the transaction that it ran in, which is the engine's to end.
    #[error("the mutator `{0}` ended its transaction: leave COMMIT, ROLLBACK and `or rollback` out of it")]
    EndedTransaction(&'static str),
    /// The mutator failed on the rows that are here.
    #[error("the mutator failed")]
    Failed(#[source] Error),
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The client was closed.
    #[error("the client was closed")]
    Closed,
}

impl Tx<'_> {
    /// Puts a mutation into the outbox and runs it; what of it shows. What an error leaves behind is for the caller to
    /// roll back.
    pub(super) async fn write(&self, draft: Draft) -> Result<Effect, MutateError> {
        let call = self.store.schema().mutator(&draft.name).copied();
        let call = call.ok_or_else(|| MutateError::UnknownMutator(draft.name.clone()))?;
        let meta = self.meta().await?;
        let hlc = next_stamp(meta.hlc.as_deref(), &meta.node, draft.now);
        let sql = "insert into _nizhal_outbox (id, name, args, hlc, now, client_id, number, shown) \
            values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (id) do nothing returning seq";
        let values: [Value; 8] = [
            draft.id.clone().into(),
            draft.name.clone().into(),
            draft.args.clone().into(),
            hlc.to_string().into(),
            draft.now.to_rfc3339().into(),
            meta.client_id.into(),
            meta.next_number.into(),
            (if draft.local { 0 } else { 2 }).into(),
        ];
        // It is there already.
        let Some(row) = self.one(sql, values).await? else { return Ok(Effect::Later) };
        let seq: i64 = row.try_get("", "seq").map_err(StoreError::from)?;
        let sql = "update _nizhal_meta set next_number = next_number + 1, hlc = $1";
        self.run(sql, [hlc.to_string().into()]).await?;
        self.note_names(&draft.id, &draft.args).await?;
        let mut effect = Effect::Later;
        if draft.local {
            let pending = Entry { seq, id: draft.id, call, args: draft.args, hlc };
            match self.play(&pending).await? {
                Ok(()) => {
                    effect = Effect::Shown;
                    let sql = "update _nizhal_outbox set shown = 1 where seq = $1";
                    if self.run(sql, [seq.into()]).await? != 1 {
                        // It went back to before its own place in the outbox.
                        return Err(StoreError::EndedByMutator { name: call.desc.name, seq }.into());
                    }
                }
                Err(error) if self.is_servers(&error) => {
                    effect = Effect::ServerOnly;
                    self.leave_to_server(seq).await?;
                }
                Err(Error::Db(DbErr::RecordNotUpdated | DbErr::RecordNotFound(_))) => effect = Effect::RowAbsent,
                Err(Error::TransactionControl(_)) => return Err(MutateError::EndedTransaction(call.desc.name)),
                Err(Error::InvalidArgs(reason)) => return Err(MutateError::InvalidArgs(reason)),
                Err(Error::Db(error)) if is_loss(&error) || is_transient(&error) => {
                    return Err(StoreError::from(error).into());
                }
                Err(error) if call.desc.replay.is_some() => effect = Effect::Undecided { reason: error.to_string() },
                Err(Error::Rejected(reason)) => return Err(MutateError::Rejected(reason)),
                Err(error) => return Err(MutateError::Failed(error)),
            }
            self.run("update _nizhal_meta set capture = 0", []).await?;
        }
        self.depend(seq, &draft.depends_on).await?;
        self.hold_new(seq).await?;
        if let Some(dead_letter) = draft.replaces {
            self.keep_dead_letter(&dead_letter).await?;
            self.run("delete from _nizhal_dead where id = $1", [dead_letter.into()]).await?;
            self.settle_blobs().await?;
        }
        Ok(effect)
    }

    /// Notes what a mutation builds upon: the pending ones that made rows it wrote to, and those its caller named. When one of
    /// them is refused, it has nothing to stand on.
    async fn depend(&self, seq: i64, named: &[String]) -> Result<(), StoreError> {
        let named = serde_json::to_string(named).unwrap_or_default();
        let sql = "update _nizhal_outbox set depends_on = (select json_group_array(id) from (\
            select o.id as id from _nizhal_needs n join _nizhal_outbox o on o.seq = n.needs where n.seq = $1 and o.state = 0 \
            union select value from json_each($2))) \
            where seq = $1 and ($2 <> '[]' or exists (select 1 from _nizhal_needs where seq = $1))";
        self.run(sql, [seq.into(), named.into()]).await?;
        Ok(())
    }
}

/// The stamp after the last one, also when the device's clock was set back.
fn next_stamp(last: Option<&str>, node: &str, now: DateTimeUtc) -> Hlc {
    let mut clock = HlcClock::new(NodeId(u128::from_str_radix(node, 16).unwrap_or_default()));
    if let Some(last) = last.and_then(|last| last.parse::<Hlc>().ok()) {
        clock.receive(last, last.millis);
    }
    clock.tick(now.timestamp_millis())
}
