//! The outbox on its way: what is sent, what is answered, and a new sequence when memories part.

use super::{ChangedTables, NewId, SqliteStore, StoreError, tx::Tx};
use crate::session::{Memory, PushStored};
use nizhal_core::wire::{Mutation, MutationResult, MutationStatus};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::value::RawValue;

impl SqliteStore {
    pub(super) async fn batch(&self, most: usize, bytes: usize) -> Result<Vec<Mutation>, StoreError> {
        let sql = "select name, args, id, client_id, number, hlc, depends_on from _nizhal_outbox where state = 0 and number > 0 \
            order by number limit $1";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows =
            self.reads.query_all_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, [most.into()])).await?;
        let (mut batch, mut size) = (Vec::new(), 0);
        for row in rows {
            let (args, depends_on): (String, String) = (row.try_get("", "args")?, row.try_get("", "depends_on")?);
            size += args.len() + depends_on.len() + 300;
            if !batch.is_empty() && size > bytes {
                break;
            }
            batch.push(Mutation {
                name: row.try_get("", "name")?,
                args: RawValue::from_string(args)
                    .map_err(|_| StoreError::Broken("arguments are no JSON".to_owned()))?,
                client_mutation_id: row.try_get("", "id")?,
                client_id: Some(row.try_get("", "client_id")?),
                mutation_id: Some(row.try_get("", "number")?),
                hlc: row.try_get::<String>("", "hlc")?.parse().ok(),
                depends_on: serde_json::from_str(&depends_on).unwrap_or_default(),
            });
        }
        Ok(batch)
    }

    pub(super) async fn store_push(
        &self,
        results: &[MutationResult],
    ) -> Result<(PushStored, ChangedTables), StoreError> {
        let tx = self.begin().await?;
        let (mut applied, mut refused, mut parted) = (Vec::new(), Vec::new(), false);
        let ids: Vec<&str> = results.iter().map(|result| result.client_mutation_id.as_str()).collect();
        let sql = "select id, number from _nizhal_outbox where state = 0 and id in (select value from json_each($1)) order by number";
        let waiting = tx.all(sql, [json(&ids).into()]).await?;
        for (at, row) in waiting.iter().enumerate() {
            let (id, number): (String, i64) = (row.try_get("", "id")?, row.try_get("", "number")?);
            let Some(result) = results.iter().find(|result| result.client_mutation_id == id) else { continue };
            match result.status {
                MutationStatus::Applied | MutationStatus::Duplicate => applied.push(result),
                // Behind another of the batch is no news; a gap before the first is: the server knows less than we were told.
                MutationStatus::OutOfOrder => {
                    parted |= at == 0 && result.last_mutation_id.unwrap_or(0) < number - 1;
                }
                MutationStatus::Rejected | MutationStatus::Forbidden | MutationStatus::Cancelled => {
                    // The sequence is another's, or its number went to another mutation: this one never ran.
                    match result.code.as_deref() {
                        Some("client_id_taken" | "number_used") => parted = true,
                        _ => refused.push(result),
                    }
                }
            }
        }
        let answered = applied.len() + refused.len();
        let ids: Vec<&str> = applied.iter().map(|result| result.client_mutation_id.as_str()).collect();
        let sql = "update _nizhal_outbox set state = 1 where id in (select value from json_each($1))";
        tx.run(sql, [json(&ids).into()]).await?;
        for result in applied.iter().filter(|result| result.server_id.is_some()) {
            let sql = "update _nizhal_outbox set server_id = $1 where id = $2";
            tx.run(sql, [result.server_id.clone().into(), result.client_mutation_id.as_str().into()]).await?;
        }
        tx.forget_done().await?;
        if !refused.is_empty() {
            tx.undo().await?;
            for result in refused {
                let status = serde_json::to_value(result.status).ok();
                let status = status.as_ref().and_then(|status| status.as_str()).unwrap_or("rejected");
                let (code, error) = (result.code.as_deref(), result.error.as_deref());
                tx.add_dead_letter(
                    &result.client_mutation_id,
                    status,
                    code.unwrap_or(status),
                    error.unwrap_or_default(),
                )
                .await?;
            }
            tx.redo().await?;
        }
        tx.settle_blobs().await?;
        let memory = tx.meta().await?.memory();
        Ok((PushStored { memory, answered, parted }, tx.commit().await?))
    }

    pub(super) async fn park(
        &self,
        code: &str,
        error: &str,
        new_id: NewId<'_>,
    ) -> Result<(Memory, ChangedTables), StoreError> {
        let tx = self.begin().await?;
        let sql = "select id from _nizhal_outbox where state = 0 and number > 0 order by number limit 1";
        if let Some(row) = tx.one(sql, []).await? {
            tx.set_aside(vec![row.try_get("", "id")?], code, error, new_id).await?;
        }
        let memory = tx.meta().await?.memory();
        Ok((memory, tx.commit().await?))
    }
}

