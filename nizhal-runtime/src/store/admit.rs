//! Whether mutations may run: where their client's sequence stands, and whether one of them is known already.
//!
//! One statement, which holds the client's row until the transaction ends: so one client's pushes queue up, and a second
//! delivery waits for the first and then finds its number used. It leaves no mark of the mutations; their answers are filed at
//! the end, and a delivery that comes upon an answer there begins again (`record.rs`).

use super::{StoreError, WriteSetSeal, WriteTx, sql::Dialect};
use sea_orm::{QueryResult, Value};

/// Where a client's sequence stands.
#[derive(Debug)]
pub struct Sequence {
    /// The actor that the `clientID` belongs to.
    pub actor: String,
    /// The last mutation seen.
    pub last: i64,
    /// The version that the last mutation with an effect drew.
    pub last_version: i64,
    /// The last mutation whose answer was forgotten; 0 when none was.
    pub expired: i64,
    /// When that one was answered, in milliseconds since the Unix epoch.
    pub expired_at_ms: i64,
    /// When a client that this one may have been was last heard, in milliseconds since the Unix epoch; 0 when none was forgotten.
    pub forgotten_ms: i64,
}

/// The standing of mutations that are to run.
#[derive(Debug)]
pub struct Standing {
    /// Where their client's sequence stands, when they are in one.
    pub sequence: Option<Sequence>,
    /// Whether one of them was answered before.
    pub is_answered: bool,
    /// For mutations without a client: when what was forgotten last was answered, or its client heard, in milliseconds since the Unix
    /// epoch; 0 when nothing was forgotten.
    pub forgotten_ms: i64,
    /// The process id of the database's backend that the transaction runs on, on Postgres.
    pub backend: Option<i32>,
}

/// The statement for a client that is known. By the primary keys of both tables.
const SEQUENCED: &str = "select c.actor, c.last_mutation_id, c.last_version, c.expired, c.expired_at_ms, c.forgotten_ms, {known} as known{backend}{settings} \
    from _nizhal_clients c where c.client_id = $1{lock}";
const UNSEQUENCED: &str = "select {known} as known, (select forgotten_ms from _nizhal_control where id = 1) as forgotten_ms{backend}{settings}";

