//! The audit log: what each mutation and job touched, written in its own transaction (invariant 14), read by the admin.
//!
//! An entry is numbered by its transaction's version; one that wrote no synced row draws a version here, so that every
//! entry has a place of its own in the order of commits and a reader that pages by version skips nothing. A job's entry rides in
//! the statement that ends it on Postgres; on SQLite a trigger files an entry's buckets.

use super::{
    MutationKey, Store, StoreError, WriteSetEntry, WriteTx, ddl::BUCKET_KEY, progress::Steps, settings::Audit,
    sql::Dialect,
};
use sea_orm::{ConnectionTrait, Statement, Value};
use std::{collections::BTreeSet, sync::atomic::Ordering::Relaxed};

/// An entry to be written.
pub(super) struct NewEntry<'a> {
    /// `mutation` or `job`.
    pub(super) kind: &'static str,
    /// The actor's key; empty for a job.
    pub(super) actor: &'a str,
    /// The `clientMutationId`, or the job's id.
    pub(super) id: &'a str,
    pub(super) sequence: Option<(&'a str, i64)>,
    pub(super) name: &'a str,
    pub(super) status: &'a str,
    pub(super) write_set: &'a [WriteSetEntry],
    pub(super) args: &'a str,
}

impl<'a> NewEntry<'a> {
    fn of(key: &MutationKey<'a>, status: &'a str, write_set: &'a [WriteSetEntry]) -> Self {
        let MutationKey { actor, client_mutation_id: id, sequence, name, args, .. } = *key;
        Self { kind: "mutation", actor, id, sequence, name, status, write_set, args }
    }

    /// As [`insert_all`] reads it.
    fn as_json(&self, with_args: bool) -> serde_json::Value {
        let (client_id, number) = self.sequence.unzip();
        serde_json::json!({
            "kind": self.kind, "actor": self.actor, "id": self.id, "client_id": client_id, "mutation_id": number,
            "name": self.name, "status": self.status, "buckets": in_json(&self.buckets()), "tables": in_json(&self.tables()),
            "args": with_args.then_some(self.args),
        })
    }

