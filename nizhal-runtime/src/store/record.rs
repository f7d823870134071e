//! The end of mutations: their results stored, their numbers used up, their audit entries written, and what it takes to judge what they
//! wrote, on Postgres in one statement.
//!
//! The answers are written before the write scope is checked, and both before the commit: who finds a write that was not
//! allowed rolls all of it back.

use super::{
    MutationKey, Record, StoreError, WriteSetSeal, WriteTx, Written,
    database::{Backend, Store},
    fault::is_undefined_function,
    postgres::RecordSql,
    read::PullHeader,
    settings::Audit,
    sqlite,
};
use nizhal_core::Principal;
use sea_orm::Value;

/// The reason that a device gets for a mutator that left something behind for whoever has SQLite's one writer next.
const TEMPORARY: &str = "the mutation left a temporary table or trigger behind: drop it before it ends";

/// One mutation that ended.
#[derive(Debug)]
pub struct Ended<'a> {
    /// Its key.
    pub key: MutationKey<'a>,
    /// Its result.
    pub record: Record,
    /// What it wrote, where that was [looked at](WriteTx::take_write_set) by itself.
    pub taken: Option<&'a Written>,
}

/// How mutations of one client end, in one transaction.
#[derive(Debug)]
pub struct RecordResults<'a> {
    /// Whose they are.
    pub principal: &'a Principal,
    /// Their client's number up to which all are used up now, when they are in a sequence.
    pub sequence: Option<(&'a str, i64)>,
    /// The version of the client's mutation before, for those that drew none.
    pub before: i64,
    /// The mutations, in order.
    pub ended: &'a [Ended<'a>],
    /// What the write set began with.
    pub seal: &'a WriteSetSeal,
}

impl RecordResults<'_> {
    /// The number up to which their client has its answers.
    fn acknowledged(&self) -> i64 {
        self.ended.iter().map(|ended| ended.key.acknowledged).max().unwrap_or_default()
    }

    /// The lines of what was looked at before.
    fn taken(&self) -> String {
        self.ended.iter().filter_map(|ended| ended.taken).map(|taken| taken.raw_write_set.as_str()).collect()
    }
}