impl Tx<'_> {
    /// Makes dead letters of waiting mutations without the server's word, and of those that depend on them.
    pub(super) async fn set_aside(
        &self,
        ids: Vec<String>,
        code: &str,
        error: &str,
        new_id: NewId<'_>,
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.undo().await?;
        let mut had_number = false;
        for id in &ids {
            had_number |= self.add_dead_letter(id, "rejected", code, error).await?;
        }
        let mut gone = ids;
        // The server never hears of them, so it cannot cancel what depends on them.
        while let Some(cause) = gone.pop() {
            let sql = "select id from _nizhal_outbox where state = 0 and exists \
                (select 1 from json_each(depends_on) where value = $1) order by seq";
            for row in self.all(sql, [cause.clone().into()]).await? {
                let id: String = row.try_get("", "id")?;
                let text = format!("it depends on `{cause}`, which was refused");
                had_number |= self.add_dead_letter(&id, "cancelled", "cancelled", &text).await?;
                gone.push(id);
            }
        }
        if had_number {
            // Their numbers were never used: those behind them move up, in a sequence of their own.
            self.rotate(new_id, false).await?;
        } else {
            self.release_held().await?;
        }
        self.redo().await
    }

    /// Lets go of what is answered and shown by the rows.
    pub(super) async fn forget_done(&self) -> Result<(), StoreError> {
        self.keep_answered().await?;
        self.run("delete from _nizhal_outbox where state = 1 and covered = 1", []).await?;
        Ok(())
    }

    /// Gives the device a fresh `clientID` and numbers all that waits from 1, in order.
    ///
    /// What an earlier sequence delivered is delivered again: its `clientMutationId` makes that harmless where the server
    /// remembers, and necessary where it was restored from a backup. `lost`: the rows that showed it are replaced by ones that
    /// may not.
    pub(super) async fn rotate(&self, new_id: NewId<'_>, lost: bool) -> Result<(), StoreError> {
        let client_id = new_id().to_string();
        let held = self.held("true").await?;
        let sql = "update _nizhal_outbox set client_id = $1, number = r.n, state = 0, covered = case when $2 then 0 else covered end \
            from (select seq, case when waits then 0 else row_number() over (partition by waits order by seq) end as n from \
            (select seq, seq in (select value from json_each($3)) as waits from _nizhal_outbox)) r where r.seq = _nizhal_outbox.seq";
        self.run(sql, [client_id.clone().into(), lost.into(), held.into()]).await?;
        let sql = "update _nizhal_meta set client_id = $1, \
            next_number = 1 + (select count(*) from _nizhal_outbox where number > 0)";
        self.run(sql, [client_id.into()]).await?;
        Ok(())
    }

    /// Puts a mutation among the refused ones; its effects must be off the rows. Returns whether it had a number.
    pub(super) async fn add_dead_letter(
        &self,
        id: &str,
        status: &str,
        code: &str,
        error: &str,
    ) -> Result<bool, StoreError> {
        let sql = "insert into _nizhal_dead (seq, id, name, args, hlc, now, status, code, error, depends_on) \
            select seq, id, name, args, hlc, now, $2, $3, $4, depends_on from _nizhal_outbox where id = $1";
        self.run(sql, [id.into(), status.into(), code.into(), error.into()]).await?;
        let gone = self.one("delete from _nizhal_outbox where id = $1 returning number", [id.into()]).await?;
        Ok(gone.map(|row| row.try_get::<i64>("", "number")).transpose()?.is_some_and(|number| number > 0))
    }
}

fn json(ids: &[&str]) -> String {
    serde_json::to_string(ids).unwrap_or_default()
}
