//! Lives of a database: from one start of it to the next.
//!
//! A disk that was restored from a copy of itself looks like one that was merely started again: the same cluster, the same
//! timeline, and a clock that soon draws the lost versions a second time. So each start begins a *life*, and what the one before had
//! reached is written down. A cursor says in which life it was made, and how far the database was by then. Where that life is not on
//! record, or ended before, the cursor tells of what was lost with it.
//!
//! How far a database is must be comparable with what was kept of it, exactly: on SQLite the version clock, which commits with
//! the rows. On Postgres not the clock, whose draws are neither committed in their order nor lost with the rows, but the
//! log: all that a horizon lets through is flushed when the horizon is read, and a start says where the log ended.

use super::{Backend, Store, StoreError, sql::Dialect};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sea_orm::{ConnectionTrait, Statement, TransactionTrait};
use sha2::{Digest, Sha256};

/// Stands between where a database lives and which life of it this is.
pub(crate) const LIFE: char = '@';

/// A short name of a life, for cursors; it says no more than that.
pub(crate) fn name(home: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(home.as_bytes())[..9])
}

/// Whether two lives are of one history, as far as where they are led can tell.
pub(crate) fn is_next(before: &str, now: &str) -> bool {
    let place = |home: &str| home.split(LIFE).next().map(str::to_owned);
    place(before) == place(now)
}

impl Store {
    /// Writes down that the life `before` ended, and that `now` is another; once, whoever else finds the same.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_life(&self, before: &str, now: &str) -> Result<(), StoreError> {
        let reached = match self.dialect() {
            // The end of the log when it started, for starting ends with a checkpoint there.
            Dialect::Postgres => "(select (redo_lsn - '0/0'::pg_lsn)::bigint from pg_control_checkpoint())",
            Dialect::Sqlite => "clock",
        };
        let ended = format!(
            "insert into _nizhal_lives (life, reached) select $1, {reached} from _nizhal_control where id = 1 and home = $2 \
             on conflict (life) do update set reached = excluded.reached"
        );
        let tx = self.connection().begin().await?;
        let run = async |sql: &str, values: [&str; 2]| {
            let values = values.map(sea_orm::Value::from);
            tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await
        };
        // Taken first, so that others who find the same wait, and then find it done.
        let moved =
            run("update _nizhal_control set home = home where id = 1 and home = $1 and home <> $2", [before, now]);
        if moved.await?.rows_affected() > 0 {
            run(&ended, [&name(before), before]).await?;
            run("update _nizhal_control set home = $1 where id = 1 and home = $2", [now, before]).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Begins a life where a new one has begun. At the start, before anything is written: what is written before a life is
    /// on record counts as kept from the one before.
    ///
    /// # Errors
    /// When the database fails or is not provisioned.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let snapshot = self.snapshot().await?;
        let now = snapshot.clock().lives.clone();
        snapshot.close().await?;
        let before = self.control("home").await?;
        if is_next(&before, &now) && before != now {
            self.begin_life(&before, &now).await?;
        }
        Ok(())
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match &self.backend {
            Backend::Postgres(_) => Dialect::Postgres,
            Backend::Sqlite(_) => Dialect::Sqlite,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv10_a_start_is_not_a_move() {
        assert!(is_next("7-5-00000001", "7-5-00000001@1700000000.5"));
        assert!(is_next("7-5-00000001@1", "7-5-00000001@2"));
        assert!(!is_next("7-5-00000001@1", "7-5-00000002@1"));
        assert!(!is_next("7-5-00000001@1", "8-5-00000001@1"));
        assert_ne!(name("a@1"), name("a@2"));
    }
}
