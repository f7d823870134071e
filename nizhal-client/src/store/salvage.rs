//! What a broken file still tells of what was not synced: list by list, and row by row around what is damaged.

use super::{NewId, SqliteStore, StoreError};
use futures_util::TryStreamExt as _;
use nizhal_core::Hlc;
use serde_json::value::RawValue;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use std::collections::BTreeMap;
use std::path::Path;

/// What came of one list of a broken file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// How many were taken over.
    pub saved: u64,
    /// How many were not; `None` when the file does not say any more how many there were.
    pub lost: Option<u64>,
}

/// What was in the outbox, and the dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Salvaged {
    pub(super) outbox: Saved,
    pub(super) dead_letters: Saved,
}

const OUTBOX: &[&str] = &["id", "name", "args", "hlc", "now", "depends_on"];
const DEAD: &[&str] = &["id", "name", "args", "hlc", "now", "depends_on", "status", "code", "error"];
/// Of the outbox, what the server may not have, or the rows of it do not show for certain.
const UNSYNCED: &str = "state = 0 or covered = 0";

type List = BTreeMap<i64, Vec<String>>;

impl SqliteStore {
    /// Copies what was not synced out of a broken file. `ours`: whoever wrote it, it was this user.
    pub(super) async fn salvage(
        &self,
        from: &Path,
        ours: bool,
        user: &str,
        new_id: NewId<'_>,
    ) -> Result<Salvaged, StoreError> {
        let options = SqliteConnectOptions::new().filename(from).read_only(true);
        let Ok(mut broken) = options.connect().await else { return Ok(Salvaged::default()) };
        let owner = sqlx::query_scalar::<_, String>("select user from _nizhal_meta").fetch_one(&mut broken).await;
        // Nothing that may be somebody else's is sent in this user's name.
        match owner {
            Ok(owner) if owner != user => return Ok(Salvaged::default()),
            Err(_) if !ours => return Ok(Salvaged::default()),
            _ => {}
        }
        let counts = sqlx::query_as::<_, (i64, i64)>("select waiting, parked from _nizhal_meta");
        let (waiting, dead_letters) = counts.fetch_one(&mut broken).await.ok().unzip();
        let (outbox, outbox_ends) = list(&mut broken, "_nizhal_outbox", UNSYNCED, OUTBOX).await;
        let (dead, dead_ends) = list(&mut broken, "_nizhal_dead", "true", DEAD).await;
        // It was only read: what closing it says changes nothing.
        let _ = broken.close().await;

        let tx = self.begin().await?;
        for (seq, values) in &outbox {
            let sql = "insert or ignore into _nizhal_outbox (seq, id, name, args, hlc, now, depends_on, client_id, number) \
                values ($1, $2, $3, $4, $5, $6, $7, '', 0)";
            let values = values.iter().map(|value| value.as_str().into());
            tx.run(sql, std::iter::once((*seq).into()).chain(values)).await?;
        }
        for (at, values) in dead.values().enumerate() {
            // Below all that the new outbox will number, in their order.
            let seq = i64::try_from(at).unwrap_or(0) - i64::try_from(dead.len()).unwrap_or(0);
            let sql = "insert or ignore into _nizhal_dead (seq, id, name, args, hlc, now, depends_on, status, code, error) \
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
            let values = values.iter().map(|value| value.as_str().into());
            tx.run(sql, std::iter::once(seq.into()).chain(values)).await?;
        }
        tx.adopt_blobs().await?;
        tx.rotate(new_id, true).await?;
        // What is written from now on comes after what was saved, whatever the device's clock says.
        tx.run("update _nizhal_meta set hlc = (select max(hlc) from _nizhal_outbox)", []).await?;
        tx.commit().await?;
        Ok(Salvaged {
            outbox: saved(&outbox, waiting, outbox_ends),
            dead_letters: saved(&dead, dead_letters, dead_ends),
        })
    }
}

/// How much of a list that had so many entries was read; `whole`: it was read to its end.
fn saved(list: &List, counted: Option<i64>, whole: bool) -> Saved {
    let saved = list.len() as u64;
    let counted = counted.and_then(|counted| u64::try_from(counted).ok());
    Saved { saved, lost: if whole { Some(0) } else { counted.map(|counted| counted.saturating_sub(saved)) } }
}

/// Reads a list from its begin and, where that comes to a damaged page, from its end; whether nothing is missing.
async fn list(broken: &mut SqliteConnection, table: &str, of: &str, columns: &[&str]) -> (List, bool) {
    let mut list = List::new();
    let mut whole = true;
    for order in ["asc", "desc"] {
        let columns = columns.join(", ");
        // By the table itself: an index may be damaged where it is not.
        let sql = format!("select seq, {columns} from {table} not indexed where {of} order by seq {order}");
        let mut rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch(&mut *broken);
        loop {
            match rows.try_next().await {
                Ok(Some(row)) => match entry(&row) {
                    Some((seq, values)) => drop(list.insert(seq, values)),
                    None => whole = false,
                },
                Ok(None) => return (list, whole),
                Err(_) => break,
            }
        }
        whole = false;
    }
    (list, whole)
}

/// An entry that is one: a damaged page can read as anything.
fn entry(row: &SqliteRow) -> Option<(i64, Vec<String>)> {
    let values: Vec<String> = (1..row.len()).map(|at| row.try_get(at).ok()).collect::<Option<_>>()?;
    let [id, name, args, hlc, now, depends_on, ..] = &values[..] else { return None };
    serde_json::from_str::<&RawValue>(args).ok()?;
    serde_json::from_str::<Vec<String>>(depends_on).ok()?;
    hlc.parse::<Hlc>().ok()?;
    chrono::DateTime::parse_from_rfc3339(now).ok()?;
    (!id.is_empty() && !name.is_empty()).then_some(())?;
    Some((row.try_get(0).ok()?, values))
}
