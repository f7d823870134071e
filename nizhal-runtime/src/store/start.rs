//! The start of a database's incarnation, recorded before anything is written in it (`incarnation.rs` says why).

use super::{
    database::Store,
    error::StoreError,
    incarnation::{is_restart, name},
    limit::ANSWER_TIMEOUT,
    sql::Dialect,
};
use sea_orm::{ConnectionTrait, Statement};

impl Store {
    /// Records that the incarnation `before` ended, and that `now` is another; once, whoever else finds the same.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_new_incarnation(&self, before: &str, now: &str) -> Result<(), StoreError> {
        let reached = match self.dialect() {
            // The end of the log when it started, for starting ends with a checkpoint there.
            Dialect::Postgres => "(select (redo_lsn - '0/0'::pg_lsn)::bigint from pg_control_checkpoint())",
            Dialect::Sqlite => "clock",
        };
        let ended = format!(
            "insert into _nizhal_lives (life, reached) select $1, {reached} from _nizhal_control where id = 1 and home = $2 \
             on conflict (life) do update set reached = excluded.reached"
        );
        let tx = self.begin_undrawn().await?;
        let run = |sql: &str, values: [&str; 2]| {
            let values = values.map(sea_orm::Value::from);
            let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
            self.wait(ANSWER_TIMEOUT, tx.execute_raw(statement))
        };
        // Taken first, so that others who find the same wait, and then find it done.
        let moved =
            run("update _nizhal_control set home = home where id = 1 and home = $1 and home <> $2", [before, now]);
        if moved.await?.rows_affected() > 0 {
            run(&ended, [&name(before), before]).await?;
            run("update _nizhal_control set home = $1 where id = 1 and home = $2", [now, before]).await?;
        }
        self.commit(tx).await
    }

    /// Records the incarnation where a new one has begun. At the start, before anything is written: what is written before an
    /// incarnation is on record counts as kept from the one before.
    ///
    /// # Errors
    /// When the database fails or is not provisioned.
    pub async fn record_incarnation(&self) -> Result<(), StoreError> {
        let reader = self.reader().await?;
        let now = reader.clock().incarnation.clone();
        reader.close().await?;
        let before = self.control("home").await?;
        if is_restart(&before, &now) && before != now {
            self.record_new_incarnation(&before, &now).await?;
        }
        self.check_partitions().await?;
        // So that what is changed later is compared with how it was now.
        Box::pin(self.check_triggers()).await
    }
}