    fn buckets(&self) -> Vec<String> {
        // A membership's key is nobody's bucket; its table is named all the same.
        let buckets = self.write_set.iter().map(|entry| &entry.bucket).filter(|bucket| !bucket.is_membership());
        buckets.map(nizhal_core::Bucket::qualified).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn tables(&self) -> BTreeSet<&str> {
        self.write_set.iter().map(|entry| entry.table.as_str()).collect()
    }

    /// In the order of [`insert`].
    fn values(&self, dialect: Dialect, with_args: bool) -> Vec<Value> {
        let (client_id, mutation_id) = self.sequence.unzip();
        let buckets = self.buckets();
        let mut values = vec![
            self.kind.into(),
            self.actor.into(),
            self.id.into(),
            client_id.map(str::to_owned).into(),
            mutation_id.into(),
            self.name.into(),
            self.status.into(),
            in_json(&buckets).into(),
            in_json(&self.tables()).into(),
            with_args.then(|| self.args.to_owned()).into(),
        ];
        if dialect == Dialect::Postgres {
            values.push(buckets.into());
        }
        values
    }
}

fn in_json(names: &impl serde::Serialize) -> String {
    serde_json::json!(names).to_string()
}

/// The columns of an entry but for its place.
const COLUMNS: &str = "kind, actor, id, client_id, mutation_id, name, status, buckets, tables, args";

/// The insert of an entry whose first value is `$<after + 1>`; on Postgres what follows a `with` or an expression of one.
///
/// A transaction of Postgres logs once, so its first entry is number 1; on SQLite pushes share transactions.
fn insert(dialect: Dialect, after: usize) -> String {
    let placeholders: Vec<String> = (1..=10).map(|at| format!("${}", after + at)).collect();
    let placeholders = placeholders.join(", ");
    match dialect {
        Dialect::Postgres => format!(
            "entry as (insert into _nizhal_audit (version, n, {COLUMNS}) values (_nizhal_version(), 1, {placeholders}) returning version, n) \
             insert into _nizhal_audit_buckets (bucket, version, n) select name, version, n from entry, unnest(${}::text[]) as name",
            after + 11
        ),
        Dialect::Sqlite => format!(
            "insert into _nizhal_audit (version, n, {COLUMNS}) select v, (select coalesce(max(n), 0) + 1 from _nizhal_audit \
             where version = v), {placeholders} from (select (select txn from _nizhal_control where id = 1) as v) as now"
        ),
    }
}

/// Several entries at once on Postgres, in order.
fn insert_all() -> String {
    format!(
        "with entry as (insert into _nizhal_audit (version, n, {COLUMNS}) select v, e.at, {COLUMNS} from (select _nizhal_version() as v) \
         as now, rows from (json_to_recordset($1::json) as (kind text, actor text, id text, client_id text, mutation_id int8, name text, \
         status text, buckets text, tables text, args text)) with ordinality as e({COLUMNS}, at) returning version, n, buckets) \
         insert into _nizhal_audit_buckets (bucket, version, n) select name, version, n from entry, \
         json_array_elements_text(entry.buckets::json) as name"
    )
}

impl WriteTx<'_> {
    /// Writes mutations' entries, where entries are written: each with its status and what it touched.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn log(&self, ended: &[(&MutationKey<'_>, &str, &[WriteSetEntry])]) -> Result<(), StoreError> {
        let Audit::On { args: with_args } = self.audit() else { return Ok(()) };
        let entries: Vec<NewEntry<'_>> =
            ended.iter().map(|&(key, status, write_set)| NewEntry::of(key, status, write_set)).collect();
        match (self.dialect(), entries.as_slice()) {
            (Dialect::Postgres, [entry]) => {
                let sql = format!("with {}", insert(Dialect::Postgres, 0));
                self.run(&sql, entry.values(Dialect::Postgres, with_args)).await?;
            }
            (Dialect::Postgres, several) => {
                let several: Vec<_> = several.iter().map(|entry| entry.as_json(with_args)).collect();
                self.run(&insert_all(), [serde_json::Value::from(several).to_string().into()]).await?;
            }
            (Dialect::Sqlite, all) => {
                let sql = insert(Dialect::Sqlite, 0);
                for entry in all {
                    self.run(&sql, entry.values(Dialect::Sqlite, with_args)).await?;
                }
            }
        }
        Ok(())
    }

    /// Runs a statement and writes an entry: in one statement on Postgres, in two on SQLite.
    pub(super) async fn run_audited(
        &self,
        sql: &str,
        mut values: Vec<Value>,
        entry: &NewEntry<'_>,
    ) -> Result<(), StoreError> {
        let Audit::On { args } = self.audit() else { return self.run(sql, values).await.map(drop) };
        let entry = entry.values(self.dialect(), args);
        match self.dialect() {
            Dialect::Postgres => {
                let sql = format!("with work as ({sql}), {}", insert(Dialect::Postgres, values.len()));
                values.extend(entry);
                self.run(&sql, values).await?;
            }
            Dialect::Sqlite => {
                self.run(sql, values).await?;
                self.run(&insert(Dialect::Sqlite, 0), entry).await?;
            }
        }
        Ok(())
    }
}

/// The query for entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Above this version.
    pub since: i64,
    /// Up to and with this one.
    pub until: Option<i64>,
    /// Of this actor, by its key.
    pub actor: Option<String>,
    /// Of the actors whose key ends so: a user of any tenant.
    pub actor_suffix: Option<String>,
    /// That touched one of these, named `rule:value`; any when there are none.
    pub buckets: Vec<String>,
    /// At most so many, but never a part of a version.
    pub limit: usize,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The version that its writes carry.
    pub version: i64,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// `mutation` or `job`.
    pub kind: String,
    /// The actor's key; empty for a job.
    pub actor: String,
    /// The `clientMutationId`, or the job's id.
    pub id: String,
    /// The `clientID`.
    pub client_id: Option<String>,
    /// The `mutationID`.
    pub mutation_id: Option<i64>,
    /// The mutator's or the job's name.
    pub name: String,
    /// As the stored answer has it; a job is `done` or `dead`.
    pub status: String,
    /// The touched buckets as a JSON array.
    pub buckets: String,
    /// The touched tables as a JSON array.
    pub tables: String,
    /// The arguments as JSON, where they are kept.
    pub args: Option<String>,
}

