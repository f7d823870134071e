//! The buckets on demand that pulls ask for, and the rules of which buckets are still to come.

use super::{PullStart, SqliteStore, StoreError, tx::Tx};
use crate::subscription::SubscribedBucket;
use crate::wire::Page;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};

impl SqliteStore {
    /// Asks for a bucket until then, in milliseconds since the Unix epoch; false where so many are asked for already.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn subscribe(&self, bucket: &str, until_ms: i64, most: usize) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let sql = "select count(*) as others from _nizhal_subscriptions where bucket <> $1";
        let others: i64 =
            tx.one(sql, [bucket.into()]).await?.map(|row| row.try_get("", "others")).transpose()?.unwrap_or(0);
        if usize::try_from(others).is_ok_and(|others| others >= most) {
            tx.rollback().await;
            return Ok(false);
        }
        tx.keep_subscription(bucket, until_ms).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Goes on to ask for these, each until then, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep_subscriptions(&self, buckets: &[(String, i64)]) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        for (bucket, until_ms) in buckets {
            tx.keep_subscription(bucket, *until_ms).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Asks no more for those whose time is over; their rows go with the next pull.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_subscriptions(&self, now_ms: i64) -> Result<(), StoreError> {
        let sql = "select 1 from _nizhal_subscriptions where until_ms <= $1 limit 1";
        let over = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [now_ms.into()]);
        if self.reads().query_one_raw(over).await?.is_none() {
            return Ok(());
        }
        let tx = self.begin().await?;
        tx.run("delete from _nizhal_subscriptions where until_ms <= $1", [now_ms.into()]).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The buckets that are asked for, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn subscribed(&self) -> Result<Vec<SubscribedBucket>, StoreError> {
        let sql = "select bucket, complete from _nizhal_subscriptions order by bucket";
        let rows = self.reads().query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
        let one = |row: sea_orm::QueryResult| {
            Ok(SubscribedBucket { bucket: row.try_get("", "bucket")?, complete: row.try_get("", "complete")? })
        };
        rows.into_iter().map(one).collect()
    }

    /// The rules of which buckets are still to come, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn later_rules(&self) -> Result<Vec<String>, StoreError> {
        let sql = "select rule from _nizhal_later order by rule";
        let rows = self.reads().query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
        rows.into_iter().map(|row| Ok(row.try_get("", "rule")?)).collect()
    }
}

impl Tx<'_> {
    async fn keep_subscription(&self, bucket: &str, until_ms: i64) -> Result<(), StoreError> {
        let sql = "insert into _nizhal_subscriptions (bucket, until_ms) values ($1, $2) \
            on conflict (bucket) do update set until_ms = excluded.until_ms";
        self.run(sql, [bucket.into(), until_ms.into()]).await?;
        Ok(())
    }

    /// The buckets for a pull to ask for.
    pub(super) async fn subscriptions(&self) -> Result<Vec<String>, StoreError> {
        let sql = "select json_group_array(bucket) as buckets from (select bucket from _nizhal_subscriptions order by bucket)";
        let Some(row) = self.one(sql, []).await? else { return Ok(Vec::new()) };
        let buckets: String = row.try_get("", "buckets")?;
        serde_json::from_str(&buckets).map_err(|error| StoreError::Broken(error.to_string()))
    }

    /// Notes which buckets are here, now that a page is laid which ends a snapshot of all but those of its later rules.
    pub(super) async fn note_complete(&self, start: &PullStart, page: &Page<'_>) -> Result<(), StoreError> {
        self.run("delete from _nizhal_later", []).await?;
        for rule in &page.later_rules {
            self.run("insert or ignore into _nizhal_later (rule) values ($1)", [rule.as_str().into()]).await?;
        }
        for bucket in start.buckets.iter().flatten() {
            let is_later =
                bucket.split_once(':').is_some_and(|(rule, _)| page.later_rules.iter().any(|later| later == rule));
            let sql = "update _nizhal_subscriptions set complete = $1 where bucket = $2 and complete <> $1";
            self.run(sql, [(!is_later).into(), bucket.as_str().into()]).await?;
        }
        Ok(())
    }
}
