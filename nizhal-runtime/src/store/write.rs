//! The statements of a push; one text for both databases.

use super::write_set::{DRAWN, RESEAL, WRITTEN};
use super::{
    database::Store,
    error::StoreError,
    field::{self, AheadStamp, Conflict, MergeReport},
    limit::ANSWER_TIMEOUT,
    read::{Membership, PullHeader, ScopeArg},
    row_size::{self, LargeRow},
    seal::{SEAL, SPILLED, WHOLE, WriteSetSeal},
    settings::Audit,
    sql::{Dialect, placeholders},
    sqlite,
    write_set::{self, WriteSetEntry},
};
use nizhal_core::Principal;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, Statement, Value};

/// The most ids that one statement looks for.
const MAX_IDS: usize = 500;

/// The result of a mutation as it was stored.
#[derive(Debug, Clone)]
pub struct StoredResult {
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
    /// The columns that it did not get, as JSON.
    pub lost: Option<String>,
    /// Whether it took effect later than it was made.
    pub late: bool,
}

impl StoredResult {
    /// The result of a mutation whose own was forgotten.
    pub fn expired() -> Self {
        let (reason, client_ref, server_id, lost) = Default::default();
        Self { status: "expired".to_owned(), reason, client_ref, server_id, version: 0, lost, late: false }
    }
}

/// The key of a mutation.
#[derive(Debug, Clone, Copy)]
pub struct MutationKey<'a> {
    /// The actor's key.
    pub actor: &'a str,
    /// The `clientMutationId`.
    pub client_mutation_id: &'a str,
    /// `clientID` and `mutationID`, when the mutation is in a sequence.
    pub sequence: Option<(&'a str, i64)>,
    /// The mutator's wire name.
    pub name: &'a str,
    /// Its arguments as sent.
    pub args: &'a str,
    /// The number up to which its client has its answers: the one before the first of the request.
    pub acknowledged: i64,
    /// When its device made it, by the device's clock, in milliseconds since the Unix epoch.
    pub made_ms: Option<i64>,
}

/// The result of a mutation that is to be stored.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// `applied`, `rejected`, `invalid_args`, `forbidden`, `cancelled` or `unknown_mutator`.
    pub status: &'static str,
    /// The reason, where it is not `applied`.
    pub reason: Option<String>,
    /// The mutator's result as JSON.
    pub result: Option<String>,
    /// The arg `clientId`, paired with `server_id`.
    pub client_ref: Option<String>,
    /// The id that the server gave.
    pub server_id: Option<String>,
    /// The columns that it did not get, as JSON.
    pub lost: Option<String>,
}

/// The writes of a transaction.
#[derive(Debug, Default)]
pub struct Written {
    /// The write set's lines, as they were read.
    pub raw_write_set: String,
    /// The touched buckets.
    pub write_set: Vec<WriteSetEntry>,
    /// The columns that it came too late for.
    pub conflicts: Vec<Conflict>,
    /// The stamps that it passed over.
    pub ahead: Vec<AheadStamp>,
    /// The largest rows, where there were large ones.
    pub large: Vec<LargeRow>,
    /// The version drawn, if one was.
    pub version: Option<i64>,
    /// Whether the connection has temporary tables, which whoever has it next would find.
    pub leaves_tables: bool,
}

impl Written {
    /// Reads the write set's lines.
    pub(super) fn read(raw_write_set: String) -> Result<Self, StoreError> {
        let mut written = Self::default();
        raw_write_set.lines().try_for_each(|line| written.push_line(line))?;
        Ok(Self { raw_write_set, ..written })
    }

    /// Adds what was written later in the same transaction.
    pub fn add(&mut self, later: Self) {
        self.write_set.extend(later.write_set);
        self.conflicts.extend(later.conflicts);
        self.ahead.extend(later.ahead);
        self.large.extend(later.large);
        self.version = later.version.or(self.version);
        self.leaves_tables |= later.leaves_tables;
    }

    /// The lines that name what was touched, without its seal and the reports of merged columns and of large rows.
    pub(super) fn touched(&self) -> String {
        let is_touched =
            |line: &&str| !line.starts_with([SEAL, field::SIGN, row_size::SIGN]) && *line != SPILLED && *line != WHOLE;
        self.raw_write_set.lines().filter(is_touched).collect::<Vec<_>>().join("\n")
    }

    fn push_line(&mut self, line: &str) -> Result<(), StoreError> {
        if line.starts_with(SEAL) || line == SPILLED || line == WHOLE {
            return Ok(());
        }
        if let Some(large) = line.strip_prefix(row_size::SIGN) {
            self.large.push(row_size::parse(large)?);
            return Ok(());
        }
        match line.strip_prefix(field::SIGN) {
            Some(report) => match field::parse(report)? {
                MergeReport::Conflict(conflict) => self.conflicts.push(conflict),
                MergeReport::Ahead(ahead) => self.ahead.push(ahead),
            },
            None => self.write_set.push(write_set::parse(line)?),
        }
        Ok(())
    }
}

