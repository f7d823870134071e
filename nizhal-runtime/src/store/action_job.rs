//! The jobs of replayed mutations: they wait beside their mutation, are replaced when it runs again, and are released when it is final, which
//! is when nothing can take a place before it any more.

use super::{StoreError, WriteTx, database::Store, job::queued, replay::Place, sql::Dialect};
use nizhal_core::{DateTimeUtc, NewJob};
use sea_orm::{Statement, Value};

/// How many jobs one transaction releases.
const MAX_RELEASED: usize = 500;

impl WriteTx<'_> {
    /// Keeps the jobs that a mutation wants which ran at this place, with the buckets that each may write, as JSON.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn file_jobs(
        &self,
        space: &str,
        at: &Place,
        jobs: &[(&NewJob, Option<String>)],
    ) -> Result<(), StoreError> {
        let sql = "insert into _nizhal_action_jobs (space, pos, n, id, name, args, run_at, max_attempts, unique_key, actor, buckets) \
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        for (n, (job, buckets)) in (0_i64..).zip(jobs) {
            let place: [Value; 3] = [space.into(), at.to_string().into(), n.into()];
            self.run(sql, place.into_iter().chain(queued(job, buckets.clone()))).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Settles the spaces with jobs up to a place, and releases the jobs of all mutations that are final, each once; how many.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn release_jobs(&self, before: &Place) -> Result<u64, StoreError> {
        let mut released = 0;
        while self.has_jobs_to_release(before).await? {
            let some = self.release_some_jobs(before).await?;
            released += some as u64;
            if some < MAX_RELEASED {
                break;
            }
        }
        Ok(released)
    }

    /// Asked of a reader, so that looking keeps no writer waiting.
    async fn has_jobs_to_release(&self, before: &Place) -> Result<bool, StoreError> {
        let sql = "select 1 as found from _nizhal_action_jobs j join _nizhal_spaces s on s.space = j.space \
            where j.pos <= $1 or j.pos <= s.settled limit 1";
        let db = self.reads();
        let sql = Statement::from_sql_and_values(db.get_database_backend(), sql, [before.to_string().into()]);
        Ok(!self.query_all(sql).await?.is_empty())
    }

    async fn release_some_jobs(&self, before: &Place) -> Result<usize, StoreError> {
        let tx = self.begin_undrawn().await?;
        let write = self.on(&tx);
        // It waits for whoever has the space now, and nobody takes a place before it afterwards.
        let settle = "update _nizhal_spaces set settled = $1 where settled < $1 and exists (select 1 from _nizhal_action_jobs j \
            where j.space = _nizhal_spaces.space and j.pos <= $1)";
        write.run(settle, [before.to_string().into()]).await?;
        // Another server that releases has some of them, and runs none twice.
        let skip = match self.dialect() {
            Dialect::Postgres => " for update of j skip locked",
            Dialect::Sqlite => "",
        };
        let sql = format!(
            "select j.space, j.pos, j.n, j.id, j.name, j.args, j.run_at, j.max_attempts, j.unique_key, j.actor, j.buckets \
             from _nizhal_action_jobs j join _nizhal_spaces s on s.space = j.space where j.pos <= s.settled \
             order by j.pos, j.space, j.n limit {MAX_RELEASED}{skip}"
        );
        let rows = write.all(&sql, []).await?;
        for row in &rows {
            let text = |name: &str| row.try_get::<String>("", name);
            let maybe = |name: &str| row.try_get::<Option<String>>("", name);
            let run_at: DateTimeUtc = row.try_get("", "run_at")?;
            let job: [Value; 8] = [
                text("id")?.into(),
                text("name")?.into(),
                text("args")?.into(),
                run_at.into(),
                row.try_get::<i64>("", "max_attempts")?.into(),
                maybe("unique_key")?.into(),
                text("actor")?.into(),
                maybe("buckets")?.into(),
            ];
            write.enqueue_one(job, run_at.timestamp_millis()).await?;
            let gone = "delete from _nizhal_action_jobs where space = $1 and pos = $2 and n = $3";
            write.run(gone, [text("space")?.into(), text("pos")?.into(), row.try_get::<i64>("", "n")?.into()]).await?;
        }
        self.commit(tx).await?;
        Ok(rows.len())
    }
}
