//! The statements of a push; one text for both databases.

use super::{
    Audit, Store, StoreError,
    audit::NewEntry,
    field::{self, Conflict},
    note::{self, Touched},
    read::Frame,
    sql::Dialect,
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Statement, Value};

/// The most ids that one statement looks for.
const MAX_IDS: usize = 500;

/// Where a client's sequence stands.
#[derive(Debug)]
pub struct Sequence {
    /// The actor that the `clientID` belongs to.
    pub actor: String,
    /// The last mutation seen.
    pub last: i64,
    /// The version that the last mutation with an effect drew.
    pub last_version: i64,
}

/// A stored answer.
#[derive(Debug, Clone)]
pub struct Stored {
    /// `applied`, `rejected`, `invalid_args`, `forbidden`, `cancelled` or `unknown_mutator`.
    pub status: String,
    /// The reason, where it is not `applied`.
    pub reason: Option<String>,
    /// The arg `clientId`, paired with `server_id`.
    pub client_ref: Option<String>,
    /// The id that the server gave.
    pub server_id: Option<String>,
    /// The version that its writes drew.
    pub version: i64,
}

/// What names a mutation.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The actor's key.
    pub actor: &'a str,
    /// The `clientMutationId`.
    pub client_mutation_id: &'a str,
    /// `clientID` and `mutationID`, when the mutation is in a sequence.
    pub sequence: Option<(&'a str, i64)>,
    /// The mutator's wire name.
    pub name: &'a str,
    /// The stamp that its device gave it, clamped.
    pub stamp: Option<&'a str>,
    /// Its arguments as sent.
    pub args: &'a str,
}

/// The final answer to a mutation.
#[derive(Debug, Default)]
pub struct Record<'a> {
    /// `applied`, `rejected`, `invalid_args`, `forbidden`, `cancelled` or `unknown_mutator`.
    pub status: &'a str,
    /// The reason, where it is not `applied`.
    pub reason: Option<&'a str>,
    /// The mutator's result as JSON.
    pub result: Option<String>,
    /// The arg `clientId`, paired with `server_id`.
    pub client_ref: Option<String>,
    /// The id that the server gave.
    pub server_id: Option<String>,
    /// The version that its writes drew; that of the client's mutation before when it wrote nothing.
    pub version: i64,
    /// What it touched.
    pub touched: &'a [Touched],
}

/// What a transaction wrote.
#[derive(Debug, Default)]
pub struct Written {
    /// The touched buckets.
    pub touched: Vec<Touched>,
    /// The columns that it came too late for.
    pub conflicts: Vec<Conflict>,
    /// The version drawn, if one was.
    pub version: Option<i64>,
}

impl Written {
    fn take(&mut self, line: &str) -> Result<(), StoreError> {
        match line.strip_prefix(field::SIGN) {
            Some(conflict) => self.conflicts.push(field::parse(conflict)?),
            None => self.touched.push(note::parse(line)?),
        }
        Ok(())
    }
}

/// A transaction that writes.
pub struct WriteTx<'a> {
    tx: &'a DatabaseTransaction,
    store: &'a Store,
}

impl<'a> WriteTx<'a> {
    pub(super) fn new(tx: &'a DatabaseTransaction, store: &'a Store) -> Self {
        Self { tx, store }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.store.dialect()
    }

    pub(super) fn audit(&self) -> Audit {
        self.store.audit
    }

