//! What no device can ask for again, forgotten: answers that their clients have, and jobs that are dead.
//!
//! An answer is acknowledged when its client sent a request that begins behind it. The last request of each is not acknowledged: its
//! answers stay. A client's row says up to which number answers were
//! forgotten and when the last of them was given, so that a mutation which comes again does not run again.
//!
//! A client that was silent twelve times as long is forgotten with all its answers. Whoever comes later under a `clientID` that is not
//! known may be that client: of its mutations those run that were made after the last forgotten client was heard.
//!
//! An actor that has as many answers as it may has those forgotten that its clients have, however young: a delivery that comes again
//! is told that its answer expired, and runs as little as before.
//!
//! Mutations without a client acknowledge nothing: their answers are forgotten when they are as old as a forgotten client. One that
//! comes later without a client and says by its stamp that it was made before then does not run.

use super::{database::Store, error::StoreError, limit::ANSWER_TIMEOUT, progress::Steps, sql::Dialect};
use sea_orm::{ConnectionTrait, Statement, TransactionTrait, Value};

/// How many times longer than an answer a silent client is remembered.
const CLIENT_FACTOR: u32 = 12;

/// The counts of what was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Answers of mutations.
    pub answers: u64,
    /// Clients, with what answers they had left.
    pub clients: u64,
    /// Dead jobs.
    pub jobs: u64,
}

/// How many clients are looked at in one transaction, so that none lasts long …
const CLIENTS: usize = 100;
/// … and of how many of each one's numbers.
const NUMBERS: usize = 1_000;

