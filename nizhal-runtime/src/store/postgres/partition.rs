//! The partitions of synced tables: which there are, which were there before, and whether rows went or came with one unseen.
//!
//! Row triggers go down to every partition; that one is emptied, detached, dropped or attached no trigger tells, but for the
//! `truncate` triggers that provisioning gives to those that it finds.

use crate::{
    schema::Schema,
    store::{StoreError, sql::literal},
};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet};

/// The partitions of each partitioned table, by its name.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    all: BTreeMap<String, Vec<Partition>>,
    /// The leaves that were there when it was looked last, by table and number, with the file of one that nothing watched.
    remembered: BTreeMap<(String, i64), Option<i64>>,
}

#[derive(Debug)]
struct Partition {
    oid: i64,
    /// Its name, where it is in the same schema.
    name: Option<String>,
    is_leaf: bool,
    /// Its file, where no trigger of ours watches it being emptied.
    file: Option<i64>,
    has_rows: bool,
    /// Its name as SQL says it.
    shown: String,
    is_unlogged: bool,
}

impl Partitions {
    /// Reads what is there; `has_file` says whether the table that remembers partitions has their files, where there is one.
    pub(super) async fn introspect(db: &mut PgConnection, has_file: Option<bool>) -> Result<Self, StoreError> {
        let mut all: BTreeMap<String, Vec<Partition>> = BTreeMap::new();
        for row in sqlx::query(PARTITIONS).fetch_all(&mut *db).await? {
            let partition = Partition {
                oid: row.try_get(1)?,
                name: row.try_get(2)?,
                is_leaf: row.try_get(3)?,
                file: row.try_get(4)?,
                has_rows: row.try_get(5)?,
                shown: row.try_get(6)?,
                is_unlogged: row.try_get(7)?,
            };
            all.entry(row.try_get(0)?).or_default().push(partition);
        }
        let mut remembered = BTreeMap::new();
        if let Some(has_file) = has_file {
            let file = if has_file { "file" } else { "null::bigint" };
            let sql = format!("select tbl, part, {file} from _nizhal_partitions");
            for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *db).await? {
                remembered.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
            }
        }
        Ok(Self { all, remembered })
    }

    /// The names of this table's partitions, at every depth, in this schema.
    pub(super) fn names(&self, table: &str) -> impl Iterator<Item = &str> {
        self.all.get(table).into_iter().flatten().filter_map(|partition| partition.name.as_deref())
    }

    /// The partitions of this table that a crash empties, as SQL names them.
    pub(super) fn unlogged(&self, table: &str) -> impl Iterator<Item = &str> {
        let all = self.all.get(table).into_iter().flatten();
        all.filter(|partition| partition.is_unlogged).map(|partition| partition.shown.as_str())
    }

    /// What remembers the partitions of now. Rows that went with one that is gone, that one lost unseen, or that one brought along
    /// were told to nobody: all devices start again.
    pub(super) fn remember(&self, schema: &Schema) -> Vec<String> {
        let synced: BTreeSet<&str> = schema.synced().iter().map(|table| table.name).collect();
        let leaves = self.all.iter().filter(|(table, _)| synced.contains(table.as_str()));
        let leaves = leaves.flat_map(|(table, all)| all.iter().map(move |leaf| (table, leaf)));
        let now: BTreeMap<(String, i64), &Partition> =
            leaves.filter(|(_, leaf)| leaf.is_leaf).map(|(table, leaf)| ((table.clone(), leaf.oid), leaf)).collect();
        let (mut plan, mut is_told) = (Vec::new(), true);
        for (key, leaf) in &now {
            let (table, oid) = (literal(&key.0), key.1);
            let file = leaf.file.map_or_else(|| "null".to_owned(), |file| file.to_string());
            match self.remembered.get(key) {
                None => {
                    plan.push(format!(
                        "insert into _nizhal_partitions (tbl, part, file) values ({table}, {oid}, {file})"
                    ));
                    // Rows that triggers saw had it remembered; those of a table that is synced from now on are nobody's yet.
                    let is_known = self.remembered.keys().any(|(known, _)| *known == key.0);
                    is_told &= !(is_known && leaf.has_rows);
                }
                Some(before) if leaf.file.is_some() && *before != leaf.file => {
                    plan.push(format!(
                        "update _nizhal_partitions set file = {file} where tbl = {table} and part = {oid}"
                    ));
                    is_told &= before.is_none();
                }
                Some(_) => {}
            }
        }
        for (table, oid) in self.remembered.keys().filter(|key| !now.contains_key(*key)) {
            plan.push(format!("delete from _nizhal_partitions where tbl = {} and part = {oid}", literal(table)));
            is_told = false;
        }
        if !is_told {
            plan.push(START_AGAIN.to_owned());
        }
        plan
    }
}

/// Has every device start again.
pub(super) const START_AGAIN: &str = "update _nizhal_control set collected = _nizhal_version() where id = 1";

/// The file of a partition `p`, as SQL; NULL where a trigger of ours watches it being emptied, and tells of that.
macro_rules! unwatched_file {
    () => {
        "case when not exists (select 1 from pg_trigger g where g.tgrelid = p.oid and g.tgname like '\\_nizhal\\_truncate\\_%') \
         then pg_relation_filenode(p.oid)::int8 end"
    };
}

/// The partitions `p` of the partitioned tables `c` of this schema, at every depth, as SQL.
macro_rules! partitions {
    () => {
        " from pg_class c cross join lateral pg_partition_tree(c.oid) t join pg_class p on p.oid = t.relid \
         where c.relkind = 'p' and p.oid <> c.oid and c.relnamespace = quote_ident(current_schema())::regnamespace"
    };
}

const PARTITIONS: &str = concat!(
    "select c.relname::text, p.oid::int8, case when p.relnamespace = c.relnamespace then p.relname::text end, t.isleaf, ",
    unwatched_file!(),
    ", coalesce(pg_relation_size(p.oid) > 0, false), p.oid::regclass::text, p.relpersistence = 'u'",
    partitions!(),
    " order by 1, 2"
);

/// Whether what [`Partitions::remember`] would remember is another than what is remembered; of the tables that are bound.
pub(super) const PARTITIONS_CHANGED: &str = concat!(
    "select exists (select 1 from (select c.relname::text as tbl, p.oid::int8 as part, ",
    unwatched_file!(),
    " as file",
    partitions!(),
    " and t.isleaf and c.relname::text = any($1)) now \
     full join (select tbl, part, file from _nizhal_partitions) before on now.tbl = before.tbl and now.part = before.part \
     where now.part is null or before.part is null or (now.file is not null and now.file is distinct from before.file))"
);
