//! The end of mutations: their answers filed, their number used up, and what it takes to judge what they wrote, in one statement.
//!
//! The answers are written before the write scope is checked, and both before the commit: who finds a write that was not
//! allowed rolls all of it back.

use super::{
    MutationKey, Record, StoreError, WriteSetSeal, WriteTx, Written,
    database::{Backend, Store},
    postgres::{RecordSql, kind},
    read::PullHeader,
    triggers::SQLITE_FINGERPRINT,
};
use nizhal_core::Principal;
use sea_orm::Value;

/// The reason that a device gets for a mutator that left something behind for whoever has SQLite's one writer next.
const TEMPORARY: &str = "the mutation left a temporary table or trigger behind: drop it before it ends";

/// How mutations of one client end, in one transaction.
#[derive(Debug)]
pub struct RecordResults<'a> {
    /// Whose they are.
    pub principal: &'a Principal,
    /// Their client's number up to which all are used up now, when they are in a sequence.
    pub sequence: Option<(&'a str, i64)>,
    /// The version of the client's mutation before, for those that drew none.
    pub before: i64,
    /// The mutations with their answers, in order.
    pub answers: &'a [(MutationKey<'a>, Record)],
    /// What they wrote, as far as it was [looked at](WriteTx::take_write_set) before.
    pub taken: &'a str,
    /// What the write set began with.
    pub seal: &'a WriteSetSeal,
}

impl RecordResults<'_> {
    /// The number up to which their client has its answers.
    fn acknowledged(&self) -> i64 {
        self.answers.iter().map(|(key, _)| key.acknowledged).max().unwrap_or_default()
    }
}