/// A transaction that writes.
pub struct WriteTx<'a> {
    tx: &'a DatabaseTransaction,
    store: &'a Store,
}

impl Store {
    /// The engine's statements on a transaction of [`begin`](Self::begin).
    pub fn on<'a>(&'a self, tx: &'a DatabaseTransaction) -> WriteTx<'a> {
        WriteTx::new(tx, self)
    }
}

impl<'a> WriteTx<'a> {
    fn new(tx: &'a DatabaseTransaction, store: &'a Store) -> Self {
        Self { tx, store }
    }

    pub(super) fn store(&self) -> &'a Store {
        self.store
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.store.dialect()
    }

    pub(super) fn audit(&self) -> Audit {
        self.store.audit
    }

    fn statement(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        let sql = self.store.localize(sql);
        Statement::from_sql_and_values(self.tx.get_database_backend(), sql, values)
    }

    /// The first row of a text's last statement.
    pub(super) async fn one(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<QueryResult>, StoreError> {
        let values: Vec<Value> = values.into_iter().collect();
        let (_, rest) = self.split(sql, &values).await?;
        self.send(self.tx.query_one_raw(self.statement(rest, values))).await
    }

    /// The rows of all statements of a text.
    pub(super) async fn all(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let values: Vec<Value> = values.into_iter().collect();
        let (mut rows, rest) = self.split(sql, &values).await?;
        rows.extend(self.send(self.tx.query_all_raw(self.statement(rest, values))).await?);
        Ok(rows)
    }

    /// How many rows the last statement of a text wrote.
    pub(super) async fn run(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64, StoreError> {
        let values: Vec<Value> = values.into_iter().collect();
        let (_, rest) = self.split(sql, &values).await?;
        Ok(self.send(self.tx.execute_raw(self.statement(rest, values))).await?.rows_affected())
    }

    /// Runs all statements of a text but the last where one is to fail in a test, each by itself, so that it can be any of them. Gives
    /// their rows, and what is left to be run: the whole text where none is to fail.
    async fn split<'t>(&self, text: &'t str, values: &[Value]) -> Result<(Vec<QueryResult>, &'t str), StoreError> {
        let (mut rows, mut rest) = (Vec::new(), text);
        if self.store.is_to_fail() {
            while let Some((statement, others)) = rest.split_once(";\n") {
                let statement = self.statement(statement, values.iter().cloned());
                rows.extend(self.send(self.tx.query_all_raw(statement)).await?);
                rest = others;
            }
        }
        Ok((rows, rest))
    }

    async fn send<T>(&self, statement: impl Future<Output = Result<T, DbErr>>) -> Result<T, StoreError> {
        if self.store.is_lost() {
            // Out of the transaction, SQLite would take it for one of its own.
            return Err(StoreError::Overtaken);
        }
        let sent = async {
            self.store.before(self.tx).await?;
            statement.await
        };
        self.store.wait(ANSWER_TIMEOUT, sent).await
    }

    /// The stored result of this mutation, by the table's primary key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stored_result(
        &self,
        actor: &str,
        client_mutation_id: &str,
    ) -> Result<Option<StoredResult>, StoreError> {
        let sql = "select status, reason, client_ref, server_id, version, lost, exists (select 1 from _nizhal_actions a \
            where a.actor = $1 and a.id = $2 and a.late) as late from _nizhal_mutations \
            where actor in ($1, '') and client_mutation_id = $2 order by actor desc limit 1";
        let Some(row) = self.one(sql, [actor.into(), client_mutation_id.into()]).await? else { return Ok(None) };
        Ok(Some(StoredResult {
            status: row.try_get("", "status")?,
            reason: row.try_get("", "reason")?,
            client_ref: row.try_get("", "client_ref")?,
            server_id: row.try_get("", "server_id")?,
            version: row.try_get("", "version")?,
            lost: row.try_get("", "lost")?,
            late: row.try_get("", "late")?,
        }))
    }

    /// Adds to a stored result the columns that the mutation did not get, as JSON; by the table's primary key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_lost(&self, actor: &str, client_mutation_id: &str, lost: &str) -> Result<(), StoreError> {
        let sql = "update _nizhal_mutations set lost = $3 where actor = $1 and client_mutation_id = $2";
        self.run(sql, [actor.into(), client_mutation_id.into(), lost.into()]).await.map(drop)
    }

    /// One of these mutations of the actor's that was refused for good, by the table's primary key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refused(&self, actor: &str, ids: &[String]) -> Result<Option<String>, StoreError> {
        // What holds U+0000 names no mutation, and Postgres would not take it.
        let ids: Vec<&String> = ids.iter().filter(|id| !id.contains('\0')).collect();
        for some in ids.chunks(MAX_IDS) {
            let sql = format!(
                "select client_mutation_id from _nizhal_mutations where actor in ($1, '') and client_mutation_id in ({}) \
                 and status <> 'applied' order by client_mutation_id limit 1",
                placeholders(1, some.len())
            );
            let values = std::iter::once(actor.into()).chain(some.iter().map(|id| id.as_str().into()));
            if let Some(row) = self.one(&sql, values).await? {
                return Ok(Some(row.try_get("", "client_mutation_id")?));
            }
        }
        Ok(None)
    }

    /// The writes since the write set was last taken.
    ///
    /// # Errors
    /// [`StoreError::Unsealed`] when that was cleared; else when the database fails.
    pub async fn take_write_set(&self, seal: &WriteSetSeal) -> Result<Written, StoreError> {
        let written = self.read_write_set(Some(seal)).await?;
        seal.check(&written.raw_write_set)?;
        Ok(written)
    }

    /// The same, and leaves the write set to be taken again.
    ///
    /// # Errors
    /// As for [`take_write_set`](Self::take_write_set).
    pub async fn sealed(&self, seal: &WriteSetSeal) -> Result<Written, StoreError> {
        let written = self.read_write_set(None).await?;
        seal.check(&written.raw_write_set)?;
        Ok(written)
    }

    /// Begins the write set of a transaction, on SQLite, where it is a table.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn seal(&self, seal: &WriteSetSeal) -> Result<(), StoreError> {
        self.run("insert into _nizhal_touched (note) values ($1)", [seal.line().into()]).await.map(drop)
    }

    /// The same, whether it was cleared or not: for the log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn written(&self) -> Result<Written, StoreError> {
        self.read_write_set(None).await
    }

    /// Reads the write set, and begins it anew with this seal.
    async fn read_write_set(&self, reseal: Option<&WriteSetSeal>) -> Result<Written, StoreError> {
        match self.store.dialect() {
            Dialect::Postgres => {
                // What is read comes first; a setting is text from its beginning on.
                let clear = if reseal.is_some() { format!(", {RESEAL}") } else { String::new() };
                let sql = format!("select {WRITTEN} as touched, {DRAWN} as version{clear}");
                let seal = reseal.map(|seal| seal.line().into());
                let Some(row) = self.one(&sql, seal).await? else { return Ok(Written::default()) };
                let lines: String = row.try_get("", "touched")?;
                Ok(Written { version: row.try_get("", "version")?, ..Written::read(lines)? })
            }
            Dialect::Sqlite => {
                let txn = "(select txn from _nizhal_control where id = 1) as version";
                let sql = match reseal {
                    Some(_) => format!(
                        "delete from _nizhal_touched returning cast(note as blob) as note, {txn};\n\
                         insert into _nizhal_touched (note) values ($1)"
                    ),
                    None => format!("select cast(note as blob) as note, {txn} from _nizhal_touched"),
                };
                let (mut raw_write_set, mut version) = (String::new(), None);
                for row in self.all(&sql, reseal.map(|seal| seal.line().into())).await? {
                    raw_write_set.push_str(&sqlite::line(row.try_get("", "note")?));
                    raw_write_set.push('\n');
                    version = row.try_get("", "version")?;
                }
                Ok(Written { version, ..Written::read(raw_write_set)? })
            }
        }
    }

    /// The header and the actor's memberships, as this transaction sees them; it knows nothing of the clock.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn header(&self, args: &[ScopeArg]) -> Result<PullHeader, StoreError> {
        let values = args.iter().map(|arg| self.store.scope_value(arg));
        self.read_header(self.all(&self.store.scope_sql().sql, values).await?)
    }

    /// Reads the rows of the membership query.
    pub(super) fn read_header(&self, rows: Vec<QueryResult>) -> Result<PullHeader, StoreError> {
        let mut header = PullHeader::default();
        for row in rows {
            let (rule, param): (i32, i32) = (row.try_get("", "rule")?, row.try_get("", "param")?);
            let value = match self.dialect() {
                Dialect::Postgres => row.try_get("", "value")?,
                // Another program's text may not be UTF-8; no bucket is called so.
                Dialect::Sqlite => match String::from_utf8(row.try_get("", "value")?) {
                    Ok(value) => value,
                    Err(_) => continue,
                },
            };
            header.push_scope_row(rule.into(), param.into(), value, row.try_get("", "collected")?);
        }
        Ok(header)
    }

    /// The memberships of the actor's, as this transaction sees them; where no rule asks a membership table, the database is not asked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn members(&self, principal: &Principal) -> Result<Vec<Membership>, StoreError> {
        if !self.store.schema.asks_memberships() {
            return Ok(Vec::new());
        }
        Ok(self.header(&self.store.scope_args(principal)).await?.members)
    }

    /// Clears the write set; the last statement before commit.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish(&self) -> Result<(), StoreError> {
        match self.dialect() {
            Dialect::Postgres => Ok(()),
            Dialect::Sqlite => sqlite::clear_write_set(self.tx).await,
        }
    }

    /// Clears the write set of a push that records no result, for the next one in the transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_push(&self) -> Result<(), StoreError> {
        if self.dialect() == Dialect::Sqlite {
            let sql =
                "update _nizhal_control set hlc = null where id = 1 and hlc is not null;\ndelete from _nizhal_touched";
            self.run(sql, []).await?;
        }
        Ok(())
    }
}
