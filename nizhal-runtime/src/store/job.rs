//! The statements of jobs; one text for both databases but for how a row that another worker holds is skipped.
//!
//! A job is `pending`, then `running` by a claim that commits before the handler begins, so that a crash counts as a try. The run
//! holds the row locked until it ends; a `running` row that nobody holds is one whose server died, and `run_at` says from when on
//! it may be taken again. Success deletes the row in the handler's own transaction.

use super::{
    StoreError, WriteSetEntry, WriteSetSeal, WriteTx,
    audit::NewEntry,
    database::{Backend, Store},
    settings::Audit,
    sql::Dialect,
    write_set::{DUE, JUDGED},
};
use nizhal_core::{DateTimeUtc, NewJob};
use sea_orm::{Statement, Value};

/// How far the turns of one actor's jobs lie apart, in milliseconds.
const TURN_MS: u32 = 1_000;

/// A job that is this worker's to run.
#[derive(Debug)]
pub struct LeasedJob {
    /// Its id.
    pub id: String,
    /// Which job.
    pub name: String,
    /// Its arguments as JSON.
    pub args: String,
    /// Which try this is, from 1; with the id, it names the claim.
    pub attempt: i64,
    /// How often it is tried.
    pub most: i64,
    /// Whether it had its last try, and its server died in it.
    pub dead: bool,
    /// The key of the actor whose it is.
    pub actor: String,
    /// The buckets that it may write, as JSON; any where there is none.
    pub buckets: Option<String>,
}

/// The actors whose jobs this process runs just now.
#[derive(Debug, Default)]
pub struct BusyActors {
    /// Those that have all the workers that one may have: no job of theirs is claimed.
    pub full: Vec<String>,
    /// The others: jobs of theirs come after those of whoever has no worker.
    pub served: Vec<String>,
}

/// How many jobs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Waiting, due or not.
    pub pending: i64,
    /// Being run, or left by a server that died.
    pub running: i64,
    /// Given up.
    pub dead: i64,
}

/// The record of a job that did not succeed.
#[derive(Debug)]
pub struct FailedJob<'a> {
    /// Whether it is given up.
    pub dead: bool,
    /// The tries to count from now on.
    pub attempts: i64,
    /// When to try again.
    pub run_at: DateTimeUtc,
    /// What to tell people.
    pub error: &'a str,
}

