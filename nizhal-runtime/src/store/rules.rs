//! The rules that the database was provisioned for, and what another set of rules means for rows that devices hold.
//!
//! A device keeps what it was sent. When a rule no longer shows a row, nothing writes that row, so no trigger would tell the
//! device. Hence provisioning, which changes the triggers, also leaves the exits, in the same transaction: it knows the old
//! conditions because it wrote them down when it provisioned them. What a changed rule shows beyond that needs no trace here:
//! a cursor names the rules it was made under, and a rule that differs is filled again.

use super::sql::{DELETED_AT, Dialect, literal, quote};
use crate::schema::Schema;
use nizhal_core::{Condition, RuleTable, TableDesc};
use sha2::{Digest, Sha256};

/// One table of one rule, as SQL over a row called `r`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    rule: String,
    table: String,
    /// How many parameters the rule has.
    params: i64,
    /// The bucket that the row is in.
    bucket: String,
    /// Whether it shows there.
    visible: String,
    /// The columns that both name, as a JSON array.
    columns: String,
}

/// The columns of a stored branch.
pub(crate) type StoredBranch = (String, String, i64, String, String, String);

/// Reads the stored branches.
pub(crate) const READ: &str = "select rule, tbl, params, bucket, visible, columns from _nizhal_rules";

impl From<StoredBranch> for Branch {
    fn from((rule, table, params, bucket, visible, columns): StoredBranch) -> Self {
        Self { rule, table, params, bucket, visible, columns }
    }
}

impl Branch {
    fn of(dialect: Dialect, rule: &str, params: usize, synced: &RuleTable) -> Self {
        let table = synced.table;
        let filters = synced.filters.iter().flat_map(Condition::columns);
        let named = synced.scope.iter().copied().chain(filters).map(|index| table.columns[index].name);
        let columns: Vec<&str> = named.chain([DELETED_AT]).collect();
        Self {
            rule: rule.to_owned(),
            table: table.name.to_owned(),
            params: i64::try_from(params).unwrap_or(i64::MAX),
            bucket: dialect.bucket_key(synced, "r"),
            visible: dialect.visible(synced, "r"),
            columns: serde_json::json!(columns).to_string(),
        }
    }

    /// What tells it from others.
    fn id(&self) -> String {
        let Self { rule, table, params, bucket, visible, columns } = self;
        let digest = Sha256::digest(serde_json::json!([rule, table, params, bucket, visible, columns]).to_string());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether its condition can still be asked.
    fn askable(&self, exists: &dyn Fn(&str, &str) -> bool) -> bool {
        let columns: Vec<String> = serde_json::from_str(&self.columns).unwrap_or_default();
        columns.iter().all(|column| exists(&self.table, column))
    }

    /// The table.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Whether it is of the rule of this name with so many parameters.
    pub(crate) fn is_of(&self, rule: &str, params: usize) -> bool {
        self.rule == rule && usize::try_from(self.params) == Ok(params)
    }

    fn insert(&self) -> String {
        let Self { rule, table, params, bucket, visible, columns } = self;
        format!(
            "insert into _nizhal_rules (id, rule, tbl, params, bucket, visible, columns) values ({}, {}, {}, {params}, {}, {}, {})",
            literal(&self.id()),
            literal(rule),
            literal(table),
            literal(bucket),
            literal(visible),
            literal(columns)
        )
    }

    /// Tombstones of the rows that this branch shows and none of `now` does in the same bucket.
    fn exits(&self, dialect: Dialect, table: &TableDesc, now: &[&Branch]) -> String {
        let still: String =
            now.iter().map(|now| format!(" and not ({} and {} = {})", now.visible, now.bucket, self.bucket)).collect();
        format!(
            "insert into _nizhal_tombstones (rule, bucket, tbl, id, client_key, kind, version) select {}, {bucket}, {}, {}, {}, \
             'exit', {} from {} r where {} and {bucket} is not null{still} on conflict (rule, bucket, tbl, id) do update set \
             client_key = excluded.client_key, kind = excluded.kind, version = excluded.version, at = excluded.at",
            literal(&self.rule),
            literal(&self.table),
            dialect.key_text(table, "r"),
            dialect.client_key(table, "r"),
            version(dialect),
            quote(&self.table),
            self.visible,
            bucket = self.bucket,
        )
    }
}

/// The provisioning transaction's version.
fn version(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "_nizhal_version()",
        Dialect::Sqlite => "(select clock from _nizhal_control)",
    }
}

/// The statements that bring what is stored to the schema's rules; none when it is there. They run after columns and triggers
/// are in place. `exists` tells whether a table had this column before provisioning.
pub(crate) fn changes(
    dialect: Dialect,
    schema: &Schema,
    stored: &[Branch],
    exists: &dyn Fn(&str, &str) -> bool,
) -> Vec<String> {
    let now: Vec<Branch> = schema
        .rules()
        .iter()
        .flat_map(|rule| rule.tables.iter().map(|synced| Branch::of(dialect, rule.name, rule.params.len(), synced)))
        .collect();
    let mut plan = Vec::new();
    let stale: Vec<&Branch> = stored.iter().filter(|branch| !now.contains(branch)).collect();
    if !stale.is_empty() && dialect == Dialect::Sqlite {
        plan.push("update _nizhal_control set clock = clock + 1 where txn is null".to_owned());
    }
    let mut forget = false;
    for branch in &stale {
        plan.push(format!("delete from _nizhal_rules where id = {}", literal(&branch.id())));
        // The buckets of a rule that went, or has other parameters, are lost; a device hears that from the pull.
        let of_rule = |now: &Branch| now.rule == branch.rule && now.params == branch.params;
        if !now.iter().any(of_rule) {
            continue;
        }
        let here: Vec<&Branch> = now.iter().filter(|now| of_rule(now) && now.table == branch.table).collect();
        // A table that no rule syncs any more has no place in a pull.
        match schema.synced().into_iter().find(|table| table.name == branch.table) {
            Some(table) if branch.askable(exists) => plan.push(branch.exits(dialect, table, &here)),
            _ => forget = true,
        }
    }
    if forget {
        // Which rows a device must drop cannot be told any more: all start again.
        plan.push(format!("update _nizhal_control set collected = {} where id = 1", version(dialect)));
    }
    plan.extend(now.iter().filter(|branch| !stored.contains(branch)).map(Branch::insert));
    plan
}