impl Store {
    /// Forgets acknowledged answers, silent clients and dead jobs that are older than this many days, some at a time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_answers(&self, days: u32) -> Result<Forgotten, StoreError> {
        let (mut forgotten, mut steps) = (Forgotten::default(), Steps::of("forgetting answers, clients and jobs"));
        loop {
            let some = self.forget_some_answers(days, None).await?;
            forgotten.answers += some.unwrap_or_default();
            steps.reach(forgotten.answers);
            if some.is_none() {
                break;
            }
        }
        loop {
            let clients = self.forget_some_clients(days.saturating_mul(CLIENT_FACTOR)).await?;
            forgotten.clients += clients;
            steps.reach(forgotten.answers + forgotten.clients);
            if clients == 0 {
                break;
            }
        }
        loop {
            let answers = self.forget_some_loose_answers(days.saturating_mul(CLIENT_FACTOR)).await?;
            forgotten.answers += answers;
            if answers == 0 {
                break;
            }
        }
        let dead = format!("delete from _nizhal_jobs where status = 'dead' and run_at < {}", self.days_ago(days));
        forgotten.jobs = self.run(&dead, []).await?;
        Ok(forgotten)
    }

    /// How many answers of the actor's are stored, at most so many; by the table's primary key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_answers(&self, actor: &str, limit: u64) -> Result<u64, StoreError> {
        let sql = "select count(*) as stored from (select 1 from _nizhal_mutations where actor = $1 limit $2) m";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [actor.into(), limit.into()];
        let db = self.reads();
        let counting = db.query_one_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values));
        let row = self.wait(ANSWER_TIMEOUT, counting).await?;
        let stored: i64 = row.map(|row| row.try_get("", "stored")).transpose()?.unwrap_or_default();
        Ok(stored.unsigned_abs())
    }

    /// Forgets answers that the actor's clients have, of whatever age and the oldest of each first: so many, a few more, or all that
    /// there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_acknowledged(&self, actor: &str, wanted: u64) -> Result<u64, StoreError> {
        let mut forgotten = 0;
        while forgotten < wanted
            && let Some(some) = self.forget_some_answers(0, Some(actor)).await?
        {
            forgotten += some;
        }
        Ok(forgotten)
    }

    /// By the index on client and number: each client is read from where it was left. Nothing when there is no more to forget. Those of
    /// one actor's clients, by the index on theirs, where one is named.
    async fn forget_some_answers(&self, days: u32, actor: Option<&str>) -> Result<Option<u64>, StoreError> {
        let (before, at_ms) = (self.days_ago(days), self.ms("m.at"));
        let going = format!(
            "from _nizhal_mutations m where m.client_id = c.client_id and m.mutation_id > c.expired \
             and m.mutation_id <= c.acknowledged and m.mutation_id <= c.expired + {NUMBERS} and m.at < {before}"
        );
        let some = format!(
            "select c.client_id, (select max(m.mutation_id) {going}) as expired, (select max({at_ms}) {going}) as at_ms \
             from _nizhal_clients c where c.acknowledged > c.expired{} and exists (select 1 {going}) limit {CLIENTS}{}",
            if actor.is_some() { " and c.actor || '' = $1" } else { "" },
            self.locked()
        );
        let tx = self.connection().begin().await?;
        let values = actor.map(Value::from);
        let found = tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), some, values)).await?;
        if found.is_empty() {
            tx.rollback().await?;
            return Ok(None);
        }
        let run = async |sql: &str, values: Vec<Value>| -> Result<u64, StoreError> {
            let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
            Ok(tx.execute_raw(statement).await?.rows_affected())
        };
        let mut answers = 0;
        for row in found {
            let client: String = row.try_get("", "client_id")?;
            let (expired, at_ms): (i64, i64) = (row.try_get("", "expired")?, row.try_get("", "at_ms")?);
            let noted = "update _nizhal_clients set expired = $2, expired_at_ms = $3 where client_id = $1";
            run(noted, vec![client.as_str().into(), expired.into(), at_ms.into()]).await?;
            let gone = "delete from _nizhal_mutations where client_id = $1 and mutation_id <= $2";
            answers += run(gone, vec![client.into(), expired.into()]).await?;
        }
        tx.commit().await?;
        Ok(Some(answers))
    }

    async fn forget_some_clients(&self, days: u32) -> Result<u64, StoreError> {
        let some = format!(
            "select c.client_id, {} as seen_ms from _nizhal_clients c where c.seen_at < {} limit {CLIENTS}{}",
            self.ms("c.seen_at"),
            self.days_ago(days),
            self.locked()
        );
        let tx = self.connection().begin().await?;
        let found = tx.query_all_raw(Statement::from_string(tx.get_database_backend(), some)).await?;
        let run = async |sql: &str, values: Vec<Value>| -> Result<u64, StoreError> {
            let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
            Ok(tx.execute_raw(statement).await?.rows_affected())
        };
        let mut clients = 0;
        for row in found {
            let (client, seen_ms): (String, i64) = (row.try_get("", "client_id")?, row.try_get("", "seen_ms")?);
            let marked = "update _nizhal_control set forgotten_ms = $1 where id = 1 and forgotten_ms < $1";
            run(marked, vec![seen_ms.into()]).await?;
            run("delete from _nizhal_mutations where client_id = $1", vec![client.as_str().into()]).await?;
            clients += run("delete from _nizhal_clients where client_id = $1", vec![client.into()]).await?;
        }
        tx.commit().await?;
        Ok(clients)
    }

    /// By the index on the moments of those without a client, the oldest first.
    async fn forget_some_loose_answers(&self, days: u32) -> Result<u64, StoreError> {
        let (before, at_ms) = (self.days_ago(days), self.ms("at"));
        let oldest = format!(
            "select max({at_ms}) as at_ms from (select at from _nizhal_mutations where client_id is null and at < {before} \
             order by at limit {NUMBERS}) o"
        );
        let tx = self.connection().begin().await?;
        let found = tx.query_one_raw(Statement::from_string(tx.get_database_backend(), oldest)).await?;
        let Some(until_ms) = found.map(|row| row.try_get::<Option<i64>>("", "at_ms")).transpose()?.flatten() else {
            tx.rollback().await?;
            return Ok(0);
        };
        let run = async |sql: &str| -> Result<u64, StoreError> {
            let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, [until_ms.into()]);
            Ok(tx.execute_raw(statement).await?.rows_affected())
        };
        run("update _nizhal_control set forgotten_ms = $1 where id = 1 and forgotten_ms < $1").await?;
        let gone = format!("delete from _nizhal_mutations where client_id is null and at < {before} and {at_ms} <= $1");
        let answers = run(&gone).await?;
        tx.commit().await?;
        Ok(answers)
    }

    /// The moment this many days ago.
    fn days_ago(&self, days: u32) -> String {
        match self.dialect() {
            Dialect::Postgres => format!("now() - make_interval(days => {days})"),
            Dialect::Sqlite => format!("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{days} days')"),
        }
    }

    /// A moment in milliseconds since the Unix epoch.
    fn ms(&self, moment: &str) -> String {
        match self.dialect() {
            Dialect::Postgres => format!("(extract(epoch from {moment}) * 1000)::bigint"),
            Dialect::Sqlite => format!("cast((julianday({moment}) - 2440587.5) * 86400000 as integer)"),
        }
    }

    /// Holds the clients that were found; one that a push holds is left for another time.
    fn locked(&self) -> &'static str {
        match self.dialect() {
            Dialect::Postgres => " for update of c skip locked",
            Dialect::Sqlite => "",
        }
    }
}