impl Store {
    /// Leases the job whose turn it is among those of these names that are due at `now`; another may take it from `leased_until` on, should
    /// this process die. Relies on the index on `run_at`: what is due is put in order each time, so that a claim costs nothing while
    /// nothing is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lease_job(
        &self,
        names: &[&str],
        now: DateTimeUtc,
        leased_until: DateTimeUtc,
        busy: &BusyActors,
    ) -> Result<Option<LeasedJob>, StoreError> {
        if names.is_empty() {
            return Ok(None);
        }
        if let Backend::Sqlite(store) = &self.backend
            && !store.has_due_job(now).await?
        {
            // Asked of a reader, so that looking every second never keeps a writer waiting.
            return Ok(None);
        }
        let skip = match self.dialect() {
            Dialect::Postgres => "for update skip locked",
            Dialect::Sqlite => "",
        };
        let mut values: Vec<Value> = vec![now.into(), leased_until.into()];
        let mut list = |texts: &mut dyn Iterator<Item = &str>| {
            let bound = texts.map(|text| {
                values.push(text.into());
                format!("${}", values.len())
            });
            // A list needs a text, and this is no actor's: a key begins with a name or is empty.
            bound.chain(["'\n'".to_owned()]).collect::<Vec<_>>().join(", ")
        };
        let known = list(&mut names.iter().copied());
        let full = list(&mut busy.full.iter().map(String::as_str));
        let served = list(&mut busy.served.iter().map(String::as_str));
        let sql = format!(
            "update _nizhal_jobs set status = case when attempts >= max_attempts then 'dead' else 'running' end, \
             last_error = case when attempts >= max_attempts then 'the server ended while the job ran' else last_error end, \
             attempts = attempts + 1, run_at = $2 where id = (select id from _nizhal_jobs where status <> 'dead' \
             and run_at <= $1 and name in ({known}) and actor not in ({full}) \
             order by case when actor in ({served}) then 1 else 0 end, turn_ms + 0, run_at limit 1 {skip}) \
             returning id, name, args, attempts, max_attempts, status, actor, buckets"
        );
        let db = self.connection();
        let row = self.query_one(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
        row.map(|row| {
            Ok(LeasedJob {
                id: row.try_get("", "id")?,
                name: row.try_get("", "name")?,
                args: row.try_get("", "args")?,
                attempt: row.try_get("", "attempts")?,
                most: row.try_get("", "max_attempts")?,
                dead: row.try_get::<String>("", "status")? == "dead",
                actor: row.try_get("", "actor")?,
                buckets: row.try_get("", "buckets")?,
            })
        })
        .transpose()
    }

    /// Gives a claim back whose run the database ended: it does not count as a try.
    ///
    /// # Errors
    /// When the database fails; the job is then taken again later.
    pub async fn give_back(&self, job: &LeasedJob, run_at: DateTimeUtc) -> Result<(), StoreError> {
        let sql = "update _nizhal_jobs set attempts = attempts - 1, run_at = $3 \
            where id = $1 and status = 'running' and attempts = $2";
        self.run(sql, [job.id.as_str().into(), job.attempt.into(), run_at.into()]).await.map(drop)
    }

    /// How many jobs there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        let sql = "select status, count(*) as jobs from _nizhal_jobs group by status";
        let db = self.reads();
        let mut counts = JobCounts::default();
        for row in self.query_all(Statement::from_string(db.get_database_backend(), sql)).await? {
            let jobs: i64 = row.try_get("", "jobs")?;
            match row.try_get::<String>("", "status")?.as_str() {
                "pending" => counts.pending = jobs,
                "running" => counts.running = jobs,
                _ => counts.dead += jobs,
            }
        }
        Ok(counts)
    }
}

