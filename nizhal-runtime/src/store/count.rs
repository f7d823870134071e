//! How many rows a device has yet to get: the total of a progress bar, counted by the index `(scope, version, key)` of each table.

use super::{
    PullReader, StoreError,
    reader::{ReaderOn, on_both},
    sql::{Dialect, VERSION, col, quote},
    sqlite,
};
use nizhal_core::{Bucket, RuleTable};
use sqlx::AssertSqlSafe;

impl PullReader<'_> {
    /// How many rows these buckets have after a version, up to the horizon. A row that is in two of them counts twice.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_rows<'a>(
        &mut self,
        buckets: impl Iterator<Item = &'a Bucket> + Clone,
        after: i64,
    ) -> Result<u64, StoreError> {
        let (schema, horizon, dialect) = (self.schema().clone(), self.clock().horizon, self.dialect());
        let mut count = 0;
        for rule in schema.rules() {
            let params: Vec<&Vec<String>> =
                buckets.clone().filter(|bucket| bucket.rule == rule.name).map(|bucket| &bucket.params).collect();
            if params.is_empty() {
                continue;
            }
            let params = serde_json::to_string(&params).unwrap_or_else(|_| unreachable!("texts are JSON"));
            for synced in &rule.tables {
                let sql = AssertSqlSafe(count_sql(dialect, synced));
                let rows: i64 =
                    on_both!(self, sqlx::query_scalar(sql).bind(params.as_str()).bind(after).bind(horizon), fetch_one);
                count += u64::try_from(rows).unwrap_or_default();
            }
        }
        Ok(count)
    }
}

/// The parameters are: `$1` a JSON array of the buckets' parameters, `$2` version to count after, `$3` to.
fn count_sql(dialect: Dialect, synced: &RuleTable) -> String {
    let table = synced.table;
    let version = format!("c.{}", quote(VERSION));
    let columns = synced.scope.iter().map(|&column| &table.columns[column]).enumerate();
    let mut conditions: Vec<String> = columns
        .map(|(param, column)| {
            let value = match dialect {
                Dialect::Postgres => format!("(p.value ->> {param})::{}", column.sql.postgres()),
                Dialect::Sqlite => sqlite::value_of("p.value", &format!("$[{param}]"), column.sql),
            };
            format!("{} = {value}", col("c", column))
        })
        .collect();
    conditions.push(format!("{version} > $2 and {version} <= $3"));
    conditions.push(dialect.visible(synced, "c"));
    let (name, conditions) = (quote(table.name), conditions.join(" and "));
    match dialect {
        Dialect::Postgres => format!(
            "select coalesce(sum(x.n), 0)::int8 from jsonb_array_elements($1::text::jsonb) p cross join lateral \
             (select count(*) as n from {name} c where {conditions}) x"
        ),
        Dialect::Sqlite => {
            format!("select coalesce(sum((select count(*) from {name} c where {conditions})), 0) from json_each($1) p")
        }
    }
}