/// Entries in the order of their versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Whether there may be more.
    pub has_more: bool,
}

/// The statement of a query, and its values. Relies on the primary key, the index by actor, and the one by bucket.
fn select(dialect: Dialect, wanted: &AuditQuery, limit: i64) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = vec![wanted.since.into(), wanted.until.unwrap_or(i64::MAX).into(), limit.into()];
    let mut placeholder = |value: &str| {
        values.push(value.into());
        format!("${}", values.len())
    };
    let at = match dialect {
        Dialect::Postgres => r#"to_char(a.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#,
        Dialect::Sqlite => "a.at",
    };
    let actor =
        wanted.actor.as_deref().map(|actor| format!(" and a.actor = {}", placeholder(actor))).unwrap_or_default();
    let suffix = wanted.actor_suffix.as_deref().map(|suffix| {
        let suffix = placeholder(suffix);
        match dialect {
            Dialect::Postgres => format!(" and right(a.actor, length({suffix}::text)) = {suffix}"),
            Dialect::Sqlite => format!(" and substr(a.actor, -length({suffix})) = {suffix}"),
        }
    });
    let actor = actor + &suffix.unwrap_or_default();
    let found = |alias: &str, more: &str| {
        format!("{alias}.version > $1 and {alias}.version <= $2{more} order by {alias}.version, {alias}.n limit $3")
    };
    // Each bucket gives no more than a page, so that the work does not grow with the log.
    let by_bucket: Vec<String> = wanted
        .buckets
        .iter()
        .map(|bucket| {
            let bucket = placeholder(bucket);
            let more =
                format!(" and substr(b.bucket, 1, 500) = substr({bucket}, 1, 500) and b.bucket = {bucket}{actor}");
            format!(
                "select * from (select b.version, b.n from _nizhal_audit_buckets b join _nizhal_audit a \
                 on a.version = b.version and a.n = b.n where {}) as page",
                found("b", &more)
            )
        })
        .collect();
    let condition = if by_bucket.is_empty() {
        found("a", &actor)
    } else {
        found("a", &format!(" and (a.version, a.n) in ({})", by_bucket.join(" union ")))
    };
    let sql = format!(
        "select a.version, {at} as moment, a.kind, a.actor, a.id, a.client_id, a.mutation_id, a.name, a.status, \
         a.buckets, a.tables, a.args from _nizhal_audit a where {condition}"
    );
    (sql, values)
}