impl WriteTx<'_> {
    /// Writes the jobs that this transaction wants, with the buckets that each may write, as JSON. The first of an actor's has the turn
    /// of the one that is next of all that wait, and each other a step behind the one of the same actor before it: so a thousand of one
    /// actor's are spread over as many steps, however fast they came and however slowly they run, and another's is among the first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enqueue(&self, jobs: &[(&NewJob, Option<String>)]) -> Result<(), StoreError> {
        for (job, buckets) in jobs {
            self.enqueue_one(queued(job, buckets.clone()), job.run_at.timestamp_millis()).await?;
        }
        Ok(())
    }

    /// Writes one, whose turn comes at this moment at the earliest, in milliseconds since the Unix epoch.
    pub(super) async fn enqueue_one(&self, job: [Value; 8], turn_ms: i64) -> Result<(), StoreError> {
        let sql = format!(
            "insert into _nizhal_jobs (id, name, args, run_at, max_attempts, unique_key, actor, turn_ms, buckets) \
             select $1, $2, $3, $4, $5, $6, $7, \
             case when w.latest + {TURN_MS} > w.next then w.latest + {TURN_MS} else w.next end, $8 \
             from (select t.latest, case when t.first < $9 then t.first else $9 end as next from (select \
             (select max(turn_ms) from _nizhal_jobs where actor = $7 and status = 'pending' and run_at <= $4) as latest, \
             (select min(turn_ms) from _nizhal_jobs where status = 'pending' and run_at <= $4) as first) t) w \
             where true on conflict do nothing"
        );
        self.run(&sql, job.into_iter().chain([turn_ms.into()])).await.map(drop)
    }

    /// Holds a claimed job until the transaction ends; false when another worker took it meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hold_job(&self, job: &LeasedJob) -> Result<bool, StoreError> {
        let sql = "select id from _nizhal_jobs where id = $1 and status = 'running' and attempts = $2";
        let sql = match self.dialect() {
            Dialect::Postgres => format!("{sql} for update skip locked"),
            Dialect::Sqlite => sql.to_owned(),
        };
        Ok(self.one(&sql, [job.id.as_str().into(), job.attempt.into()]).await?.is_some())
    }

    /// Done: the row goes with the commit that keeps what the handler wrote, and the audit entry comes with it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn job_done(&self, job: &LeasedJob) -> Result<(), StoreError> {
        // Asked for the log alone, so not without it.
        let write_set = if self.audit() == Audit::Off { Vec::new() } else { self.written().await?.write_set };
        let sql = "delete from _nizhal_jobs where id = $1";
        self.run_audited(sql, vec![job.id.as_str().into()], &entry(job, "done", &write_set)).await
    }

    /// Not done. Its key is given up when another of that key came to wait meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn job_failed(&self, job: &LeasedJob, failed: FailedJob<'_>) -> Result<(), StoreError> {
        let sql = "update _nizhal_jobs set status = $2, attempts = $3, run_at = $4, last_error = $5, unique_key = case \
            when exists (select 1 from _nizhal_jobs o where o.name = _nizhal_jobs.name and o.unique_key = \
            _nizhal_jobs.unique_key and o.status = 'pending') then null else unique_key end where id = $1";
        let values = vec![
            job.id.as_str().into(),
            if failed.dead { "dead" } else { "pending" }.into(),
            failed.attempts.into(),
            failed.run_at.into(),
            // A reason may quote anything, and Postgres cannot keep U+0000.
            failed.error.replace('\0', "").into(),
        ];
        if failed.dead {
            return self.run_audited(sql, values, &entry(job, "dead", &[])).await;
        }
        self.run(sql, values).await.map(drop)
    }

    /// Makes this transaction one that every process hears of, as of a stranger's, lets its handler wait for others, and begins its write
    /// set with a seal.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_job(&self) -> Result<WriteSetSeal, StoreError> {
        let seal = WriteSetSeal::draw();
        match self.dialect() {
            Dialect::Postgres => {
                let sql = "select set_config('nizhal.local', 'off', true), set_config('nizhal.touched', $1, true), \
                    set_config('idle_in_transaction_session_timeout', '330s', true)";
                self.one(sql, [format!("{}\n", seal.line()).into()]).await?;
            }
            Dialect::Sqlite => self.seal(&seal).await?,
        }
        Ok(seal)
    }

    /// Runs what is deferred until the commit, while the job can still be told to have failed by it. Nothing that is noted after that
    /// passes; on SQLite there are deferred foreign keys alone, which write nothing.
    ///
    /// # Errors
    /// When that fails, or the database does.
    pub async fn run_deferred(&self) -> Result<(), StoreError> {
        if self.dialect() == Dialect::Postgres {
            // In this order: the second column's expression is computed after the first's.
            self.one(&format!("select {DUE} as wrote, {JUDGED} as judged"), []).await?;
        }
        Ok(())
    }

    /// The last statement before a job's commit: its session is as it was before. On SQLite its note stays, for whoever looks at it next.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish_job(&self, seal: &WriteSetSeal) -> Result<(), StoreError> {
        match self.dialect() {
            Dialect::Postgres => self.one("select _nizhal_leave()", []).await.map(drop),
            Dialect::Sqlite => {
                self.run("delete from _nizhal_touched where note = $1", [seal.line().into()]).await?;
                self.run("update _nizhal_control set txn = null, hlc = null where id = 1", []).await.map(drop)
            }
        }
    }
}

/// A job's columns in their order, but for its turn.
pub(super) fn queued(job: &NewJob, buckets: Option<String>) -> [Value; 8] {
    [
        job.id.to_string().into(),
        job.name.into(),
        job.args.as_str().into(),
        job.run_at.into(),
        i64::from(job.attempts).into(),
        job.unique_key.clone().into(),
        job.actor.as_str().into(),
        buckets.into(),
    ]
}

fn entry<'a>(job: &'a LeasedJob, status: &'a str, write_set: &'a [WriteSetEntry]) -> NewEntry<'a> {
    let (actor, sequence) = ("", None);
    NewEntry { kind: "job", actor, id: &job.id, sequence, name: &job.name, status, write_set, args: &job.args }
}
