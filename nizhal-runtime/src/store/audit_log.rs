//! The audit log as the admin reads it: by version, actor and bucket.

use super::{Store, StoreError, audit, sql::Dialect, write_set};
use sea_orm::{ConnectionTrait, Statement, Value};

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
    /// `mutation`, `revised` or `job`.
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
    /// The place that a replayed mutation has in the order of its space: its stamp and its id. None once it is settled for good and forgotten.
    pub place: Option<String>,
}

/// Entries in the order of their versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Whether there may be more.
    pub has_more: bool,
}

/// The statement of a query, and its values. Relies on the primary key, the index by actor, and the one by bucket; for the place of a
/// replayed mutation on `_nizhal_actions (actor, id)`.
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
    let write_set = match dialect {
        Dialect::Postgres => "a.write_set",
        Dialect::Sqlite => "null",
    };
    let sql = format!(
        "select a.version, {at} as moment, a.kind, a.actor, a.id, a.client_id, a.mutation_id, a.name, a.status, \
         a.buckets, a.tables, a.args, {write_set} as write_set, \
         (select r.pos from _nizhal_actions r where r.actor = a.actor and r.id = a.id and a.kind <> 'job') as place from _nizhal_audit a where {condition}"
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
        if !wanted.buckets.is_empty() {
            self.index_audit().await?;
        }
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

    async fn audit_entries(&self, wanted: &AuditQuery, limit: i64) -> Result<Vec<AuditEntry>, StoreError> {
        let (sql, values) = select(self.dialect(), wanted, limit);
        let db = self.reads();
        let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
        rows.into_iter()
            .map(|row| {
                let write_set: Option<String> = row.try_get("", "write_set")?;
                let (buckets, tables) = match write_set {
                    Some(write_set) => named(&write_set)?,
                    None => (row.try_get("", "buckets")?, row.try_get("", "tables")?),
                };
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
                    buckets,
                    tables,
                    args: row.try_get("", "args")?,
                    place: row.try_get("", "place")?,
                })
            })
            .collect()
    }
}

/// The buckets and the tables of an entry's write set, each as a JSON array.
fn named(write_set: &str) -> Result<(String, String), StoreError> {
    let entries = write_set::parse_lines(write_set)?;
    Ok((audit::in_json(&audit::buckets(&entries)), audit::in_json(&audit::tables(&entries))))
}