impl Store {
    /// Entries in the order of their versions, none of them cut in the middle of a version, and none that an earlier
    /// version may still come before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit(&self, wanted: &AuditQuery) -> Result<AuditPage, StoreError> {
        let mut wanted = wanted.clone();
        if self.dialect() == Dialect::Postgres {
            // Read before the entries are: see `postgres/clock.rs`.
            let horizon = self.horizon().await?.horizon;
            wanted.until = Some(wanted.until.map_or(horizon, |until| until.min(horizon)));
        }
        let limit = i64::try_from(wanted.limit).unwrap_or(i64::MAX - 1);
        let mut entries = self.audit_entries(&wanted, limit + 1).await?;
        let next = entries.get(wanted.limit).map(|entry| entry.version);
        let Some(next) = next else { return Ok(AuditPage { entries, has_more: false }) };
        entries.retain(|entry| entry.version < next);
        if entries.is_empty() {
            // One version fills more than a page; it is given whole.
            let whole = AuditQuery { since: next - 1, until: Some(next), ..wanted };
            entries = self.audit_entries(&whole, i64::MAX).await?;
        }
        Ok(AuditPage { entries, has_more: true })
    }

    /// An entry was committed.
    pub(crate) fn audit_written(&self) {
        self.audited.fetch_add(self.is_audited().into(), Relaxed);
    }

    /// Whether entries are written.
    pub(crate) fn is_audited(&self) -> bool {
        self.audit != Audit::Off
    }

    /// How many entries this process wrote.
    pub(crate) fn audit_count(&self) -> u64 {
        self.audited.load(Relaxed)
    }

    async fn audit_entries(&self, wanted: &AuditQuery, limit: i64) -> Result<Vec<AuditEntry>, StoreError> {
        let (sql, values) = select(self.dialect(), wanted, limit);
        let db = self.reads();
        let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
        rows.into_iter()
            .map(|row| {
                Ok(AuditEntry {
                    version: row.try_get("", "version")?,
                    at: row.try_get("", "moment")?,
                    kind: row.try_get("", "kind")?,
                    actor: row.try_get("", "actor")?,
                    id: row.try_get("", "id")?,
                    client_id: row.try_get("", "client_id")?,
                    mutation_id: row.try_get("", "mutation_id")?,
                    name: row.try_get("", "name")?,
                    status: row.try_get("", "status")?,
                    buckets: row.try_get("", "buckets")?,
                    tables: row.try_get("", "tables")?,
                    args: row.try_get("", "args")?,
                })
            })
            .collect()
    }

    /// Forgets entries older than this many days, a batch at a time so that no writer waits long. Gives their number.
    ///
    /// # Errors
    /// When the database fails; what is forgotten stays so.
    pub async fn collect_audit(&self, days: u32) -> Result<u64, StoreError> {
        const BATCH: u64 = 5_000;
        let (mut all, mut steps) = (0, Steps::of("forgetting audit entries"));
        loop {
            let count = self.collect_some_audit(days, BATCH).await?;
            all += count;
            steps.reach(all);
            if count < BATCH {
                return Ok(all);
            }
        }
    }

    /// Relies on the index on `at`, and on the one by bucket.
    async fn collect_some_audit(&self, days: u32, batch: u64) -> Result<u64, StoreError> {
        match self.dialect() {
            Dialect::Postgres => {
                let sql = format!(
                    "with gone as (delete from _nizhal_audit where (version, n) in (select version, n from _nizhal_audit \
                     where at < now() - make_interval(days => {days}) order by at limit {batch}) \
                     returning version, n, buckets), filed as (delete from _nizhal_audit_buckets b using gone, \
                     json_array_elements_text(gone.buckets::json) as name where substr(b.bucket, 1, 500) = \
                     substr(name, 1, 500) and b.bucket = name and b.version = gone.version and b.n = gone.n) \
                     select count(*) as count from gone"
                );
                let db = self.connection();
                let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
                let count: i64 = row.map(|row| row.try_get("", "count")).transpose()?.unwrap_or_default();
                Ok(count.unsigned_abs())
            }
            Dialect::Sqlite => {
                let old = format!(
                    "from _nizhal_audit where at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{days} days') order by at, \
                     version, n limit {batch}"
                );
                let tx = self.begin().await?;
                let write = self.on(&tx);
                let filed = format!(
                    "delete from _nizhal_audit_buckets where ({BUCKET_KEY}, bucket, version, n) in (select substr(name.value, \
                     1, 500), name.value, old.version, old.n from (select version, n, buckets {old}) as old, \
                     json_each(old.buckets) as name)"
                );
                write.run(&filed, []).await?;
                let gone = format!("delete from _nizhal_audit where (version, n) in (select version, n {old})");
                let count = write.run(&gone, []).await?;
                write.finish().await?;
                self.commit(tx).await?;
                Ok(count)
            }
        }
    }
}