impl WriteTx<'_> {
    /// Finds or makes the client's sequence and holds it until the transaction ends, looks whether the actor sent one of the
    /// mutations before, begins the write set with its seal, and tells the database their stamp.
    ///
    /// # Errors
    /// [`StoreError::TooManyClients`] when the actor has as many as it may; else when the database fails.
    pub async fn admit(
        &self,
        actor: &str,
        client_id: Option<&str>,
        ids: &[&str],
        (seal, stamp): (&WriteSetSeal, Option<&str>),
    ) -> Result<Standing, StoreError> {
        let mut is_made = false;
        loop {
            let (mut sql, mut values) = self.admission(actor, client_id, ids, (seal, stamp));
            if self.dialect() == Dialect::Sqlite && !is_made {
                // Before it, in one call: each is a way to SQLite's thread and back.
                values.push(seal.line().into());
                let mut before = format!("insert into _nizhal_touched (note) values (${});\n", values.len());
                if let Some(stamp) = stamp {
                    values.push(stamp.into());
                    before += &format!("update _nizhal_control set hlc = ${} where id = 1;\n", values.len());
                }
                sql.insert_str(0, &before);
            }
            let row = self.one(&sql, values).await?;
            let Some(client_id) = client_id else {
                let row = row.ok_or_else(|| StoreError::Schema("a select returned no row".to_owned()))?;
                let (is_answered, backend) = (row.try_get("", "known")?, self.backend(&row)?);
                return Ok(Standing {
                    sequence: None,
                    is_answered,
                    forgotten_ms: row.try_get("", "forgotten_ms")?,
                    backend,
                });
            };
            if let Some(row) = row {
                let mut owner: String = row.try_get("", "actor")?;
                if owner.is_empty() {
                    // Taken over from a system that did not write down whose it was.
                    let take = "update _nizhal_clients set actor = $2 where client_id = $1 and actor = ''";
                    self.run(take, [client_id.into(), actor.into()]).await?;
                    actor.clone_into(&mut owner);
                }
                let sequence = Sequence {
                    actor: owner,
                    last: row.try_get("", "last_mutation_id")?,
                    last_version: row.try_get("", "last_version")?,
                    expired: row.try_get("", "expired")?,
                    expired_at_ms: row.try_get("", "expired_at_ms")?,
                    forgotten_ms: row.try_get("", "forgotten_ms")?,
                };
                let (is_answered, backend) = (row.try_get("", "known")?, self.backend(&row)?);
                return Ok(Standing { sequence: Some(sequence), is_answered, forgotten_ms: 0, backend });
            }
            let limit = self.store().max_clients;
            if std::mem::replace(&mut is_made, true) {
                return Err(StoreError::TooManyClients { limit });
            }
            // It waits for whoever makes the same client now, and then leaves theirs. None is made where the actor has all that it may.
            let made = "insert into _nizhal_clients (client_id, actor, forgotten_ms) select $1, $2, forgotten_ms \
                from _nizhal_control where id = 1 and (select count(*) from (select 1 from _nizhal_clients where actor || '' = $2 \
                limit $3) c) < $3 on conflict (client_id) do nothing";
            if self.run(made, [client_id.into(), actor.into(), i64::from(limit).into()]).await? == 0 {
                self.check_control().await?;
            }
        }
    }

    /// Whether the control row is there, which every client is made from.
    async fn check_control(&self) -> Result<(), StoreError> {
        let found = self.one("select 1 as found from _nizhal_control where id = 1", []).await?;
        found.map(drop).ok_or_else(StoreError::no_control)
    }

    fn backend(&self, row: &QueryResult) -> Result<Option<i32>, StoreError> {
        match self.dialect() {
            Dialect::Postgres => Ok(row.try_get("", "backend")?),
            Dialect::Sqlite => Ok(None),
        }
    }

    fn admission(
        &self,
        actor: &str,
        client_id: Option<&str>,
        ids: &[&str],
        (seal, stamp): (&WriteSetSeal, Option<&str>),
    ) -> (String, Vec<Value>) {
        let mut values: Vec<Value> = client_id.map(Value::from).into_iter().collect();
        let mut placeholder = |value: Value| {
            values.push(value);
            format!("${}", values.len())
        };
        let actor = placeholder(actor.into());
        let known = |id: &str| {
            // Those without an actor were taken over from a system that did not write down whose they are.
            format!("select 1 from _nizhal_mutations m where m.actor in ({actor}, '') and m.client_mutation_id = {id}")
        };
        let (known, settings, lock) = match self.dialect() {
            Dialect::Postgres => (
                match ids {
                    [id] => known(&placeholder((*id).into())),
                    // Each by itself: of `= any` it is guessed that reading all that the actor ever sent might be cheaper.
                    ids => {
                        let all: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
                        let all = placeholder(all.into());
                        format!(
                            "select 1 from unnest({all}::text[]) as i(id) cross join lateral ({} limit 1) m",
                            known("i.id")
                        )
                    }
                },
                {
                    let stamp =
                        stamp.map(|stamp| format!(", set_config('nizhal.hlc', {}, true)", placeholder(stamp.into())));
                    let seal = placeholder(format!("{}\n", seal.line()).into());
                    format!(", set_config('nizhal.touched', {seal}, true){}", stamp.unwrap_or_default())
                },
                " for update of c",
            ),
            Dialect::Sqlite => {
                let all = placeholder(serde_json::json!(ids).to_string().into());
                (format!("select 1 from json_each({all}) i where exists ({})", known("i.value")), String::new(), "")
            }
        };
        let known = format!("exists ({known})");
        let text = if client_id.is_some() { SEQUENCED } else { UNSEQUENCED };
        let backend = match self.dialect() {
            Dialect::Postgres => ", pg_backend_pid() as backend",
            Dialect::Sqlite => "",
        };
        let sql = text.replace("{known}", &known).replace("{backend}", backend);
        let sql = sql.replace("{settings}", &settings).replace("{lock}", lock);
        (sql, values)
    }

    /// Tells the database the stamp of the mutation that runs next.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stamp(&self, stamp: Option<&str>) -> Result<(), StoreError> {
        match self.dialect() {
            Dialect::Postgres => {
                let sql = "select set_config('nizhal.hlc', $1, true)";
                self.one(sql, [stamp.unwrap_or_default().into()]).await.map(drop)
            }
            Dialect::Sqlite => {
                let sql = "update _nizhal_control set hlc = $1 where id = 1";
                self.run(sql, [stamp.map(str::to_owned).into()]).await.map(drop)
            }
        }
    }
}
