//! Replayed mutations whose result changed after they were answered: the server ran them again behind one that was made before them and
//! arrived later.
//!
//! Decision: book/src/decisions/device.md#answered-mutations-are-kept-to-be-parked

use super::{SqliteStore, StoreError, tx::Tx};
use nizhal_core::wire::{MutationStatus, RevisedMutation};
use nizhal_core::{Hlc, NodeId};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement};

/// The name under which changes of the list are told; no app's table begins so.
pub(crate) const TABLE: &str = "_nizhal_revised";

/// How many answered mutations are kept, and how many results that changed.
const MAX_KEPT: i64 = 1_000;
/// How old, by stamp, an answered mutation may be to be kept: nothing older runs again on a server.
const KEPT_MS: i64 = 14 * 24 * 3_600_000;

/// A mutation that got another result than it was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revised {
    /// Its `clientMutationId`.
    pub id: String,
    /// The mutator; `None` where the device does not have the mutation any more.
    pub name: Option<String>,
    /// Its arguments as JSON; `None` where the device does not have them any more.
    pub args: Option<String>,
    /// `applied`, and it is no dead letter any more; or `rejected`, `forbidden` or `cancelled`, and it is one if the device has it.
    pub status: String,
    /// Why it does not apply any more, for machines …
    pub code: Option<String>,
    /// … and for people.
    pub error: Option<String>,
}

/// What the device knows of an answered mutation.
struct Known {
    name: String,
    args: String,
    status: String,
}

impl SqliteStore {
    pub(super) async fn untold(&self) -> Result<Vec<Revised>, StoreError> {
        let sql = "select id, name, args, status, code, error from _nizhal_revised where told = 0 order by n";
        let rows = self.reads.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
        let read = |row: &QueryResult| {
            Ok(Revised {
                id: row.try_get("", "id")?,
                name: row.try_get("", "name")?,
                args: row.try_get("", "args")?,
                status: row.try_get("", "status")?,
                code: row.try_get("", "code")?,
                error: row.try_get("", "error")?,
            })
        };
        rows.iter().map(read).collect()
    }

    pub(super) async fn confirm(&self, revised: &Revised) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        // Remembered by its id, so that it is not told of again. Another result that came meanwhile is still to be told.
        let sql =
            "update _nizhal_revised set told = 1, name = null, args = null where id = $1 and status = $2 and told = 0";
        let count = tx.run(sql, [revised.id.as_str().into(), revised.status.as_str().into()]).await?;
        tx.commit().await?;
        Ok(count > 0)
    }
}

