//! Tables whose rows a statement rewrote without firing a trigger: `alter column … type … using …`, a column in the place of another.
//!
//! Such a statement gives the table another file and writes the column's row of the catalog anew; `vacuum full` does the first alone,
//! `set default` the second. So both are remembered of each synced table, and looked at wherever partitions are.

use super::store::PostgresStore;
use crate::{
    schema::Schema,
    store::{StoreError, limit::ANSWER_TIMEOUT},
};
use sqlx::{PgConnection, PgExecutor, Row, postgres::PgRow};
use std::collections::BTreeMap;

/// How a table lies on the disk: its files, and of each column by its name its number and who wrote its row of the catalog.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    files: String,
    columns: BTreeMap<String, (i16, String)>,
}

impl Layout {
    /// Whether values of these columns may be others than they were in `before`.
    fn is_rewritten(&self, before: &Self, mut declared: impl Iterator<Item = &'static str>) -> bool {
        declared.any(|name| match (before.columns.get(name), self.columns.get(name)) {
            (Some(before_column), Some(column)) => {
                column.0 != before_column.0 || column != before_column && self.files != before.files
            }
            (Some(_), None) => true,
            (None, _) => false,
        })
    }
}

/// Of a partitioned table the files of its partitions; the number and the writer of each column, as JSON.
const NOW: &str = "select c.relname::text, coalesce((select string_agg(pg_relation_filenode(p.relid)::text, ',' order by p.relid) \
    from pg_partition_tree(c.oid) p where p.isleaf), pg_relation_filenode(c.oid)::text, ''), \
    (select coalesce(jsonb_object_agg(a.attname, jsonb_build_array(a.attnum, a.xmin::text)), '{}')::text from pg_attribute a \
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) \
    from pg_class c where c.relnamespace = quote_ident(current_schema())::regnamespace and c.relname = any($1)";
const BEFORE: &str = "select tbl, files, columns from _nizhal_files";

/// How the synced tables lie now.
async fn now(db: impl PgExecutor<'_>, schema: &Schema) -> Result<BTreeMap<String, Layout>, StoreError> {
    let synced: Vec<&str> = schema.synced().iter().map(|table| table.name).collect();
    layouts(sqlx::query(NOW).bind(synced).fetch_all(db).await?)
}

/// How they lay when that was remembered.
async fn before(db: impl PgExecutor<'_>) -> Result<BTreeMap<String, Layout>, StoreError> {
    layouts(sqlx::query(BEFORE).fetch_all(db).await?)
}

fn layouts(rows: Vec<PgRow>) -> Result<BTreeMap<String, Layout>, StoreError> {
    let layout = |row: PgRow| {
        let columns = serde_json::from_str(row.try_get(2)?).unwrap_or_default();
        Ok((row.try_get(0)?, Layout { files: row.try_get(1)?, columns }))
    };
    rows.into_iter().map(layout).collect()
}

/// Remembers how the tables are now; gives whether rows were rewritten since it was remembered last.
pub(super) async fn remember(db: &mut PgConnection, schema: &Schema) -> Result<bool, StoreError> {
    let (now, before) = (now(&mut *db, schema).await?, before(&mut *db).await?);
    let mut is_rewritten = false;
    for (table, layout) in &now {
        let known = before.get(table);
        if known == Some(layout) {
            continue;
        }
        let declared = schema.synced().into_iter().filter(|desc| desc.name == table);
        let mut declared = declared.flat_map(|desc| desc.columns).map(|column| column.name);
        is_rewritten |= known.is_some_and(|known| layout.is_rewritten(known, &mut declared));
        let columns = serde_json::to_string(&layout.columns).unwrap_or_default();
        sqlx::query(
            "insert into _nizhal_files (tbl, files, columns) values ($1, $2, $3) \
             on conflict (tbl) do update set files = excluded.files, columns = excluded.columns",
        )
        .bind(table)
        .bind(&layout.files)
        .bind(columns)
        .execute(&mut *db)
        .await?;
    }
    for table in before.keys().filter(|table| !now.contains_key(*table)) {
        // It may come back as another one, which nobody would compare with this.
        sqlx::query("delete from _nizhal_files where tbl = $1").bind(table).execute(&mut *db).await?;
    }
    Ok(is_rewritten)
}

impl PostgresStore {
    /// Whether some table lies otherwise on the disk than is remembered.
    pub(super) async fn files_changed(&self, schema: &Schema) -> Result<bool, StoreError> {
        let now = self.wait(ANSWER_TIMEOUT, now(self.pool(), schema)).await?;
        Ok(now != self.wait(ANSWER_TIMEOUT, before(self.pool())).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(files: &str, columns: &[(&str, i16, &str)]) -> Layout {
        let columns =
            columns.iter().map(|(name, number, writer)| ((*name).to_owned(), (*number, (*writer).to_owned())));
        Layout { files: files.to_owned(), columns: columns.collect() }
    }

    #[test]
    fn inv01_what_rewrites_values_is_told_from_what_does_not() {
        let before = layout("7", &[("a", 1, "50"), ("b", 2, "50")]);
        for (now, wanted) in [
            (layout("7", &[("a", 1, "50"), ("b", 2, "50")]), false),
            (layout("8", &[("a", 1, "50"), ("b", 2, "50")]), false),
            (layout("7", &[("a", 1, "50"), ("b", 2, "51")]), false),
            (layout("8", &[("a", 1, "50"), ("b", 2, "50"), ("c", 3, "51")]), false),
            (layout("8", &[("a", 1, "50"), ("b", 2, "51")]), true),
            (layout("7", &[("a", 1, "50"), ("b", 3, "51")]), true),
            (layout("7", &[("a", 1, "50")]), true),
        ] {
            assert_eq!(now.is_rewritten(&before, ["a", "b"].into_iter()), wanted, "{now:?}");
            assert!(!now.is_rewritten(&before, ["c"].into_iter()), "nobody declares it: {now:?}");
        }
    }
}
