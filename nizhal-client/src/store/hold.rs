//! Mutations that wait for an upload. They have no number until it is over, so that the device's sequence has no gap and others pass
//! them.
//!
//! Decision: book/src/decisions/device.md#a-mutation-that-waits-for-an-upload-has-no-number-yet

use super::{StoreError, tx::Tx};
use nizhal_core::find_blobs;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Blobs that the server does not have, as SQL: queued or failed.
const UNSENT: &str = "b.state in (0, 1)";

impl Tx<'_> {
    /// Notes the blobs that a new mutation names. One that the server refused is tried again, since somebody wants it again.
    pub(super) async fn note_names(&self, id: &str, args: &str) -> Result<(), StoreError> {
        let mut named = BTreeSet::new();
        // The server refuses arguments that cannot be searched.
        if find_blobs(args, &mut named).is_err() || named.is_empty() {
            return Ok(());
        }
        let named = serde_json::to_string(&named).unwrap_or_default();
        let sql = "insert or ignore into _nizhal_named (id, sha256) select $1, value from json_each($2)";
        self.run(sql, [id.into(), named.clone().into()]).await?;
        let sql = "update _nizhal_blobs set named = 1, state = case state when 1 then 0 else state end, code = null, error = null \
            where sha256 in (select value from json_each($1)) and state < 4";
        self.run(sql, [named.into()]).await?;
        Ok(())
    }

    /// Takes the number from the mutation that was just written, if it has to wait: it names a blob that is not sent, depends on a
    /// mutation that waits, or writes a row that such a one writes.
    pub(super) async fn hold_new(&self, seq: i64) -> Result<(), StoreError> {
        let sql = format!(
            "update _nizhal_outbox set number = 0 where seq = $1 and (\
             exists (select 1 from _nizhal_named n join _nizhal_blobs b on b.sha256 = n.sha256 \
                where n.id = _nizhal_outbox.id and {UNSENT}) \
             or exists (select 1 from _nizhal_outbox h where h.number = 0 and h.seq < $1 and (\
                h.id in (select value from json_each(_nizhal_outbox.depends_on)) \
                or exists (select 1 from _nizhal_touched mine join _nizhal_touched theirs on theirs.tbl = mine.tbl \
                    and theirs.id = mine.id where mine.seq = $1 and theirs.seq = h.seq))))"
        );
        if self.run(&sql, [seq.into()]).await? > 0 {
            self.run("update _nizhal_meta set next_number = next_number - 1", []).await?;
        }
        Ok(())
    }

    /// Gives the next numbers to those that need not wait any more.
    pub(super) async fn release_held(&self) -> Result<(), StoreError> {
        if self.one("select 1 from _nizhal_outbox where number = 0 limit 1", []).await?.is_none() {
            return Ok(());
        }
        let held = self.held("number = 0").await?;
        let sql = "update _nizhal_outbox set client_id = m.client_id, number = m.next_number - 1 + r.n from _nizhal_meta m, \
            (select seq, row_number() over (order by seq) as n from _nizhal_outbox \
                where number = 0 and seq not in (select value from json_each($1))) r \
            where r.seq = _nizhal_outbox.seq";
        let released = self.run(sql, [held.into()]).await?;
        let released = i64::try_from(released).unwrap_or(0);
        self.run("update _nizhal_meta set next_number = next_number + $1", [released.into()]).await?;
        Ok(())
    }

    /// The places in the outbox, as a JSON array, of the mutations among these that have to wait.
    pub(super) async fn held(&self, among: &str) -> Result<String, StoreError> {
        let unsent = self.one(&format!("select 1 from _nizhal_blobs b where {UNSENT} limit 1"), []).await?;
        if unsent.is_none() {
            return Ok("[]".to_owned());
        }
        let mut rows: HashMap<i64, Vec<(String, String)>> = HashMap::new();
        for row in self.all("select seq, tbl, id from _nizhal_touched", []).await? {
            rows.entry(row.try_get("", "seq")?).or_default().push((row.try_get("", "tbl")?, row.try_get("", "id")?));
        }
        let sql = format!(
            "select seq, id, depends_on, exists (select 1 from _nizhal_named n join _nizhal_blobs b on b.sha256 = n.sha256 \
             where n.id = o.id and {UNSENT}) as unsent from _nizhal_outbox o where {among} order by seq"
        );
        let (mut held, mut ids, mut taken) = (Vec::new(), HashSet::new(), HashSet::new());
        for row in self.all(&sql, []).await? {
            let (seq, id): (i64, String) = (row.try_get("", "seq")?, row.try_get("", "id")?);
            let depends_on: Vec<String> =
                serde_json::from_str(&row.try_get::<String>("", "depends_on")?).unwrap_or_default();
            let touched = rows.remove(&seq).unwrap_or_default();
            let waits = row.try_get::<bool>("", "unsent")?
                || depends_on.iter().any(|on| ids.contains(on))
                || touched.iter().any(|row| taken.contains(row));
            if waits {
                held.push(seq);
                ids.insert(id);
                taken.extend(touched);
            }
        }
        Ok(serde_json::to_string(&held).unwrap_or_default())
    }
}