impl Tx<'_> {
    /// Keeps the replayed mutations of the outbox that are answered and shown by the rows; they are about to leave it.
    pub(super) async fn keep_answered(&self) -> Result<(), StoreError> {
        let sql = "insert or ignore into _nizhal_answered (seq, id, name, args, hlc, now, depends_on, status) \
            select seq, id, name, args, hlc, now, depends_on, 'applied' from _nizhal_outbox \
            where state = 1 and covered = 1 and name in (select value from json_each($1))";
        let Some(replayed) = self.replayed() else { return Ok(()) };
        if self.run(sql, [replayed.into()]).await? > 0 {
            self.prune_answered().await?;
        }
        Ok(())
    }

    /// Keeps a replayed mutation that is about to leave the dead letters: it may apply after all.
    pub(super) async fn keep_dead_letter(&self, id: &str) -> Result<(), StoreError> {
        let sql = "insert or ignore into _nizhal_answered (seq, id, name, args, hlc, now, depends_on, status) \
            select seq, id, name, args, hlc, now, depends_on, status from _nizhal_dead \
            where id = $1 and name in (select value from json_each($2))";
        let Some(replayed) = self.replayed() else { return Ok(()) };
        self.run(sql, [id.into(), replayed.into()]).await?;
        Ok(())
    }

    /// The names of the app's replayed mutators as JSON, if it has any.
    fn replayed(&self) -> Option<String> {
        let replayed = self.store.schema().replayed();
        (!replayed.is_empty()).then(|| serde_json::to_string(&replayed).unwrap_or_default())
    }

    async fn prune_answered(&self) -> Result<(), StoreError> {
        let last = self.meta().await?.hlc.and_then(|last| last.parse::<Hlc>().ok());
        // By the device's own stamps: a clock that jumps forgets nothing as long as nothing is written.
        let oldest = last.map(|last| Hlc { millis: last.millis - KEPT_MS, counter: 0, node: NodeId(0) }.to_string());
        let sql = "delete from _nizhal_answered where hlc < $1 \
            or seq <= (select seq from _nizhal_answered order by seq desc limit 1 offset $2)";
        self.run(sql, [oldest.unwrap_or_default().into(), MAX_KEPT.into()]).await?;
        Ok(())
    }

    /// Takes in what the server says of mutations that ran again; pending effects must be off the rows. Parks and unparks mutations and
    /// notes what is to be told. Returns whether there is anything to tell. A second time the same changes nothing.
    pub(super) async fn revise(&self, revised: &[RevisedMutation]) -> Result<bool, StoreError> {
        let mut news = false;
        for one in revised {
            let text = serde_json::to_value(one.status).ok();
            let status = text.as_ref().and_then(|text| text.as_str()).unwrap_or("rejected");
            news |= match one.status {
                MutationStatus::Applied | MutationStatus::Duplicate => self.unpark(&one.client_mutation_id).await?,
                MutationStatus::Rejected | MutationStatus::Forbidden | MutationStatus::Cancelled => {
                    self.park_answered(one, status).await?
                }
                MutationStatus::OutOfOrder => false,
            };
        }
        if news {
            let sql = "delete from _nizhal_revised where n <= (select n from _nizhal_revised order by n desc limit 1 offset $1)";
            self.run(sql, [MAX_KEPT.into()]).await?;
            self.settle_blobs().await?;
        }
        Ok(news)
    }

    /// A mutation that was answered applied does not apply any more.
    async fn park_answered(&self, one: &RevisedMutation, status: &str) -> Result<bool, StoreError> {
        let id = one.client_mutation_id.as_str();
        let (code, error) = (one.code.as_deref().unwrap_or(status), one.error.as_deref().unwrap_or_default());
        let outbox = self.one("select state from _nizhal_outbox where id = $1", [id.into()]).await?;
        match outbox.map(|row| row.try_get::<i64>("", "state")).transpose()? {
            // It is sent again, and its answer is the result that it has then.
            Some(0) => return Ok(false),
            Some(_) => drop(self.add_dead_letter(id, status, code, error).await?),
            None => {
                let sql = "update _nizhal_dead set status = $2, code = $3, error = $4 where id = $1";
                if self.run(sql, [id.into(), status.into(), code.into(), error.into()]).await? > 0 {
                    return Ok(false);
                }
                match self.known("_nizhal_answered", id).await? {
                    // It was refused before, and given up.
                    Some(known) if known.status != "applied" => return Ok(false),
                    Some(known) => {
                        let sql = "insert or ignore into _nizhal_dead (seq, id, name, args, hlc, now, status, code, error, depends_on) \
                            select seq, id, name, args, hlc, now, $2, $3, $4, depends_on from _nizhal_answered where id = $1";
                        self.run(sql, [id.into(), status.into(), code.into(), error.into()]).await?;
                        self.run("delete from _nizhal_answered where id = $1", [id.into()]).await?;
                        self.note_names(id, &known.args).await?;
                    }
                    None if self.told_of(id).await?.is_some_and(|told| told != "applied") => return Ok(false),
                    None => {}
                }
            }
        }
        let known = self.known("_nizhal_dead", id).await?;
        self.tell(id, known, (status, Some(code), Some(error))).await?;
        Ok(true)
    }

    /// A mutation that was refused applies after all. What the device does not know of is passed over: it may never have been refused.
    async fn unpark(&self, id: &str) -> Result<bool, StoreError> {
        self.keep_dead_letter(id).await?;
        let mut known = self.known("_nizhal_dead", id).await?;
        self.run("delete from _nizhal_dead where id = $1", [id.into()]).await?;
        if known.is_none() {
            known = self.known("_nizhal_answered", id).await?;
        }
        let status = match &known {
            Some(known) => Some(known.status.clone()),
            None => self.told_of(id).await?,
        };
        if status.is_none_or(|status| status == "applied") {
            return Ok(false);
        }
        self.run("update _nizhal_answered set status = 'applied' where id = $1", [id.into()]).await?;
        self.tell(id, known, ("applied", None, None)).await?;
        Ok(true)
    }

    async fn known(&self, table: &str, id: &str) -> Result<Option<Known>, StoreError> {
        let row = self.one(&format!("select name, args, status from {table} where id = $1"), [id.into()]).await?;
        let read = |row: QueryResult| {
            Ok(Known {
                name: row.try_get("", "name")?,
                args: row.try_get("", "args")?,
                status: row.try_get("", "status")?,
            })
        };
        row.map(read).transpose()
    }

    /// The result of which the app was told last, or is to be.
    async fn told_of(&self, id: &str) -> Result<Option<String>, StoreError> {
        let row = self.one("select status from _nizhal_revised where id = $1", [id.into()]).await?;
        Ok(row.map(|row| row.try_get("", "status")).transpose()?)
    }

    async fn tell(
        &self,
        id: &str,
        known: Option<Known>,
        (status, code, error): (&str, Option<&str>, Option<&str>),
    ) -> Result<(), StoreError> {
        let (name, args) = known.map(|known| (known.name, known.args)).unzip();
        self.run("delete from _nizhal_revised where id = $1", [id.into()]).await?;
        let sql = "insert into _nizhal_revised (id, name, args, status, code, error) values ($1, $2, $3, $4, $5, $6)";
        let code = code.map(str::to_owned);
        let error = error.map(str::to_owned);
        self.run(sql, [id.into(), name.into(), args.into(), status.into(), code.into(), error.into()]).await?;
        Ok(())
    }
}