impl WriteTx<'_> {
    /// Files the answers, uses up the sequence numbers, and returns what was written since it was last looked at, and what the actor
    /// may write. The header has the rules and the memberships alone; of these, on Postgres, those that what was written names, so
    /// that the work does not grow with the actor's buckets. What is deferred until the commit runs before that, and its errors are of
    /// here: a trigger that writes at the commit would write unjudged.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] when one of the mutations was answered elsewhere meanwhile, [`StoreError::Unsealed`] when app code
    /// cleared what it wrote, [`StoreError::UnknownTriggers`] when the triggers are to be looked into; else when the database fails.
    pub async fn record_results(
        &self,
        record_results: &RecordResults<'_>,
    ) -> Result<(Written, PullHeader), StoreError> {
        match self.store().record_sql() {
            Some(sql) => self.record_at_once(sql, record_results).await,
            None => self.record_one_by_one(record_results).await,
        }
    }

    async fn record_at_once(
        &self,
        sql: &RecordSql,
        record_results: &RecordResults<'_>,
    ) -> Result<(Written, PullHeader), StoreError> {
        let (client_id, last) = record_results.sequence.unzip();
        let mut values: Vec<Value> = vec![
            record_results.principal.key().into(),
            client_id.map(str::to_owned).into(),
            last.into(),
            record_results.before.into(),
            record_results.taken.into(),
            record_results.acknowledged().into(),
        ];
        let text = match record_results.answers {
            [(key, record)] => {
                values.extend(answer(key, record));
                &sql.one
            }
            several => {
                let several: Vec<_> = several.iter().map(|(key, record)| as_json(key, record)).collect();
                values.push(serde_json::Value::from(several).to_string().into());
                &sql.many
            }
        };
        values
            .extend(self.store().scope_args(record_results.principal).iter().map(|arg| self.store().scope_value(arg)));
        let (mut written, mut header, mut filed) = (Written::default(), PullHeader::default(), None);
        let (mut leaves_tables, mut wrote_last) = (false, false);
        for row in self.all(text, values).await? {
            let (rule, param): (i32, i32) = (row.try_get("", "rule")?, row.try_get("", "param")?);
            let value: String = row.try_get("", "value")?;
            match rule {
                kind::WRITTEN => written = Written::read(value)?,
                kind::FILED => {
                    filed = Some(row.try_get("", "number")?);
                    header.rules = value;
                }
                kind::TRIGGERS => {
                    self.store().know_triggers(&value)?;
                    leaves_tables = row.try_get::<i64>("", "number")? != 0;
                }
                kind::LEFT => {}
                kind::DUE => wrote_last = row.try_get::<i64>("", "number")? != 0,
                _ => header.members.extend(
                    usize::try_from(rule)
                        .ok()
                        .zip(usize::try_from(param).ok())
                        .map(|(rule, param)| (rule, param, value)),
                ),
            }
        }
        record_results.seal.check(&written.raw_write_set)?;
        written.leaves_tables = leaves_tables;
        all_filed(filed.ok_or_else(StoreError::no_control)?, record_results)?;
        if wrote_last {
            // The memberships are those that the statement began with, and deferred triggers may have changed them.
            header.members = self.header(&self.store().scope_args(record_results.principal)).await?.members;
        }
        Ok((written, header))
    }

    /// SQLite is in this process: there is nothing to save by asking at once.
    async fn record_one_by_one(&self, record_results: &RecordResults<'_>) -> Result<(Written, PullHeader), StoreError> {
        let mut written = self.take_write_set(record_results.seal).await?;
        let sql = format!(
            "select ({SQLITE_FINGERPRINT}) as triggers, (select count(*) from sqlite_temp_schema) as temporary"
        );
        if let Some(row) = self.one(&sql, []).await? {
            self.store().know_triggers(&row.try_get::<String>("", "triggers")?)?;
            if row.try_get::<i64>("", "temporary")? != 0 {
                return Err(StoreError::Unsealed(TEMPORARY));
            }
        }
        if !record_results.taken.is_empty() {
            let row = self.one("select txn from _nizhal_control where id = 1", []).await?;
            written.version = row.map(|row| row.try_get("", "txn")).transpose()?;
        }
        let version = written.version.unwrap_or(record_results.before);
        let (mut header, mut filed) = (PullHeader::default(), 0);
        let sql = "insert into _nizhal_mutations (actor, client_id, version, client_mutation_id, mutation_id, name, status, \
            reason, result, client_ref, server_id, lost) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
            on conflict (actor, client_mutation_id) do nothing";
        let client_id = record_results.sequence.map(|(client_id, _)| client_id.to_owned());
        for (key, record) in record_results.answers {
            let first = [record_results.principal.key().into(), client_id.clone().into(), version.into()];
            filed += self.run(sql, first.into_iter().chain(answer(key, record))).await?.cast_signed();
        }
        if let Some((client_id, last)) = record_results.sequence {
            self.advance(client_id, last, version).await?;
            let sql = "update _nizhal_clients set acknowledged = max(acknowledged, $2) where client_id = $1";
            self.run(sql, [client_id.into(), record_results.acknowledged().into()]).await?;
        }
        if written.write_set.is_empty() && record_results.taken.is_empty() {
            let row = self.one("select rules from _nizhal_control where id = 1", []).await?;
            header.rules = row.map(|row| row.try_get("", "rules")).transpose()?.unwrap_or_default();
        } else {
            header = self.header(&self.store().scope_args(record_results.principal)).await?;
        }
        all_filed(filed, record_results)?;
        Ok((written, header))
    }

    /// Uses up the sequence's numbers up to this one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn advance(&self, client_id: &str, last: i64, version: i64) -> Result<(), StoreError> {
        let sql = "update _nizhal_clients set last_mutation_id = $2, last_version = $3, seen_at = current_timestamp \
            where client_id = $1";
        self.run(sql, [client_id.into(), last.into(), version.into()]).await.map(drop)
    }
}

/// Fails where not every answer was filed, since a delivery that was quicker had filed its own.
fn all_filed(filed: i64, record_results: &RecordResults<'_>) -> Result<(), StoreError> {
    if usize::try_from(filed) == Ok(record_results.answers.len()) { Ok(()) } else { Err(StoreError::Overtaken) }
}

/// In the order of the columns of [`RecordSql`].
fn answer(key: &MutationKey<'_>, record: &Record) -> [Value; 9] {
    [
        key.client_mutation_id.into(),
        key.sequence.map(|(_, number)| number).into(),
        key.name.into(),
        record.status.into(),
        record.reason.clone().into(),
        record.result.clone().into(),
        record.client_ref.clone().into(),
        record.server_id.clone().into(),
        record.lost.clone().into(),
    ]
}

fn as_json(key: &MutationKey<'_>, record: &Record) -> serde_json::Value {
    serde_json::json!({
        "id": key.client_mutation_id,
        "number": key.sequence.map(|(_, number)| number),
        "name": key.name,
        "status": record.status,
        "reason": record.reason,
        "result": record.result,
        "client_ref": record.client_ref,
        "server_id": record.server_id,
        "lost": record.lost,
    })
}

impl Store {
    /// On Postgres, where one statement does it.
    fn record_sql(&self) -> Option<&RecordSql> {
        match &self.backend {
            Backend::Postgres(store) => Some(store.record_sql()),
            Backend::Sqlite(_) => None,
        }
    }
}
