//! Numbers without gaps: one row for each series in each bucket, held until the transaction ends.

use nizhal_core::{Bucket, Error, Result};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement};

/// The next number of this series in this bucket. Whose the bucket is has been judged.
///
/// # Errors
/// When the database fails.
pub(crate) async fn next_number(tx: &DatabaseTransaction, series: &str, bucket: &Bucket) -> Result<i64> {
    // Before version 3 of the engine's parts a row was of the name that an app gave the bucket: the bare value, which is that of other
    // rules' buckets too, or the one with its rule. The bucket's own row goes on after both, once; each keeps its number for the
    // other buckets that it was of. The upsert locks the row, so whoever wants the next number waits to hear whether this one was used.
    let sql = "insert into _nizhal_counters (series, bucket, last) \
        select $1, $2, coalesce(max(o.last), 0) + 1 from _nizhal_counters o where o.series = $1 and o.bucket in ($3, $4) \
        on conflict (series, bucket) do update set last = _nizhal_counters.last + 1 returning last";
    let values = [series.to_owned(), key(bucket), bucket.name(), bucket.qualified()].map(sea_orm::Value::from);
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let row = tx.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| Error::Db(DbErr::RecordNotFound("an upsert returned no row".to_owned())))?;
    Ok(row.try_get("", "last")?)
}

/// What a bucket's numbers are kept under: its rule and its parameters, apart from each other whatever they hold.
fn key(bucket: &Bucket) -> String {
    format!("{}{}", bucket.rule, bucket.key())
}