impl WriteTx<'_> {
    /// Stores the results, uses up the sequence numbers, writes the audit entries, and returns what was written since it was last looked
    /// at, and what the actor may write. The header has the rules and the memberships alone; of these, on Postgres, those that what was
    /// written names, so that the work does not grow with the actor's buckets. What is deferred until the commit runs before that, and its
    /// errors are of here: a trigger that writes at the commit would write unjudged.
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
            None => self.record_in_two(record_results).await,
        }
    }

    async fn record_at_once(
        &self,
        sql: &RecordSql,
        record_results: &RecordResults<'_>,
    ) -> Result<(Written, PullHeader), StoreError> {
        let principal = record_results.principal;
        let (client_id, last) = record_results.sequence.unzip();
        let (audit, with_args) = match self.audit() {
            Audit::Off => (false, false),
            Audit::On { args } => (true, args),
        };
        let claims = self.store().scope_args(principal).into_iter().map(|arg| arg.text);
        let claims = serde_json::Value::from_iter(claims);
        let mut values: Vec<Value> = vec![
            principal.key().into(),
            client_id.map(str::to_owned).into(),
            last.into(),
            record_results.before.into(),
            record_results.acknowledged().into(),
            record_results.taken().into(),
            claims.to_string().into(),
            audit.into(),
        ];
        match record_results.ended {
            [Ended { key, record, taken: None }] => {
                values.push(Value::String(None));
                values.extend(answer(key, record));
                values.push(with_args.then(|| key.args.to_owned()).into());
            }
            several => {
                let several: Vec<_> = several.iter().map(|ended| as_json(ended, audit, with_args)).collect();
                values.push(serde_json::Value::from(several).to_string().into());
                values.extend(NO_ANSWER);
                values.push(Value::String(None));
            }
        }
        let row = match self.one(&sql.call, values).await {
            // Whoever provisioned the database for other rules dropped it.
            Err(StoreError::Statement(error)) if is_undefined_function(&error, &sql.function) => {
                return Err(StoreError::OtherRules);
            }
            row => row?.ok_or_else(|| StoreError::Schema("a function returned no row".to_owned()))?,
        };
        let mut written = Written::read(row.try_get("", "written")?)?;
        record_results.seal.check(&written.raw_write_set)?;
        let rules: Option<String> = row.try_get("", "rules")?;
        self.store().know_triggers(&row.try_get::<String>("", "triggers")?)?;
        written.leaves_tables = row.try_get("", "leaves_tables")?;
        let mut header = PullHeader { rules: rules.ok_or_else(StoreError::no_control)?, ..PullHeader::default() };
        all_stored(row.try_get("", "filed")?, record_results)?;
        if let Some(members) = row.try_get::<Option<String>>("", "members")? {
            header.members = serde_json::from_str(&members)
                .map_err(|error| StoreError::Schema(format!("memberships that are none ({error}): {members}")))?;
        }
        Ok((written, header))
    }

    /// In two calls: what is judged is known after the first. Each call is a way to SQLite's thread and back, whatever statements it has.
    async fn record_in_two(&self, record_results: &RecordResults<'_>) -> Result<(Written, PullHeader), StoreError> {
        let RecordResults { principal, sequence, before, ended, seal } = record_results;
        let (client_id, last) = sequence.unzip();
        let mut values: Vec<Value> = vec![
            principal.key().into(),
            client_id.map(str::to_owned).into(),
            (*before).into(),
            last.into(),
            record_results.acknowledged().into(),
        ];
        values.extend(ended.iter().flat_map(|ended| answer(&ended.key, &ended.record)));
        let (mut raw_write_set, mut count, mut state) = (String::new(), 0, None);
        for row in self.all(&sqlite::record_sql(ended.len()), values).await? {
            match row.try_get::<i64>("", "kind")? {
                sqlite::kind::WRITTEN => {
                    raw_write_set.push_str(&sqlite::line(row.try_get("", "note")?));
                    raw_write_set.push('\n');
                }
                sqlite::kind::STORED => count += 1,
                _ => state = Some(row),
            }
        }
        seal.check(&raw_write_set)?;
        let state = state.ok_or_else(StoreError::no_control)?;
        self.store().know_triggers(&state.try_get::<String>("", "triggers")?)?;
        if state.try_get::<i64>("", "temporary")? != 0 {
            return Err(StoreError::Unsealed(TEMPORARY));
        }
        all_stored(count, record_results)?;
        let written = Written { version: state.try_get("", "version")?, ..Written::read(raw_write_set)? };
        let has_taken = ended.iter().any(|ended| ended.taken.is_some());
        let (mut sql, mut values) = (String::new(), Vec::new());
        if has_taken || !written.write_set.is_empty() {
            sql.push_str(&self.store().scope_sql().sql);
            values.extend(self.store().scope_args(principal).iter().map(|arg| self.store().scope_value(arg)));
        }
        let logged = ended.iter().map(|ended| {
            let taken = ended.taken.unwrap_or(&written);
            (&ended.key, ended.record.status, &*taken.write_set)
        });
        self.add_log(logged, &mut sql, &mut values);
        let mut header = PullHeader::default();
        if !sql.is_empty() {
            header = self.read_header(self.all(&sql, values).await?)?;
        }
        header.rules = state.try_get("", "rules")?;
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

/// Fails where not every result was stored, since a delivery that was quicker had stored its own.
fn all_stored(count: i64, record_results: &RecordResults<'_>) -> Result<(), StoreError> {
    if usize::try_from(count) == Ok(record_results.ended.len()) { Ok(()) } else { Err(StoreError::Overtaken) }
}

/// In the place of one answer, where there are several.
const NO_ANSWER: [Value; 9] = [
    Value::String(None),
    Value::BigInt(None),
    Value::String(None),
    Value::String(None),
    Value::String(None),
    Value::String(None),
    Value::String(None),
    Value::String(None),
    Value::String(None),
];

/// In the order of the function's arguments, and of the insert on SQLite.
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

fn as_json(ended: &Ended<'_>, audit: bool, with_args: bool) -> serde_json::Value {
    let Ended { key, record, taken } = ended;
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
        "args": with_args.then_some(key.args),
        "write_set": audit.then(|| taken.map(Written::touched).unwrap_or_default()),
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
