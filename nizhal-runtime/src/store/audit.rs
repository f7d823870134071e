//! The audit log: what each mutation and job touched, written in its own transaction (invariant 14).
//!
//! An entry is numbered by its transaction's version; one that wrote no synced row draws a version here, so that every
//! entry has a place of its own in the order of commits and a reader that pages by version skips nothing. On Postgres the function that
//! ends a push (`postgres/record.rs`) writes the entries of its mutations with their write sets as they are, which `audit_log.rs` reads
//! and `audit_index.rs` indexes by bucket; the statement that ends a job writes the job's. On SQLite a trigger indexes an entry.

use super::{
    MutationKey, Store, StoreError, WriteSetEntry, WriteTx,
    settings::Audit,
    sql::{Dialect, placeholders},
};
use sea_orm::Value;
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

    /// In the order of [`COLUMNS`], and on Postgres the buckets once more, as an array.
    fn values(&self, dialect: Dialect, with_args: bool) -> Vec<Value> {
        let (client_id, mutation_id) = self.sequence.unzip();
        let buckets = buckets(self.write_set);
        let mut values = vec![
            self.kind.into(),
            self.actor.into(),
            self.id.into(),
            client_id.map(str::to_owned).into(),
            mutation_id.into(),
            self.name.into(),
            self.status.into(),
            in_json(&buckets).into(),
            in_json(&tables(self.write_set)).into(),
            with_args.then(|| self.args.to_owned()).into(),
        ];
        if dialect == Dialect::Postgres {
            values.push(buckets.into());
        }
        values
    }
}

/// The buckets that an entry names. A membership's key is nobody's bucket; its table is named all the same.
pub(super) fn buckets(write_set: &[WriteSetEntry]) -> Vec<String> {
    let buckets = write_set.iter().map(|entry| &entry.bucket).filter(|bucket| !bucket.is_membership());
    buckets.map(nizhal_core::Bucket::qualified).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The tables that an entry names.
pub(super) fn tables(write_set: &[WriteSetEntry]) -> BTreeSet<&str> {
    write_set.iter().map(|entry| entry.table.as_str()).collect()
}

pub(super) fn in_json(names: &impl serde::Serialize) -> String {
    serde_json::json!(names).to_string()
}

/// The columns of an entry but for its place.
const COLUMNS: &str = "kind, actor, id, client_id, mutation_id, name, status, buckets, tables, args";

/// How many they are.
const COLUMN_COUNT: usize = 10;

/// The insert of an entry on Postgres whose first value is `$<before + 1>`: what follows a `with` or an expression of one. A transaction
/// of a job logs once, so its entry is number 1.
fn insert_on_postgres(before: usize) -> String {
    format!(
        "entry as (insert into _nizhal_audit (version, n, {COLUMNS}) values (_nizhal_version(), 1, {}) returning version, n) \
         insert into _nizhal_audit_buckets (bucket, version, n) select name, version, n from entry, unnest(${}::text[]) as name",
        placeholders(before, COLUMN_COUNT),
        before + COLUMN_COUNT + 1
    )
}

/// The insert of so many entries on SQLite, where pushes share transactions, and so versions: their numbers go on.
fn insert_on_sqlite(before: usize, count: usize) -> String {
    let row = |at: usize| format!("({}, {})", at + 1, placeholders(before + at * COLUMN_COUNT, COLUMN_COUNT));
    let columns: Vec<String> = (0..COLUMN_COUNT).map(|at| format!("e.column{}", at + 2)).collect();
    format!(
        "insert into _nizhal_audit (version, n, {COLUMNS}) select v, (select coalesce(max(n), 0) from _nizhal_audit where version = v) \
         + e.column1, {} from (select (select txn from _nizhal_control where id = 1) as v) as now, (values {}) as e",
        columns.join(", "),
        (0..count).map(row).collect::<Vec<_>>().join(", ")
    )
}

impl WriteTx<'_> {
    /// Adds to a text of statements on SQLite the one that writes mutations' entries, each with its status and what it touched; nothing
    /// where none are written.
    pub(super) fn add_log<'e>(
        &self,
        ended: impl Iterator<Item = (&'e MutationKey<'e>, &'e str, &'e [WriteSetEntry])>,
        sql: &mut String,
        values: &mut Vec<Value>,
    ) {
        let Audit::On { args } = self.audit() else { return };
        let first = values.len();
        let mut count = 0;
        for (key, status, write_set) in ended {
            values.extend(NewEntry::of(key, status, write_set).values(Dialect::Sqlite, args));
            count += 1;
        }
        if !sql.is_empty() {
            sql.push_str(";\n");
        }
        sql.push_str(&insert_on_sqlite(first, count));
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
                let sql = format!("with work as ({sql}), {}", insert_on_postgres(values.len()));
                values.extend(entry);
                self.run(&sql, values).await?;
            }
            Dialect::Sqlite => {
                self.run(sql, values).await?;
                self.run(&insert_on_sqlite(0, 1), entry).await?;
            }
        }
        Ok(())
    }
}

impl Store {
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
}
