//! Numbers without gaps: one row for each series in each bucket, held until the transaction ends.

use nizhal_core::{__private::BoxFuture, Error, Numbers, Result};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement};

/// The numbers of the server's own database.
pub(crate) struct Counters;

impl Numbers for Counters {
    fn next<'a>(&'a self, tx: &'a DatabaseTransaction, series: &'a str, bucket: &'a str) -> BoxFuture<'a, Result<i64>> {
        Box::pin(async move {
            // The upsert locks the row, so whoever wants the next number waits to hear whether this one was used.
            let sql = "insert into _nizhal_counters (series, bucket, last) values ($1, $2, 1) \
                on conflict (series, bucket) do update set last = _nizhal_counters.last + 1 returning last";
            let values = [series.into(), bucket.into()];
            let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
            let row = tx.query_one_raw(statement).await?;
            let row = row.ok_or_else(|| Error::Db(DbErr::RecordNotFound("an upsert returned no row".to_owned())))?;
            Ok(row.try_get("", "last")?)
        })
    }
}
