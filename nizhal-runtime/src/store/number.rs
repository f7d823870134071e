//! Numbers without gaps: one row for each series in each bucket, held until the transaction ends.

use nizhal_core::{Error, Result};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement};

/// The next number of this series in this bucket. Whose the bucket is has been judged.
///
/// # Errors
/// When the database fails.
pub(crate) async fn next_number(tx: &DatabaseTransaction, series: &str, bucket: &str) -> Result<i64> {
    // The upsert locks the row, so whoever wants the next number waits to hear whether this one was used.
    let sql = "insert into _nizhal_counters (series, bucket, last) values ($1, $2, 1) \
        on conflict (series, bucket) do update set last = _nizhal_counters.last + 1 returning last";
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, [series.into(), bucket.into()]);
    let row = tx.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| Error::Db(DbErr::RecordNotFound("an upsert returned no row".to_owned())))?;
    Ok(row.try_get("", "last")?)
}