    fn statement(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.tx.get_database_backend(), sql, values)
    }

    pub(super) async fn one(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<QueryResult>, StoreError> {
        Ok(self.tx.query_one_raw(self.statement(sql, values)).await?)
    }

    pub(super) async fn run(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64, StoreError> {
        Ok(self.tx.execute_raw(self.statement(sql, values)).await?.rows_affected())
    }

    /// Finds or makes the client's sequence, and holds it until the transaction ends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sequence(&self, client_id: &str, actor: &str) -> Result<Sequence, StoreError> {
        let sql = "insert into _nizhal_clients (client_id, actor) values ($1, $2) \
            on conflict (client_id) do update set client_id = excluded.client_id \
            returning actor, last_mutation_id, last_version";
        let row = self.one(sql, [client_id.into(), actor.into()]).await?;
        let row = row.ok_or_else(|| StoreError::Schema("an upsert returned no row".to_owned()))?;
        Ok(Sequence {
            actor: row.try_get("", "actor")?,
            last: row.try_get("", "last_mutation_id")?,
            last_version: row.try_get("", "last_version")?,
        })
    }

    /// The stored answer of this mutation, by the table's primary key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stored(&self, actor: &str, client_mutation_id: &str) -> Result<Option<Stored>, StoreError> {
        let sql = "select status, reason, client_ref, server_id, version from _nizhal_mutations \
            where actor = $1 and client_mutation_id = $2";
        let Some(row) = self.one(sql, [actor.into(), client_mutation_id.into()]).await? else { return Ok(None) };
        Ok(Some(Stored {
            status: row.try_get("", "status")?,
            reason: row.try_get("", "reason")?,
            client_ref: row.try_get("", "client_ref")?,
            server_id: row.try_get("", "server_id")?,
            version: row.try_get("", "version")?,
        }))
    }

    /// One of these mutations of the actor's that was refused for good, by the table's primary key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refused(&self, actor: &str, ids: &[String]) -> Result<Option<String>, StoreError> {
        // What holds U+0000 names no mutation, and Postgres would not take it.
        let ids: Vec<&String> = ids.iter().filter(|id| !id.contains('\0')).collect();
        for some in ids.chunks(MAX_IDS) {
            let places: Vec<String> = (0..some.len()).map(|at| format!("${}", at + 2)).collect();
            let sql = format!(
                "select client_mutation_id from _nizhal_mutations where actor = $1 and client_mutation_id in ({}) \
                 and status not in ('applied', 'claimed') order by client_mutation_id limit 1",
                places.join(", ")
            );
            let values = std::iter::once(actor.into()).chain(some.iter().map(|id| id.as_str().into()));
            if let Some(row) = self.one(&sql, values).await? {
                return Ok(Some(row.try_get("", "client_mutation_id")?));
            }
        }
        Ok(None)
    }

    /// Claims the mutation and tells the database its stamp; false when it was claimed before. Waits for a concurrent claim to end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim(&self, claim: &Claim<'_>) -> Result<bool, StoreError> {
        let (client_id, mutation_id) = claim.sequence.unzip();
        let sql = "insert into _nizhal_mutations (actor, client_mutation_id, client_id, mutation_id, name, status) \
            values ($1, $2, $3, $4, $5, 'claimed') on conflict (actor, client_mutation_id) do nothing";
        let mut values: Vec<Value> = vec![
            claim.actor.into(),
            claim.client_mutation_id.into(),
            client_id.map(str::to_owned).into(),
            mutation_id.into(),
            claim.name.into(),
        ];
        match (self.dialect(), claim.stamp) {
            (Dialect::Postgres, Some(stamp)) => {
                values.push(stamp.into());
                let sql = format!("{sql} returning set_config('nizhal.hlc', $6, true)");
                Ok(self.one(&sql, values).await?.is_some())
            }
            (Dialect::Sqlite, Some(stamp)) => {
                self.run("update _nizhal_control set hlc = $1 where id = 1", [stamp.into()]).await?;
                Ok(self.run(sql, values).await? == 1)
            }
            (_, None) => Ok(self.run(sql, values).await? == 1),
        }
    }

    /// What the transaction wrote so far.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn written(&self) -> Result<Written, StoreError> {
        match self.store.dialect() {
            Dialect::Postgres => {
                let sql = "select coalesce(current_setting('nizhal.touched', true), '') as touched, \
                    nullif(current_setting('nizhal.version', true), '')::bigint as version";
                let mut written = Written::default();
                let Some(row) = self.one(sql, []).await? else { return Ok(written) };
                let lines: String = row.try_get("", "touched")?;
                lines.lines().try_for_each(|line| written.take(line))?;
                written.version = row.try_get("", "version")?;
                Ok(written)
            }
            Dialect::Sqlite => {
                let sql = "select note, (select txn from _nizhal_control where id = 1) as version from _nizhal_touched";
                let rows = self.tx.query_all_raw(self.statement(sql, [])).await?;
                let mut written = Written::default();
                for row in rows {
                    written.take(&row.try_get::<String>("", "note")?)?;
                    written.version = row.try_get("", "version")?;
                }
                Ok(written)
            }
        }
    }

    /// Stores the answer and the audit entry, and uses up the sequence number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record(&self, claim: &Claim<'_>, record: Record<'_>) -> Result<(), StoreError> {
        let sql = "update _nizhal_mutations set status = $3, reason = $4, result = $5, client_ref = $6, \
            server_id = $7, version = $8 where actor = $1 and client_mutation_id = $2";
        let values = vec![
            claim.actor.into(),
            claim.client_mutation_id.into(),
            record.status.into(),
            record.reason.map(str::to_owned).into(),
            record.result.into(),
            record.client_ref.into(),
            record.server_id.into(),
            record.version.into(),
        ];
        let entry = NewEntry {
            kind: "mutation",
            actor: claim.actor,
            id: claim.client_mutation_id,
            sequence: claim.sequence,
            name: claim.name,
            status: record.status,
            touched: record.touched,
            args: claim.args,
        };
        self.run_audited(sql, values, &entry).await?;
        self.advance(claim, record.version).await
    }

    /// Uses up the sequence number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn advance(&self, claim: &Claim<'_>, version: i64) -> Result<(), StoreError> {
        if let Some((client_id, mutation_id)) = claim.sequence {
            let sql = "update _nizhal_clients set last_mutation_id = $2, last_version = $3, seen_at = current_timestamp \
                where client_id = $1";
            self.run(sql, [client_id.into(), mutation_id.into(), version.into()]).await?;
        }
        Ok(())
    }

    /// The frame and the actor's memberships, as this transaction sees them; it knows nothing of the clock.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn frame(&self, args: &[super::read::ScopeArg]) -> Result<Frame, StoreError> {
        let values = args.iter().map(|arg| self.store.scope_value(arg));
        let rows = self.tx.query_all_raw(self.statement(&self.store.scope_sql().sql, values)).await?;
        let mut frame = Frame::default();
        for row in rows {
            let (rule, param): (i32, i32) = (row.try_get("", "rule")?, row.try_get("", "param")?);
            frame.take(rule.into(), param.into(), row.try_get("", "value")?, row.try_get("", "collected")?);
        }
        Ok(frame)
    }

    /// Clears what the transaction noted about itself; the last statement before commit.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish(&self) -> Result<(), StoreError> {
        if self.store.dialect() == Dialect::Sqlite {
            self.run("delete from _nizhal_touched", []).await?;
            self.run("update _nizhal_control set txn = null, hlc = null where id = 1", []).await?;
        }
        Ok(())
    }
}
