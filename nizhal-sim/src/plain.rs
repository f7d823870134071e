//! The plain loop: the mutations of a space one after the other, in their order, on an empty database that has no triggers; and whether the
//! server's database is what comes of that.

use crate::fixture::Fixture;
use crate::oracle::{BETWEEN, members, scope_literal};
use crate::order::{Accepted, Deed, Order, Space, Turn};
use crate::server::Server;
use crate::sim::Check;
use crate::trace::Counts;
use futures_util::FutureExt as _;
use nizhal_core::__private::BoxFuture;
use nizhal_core::sql::{literal, quote};
use nizhal_core::{
    ActorScope, Bucket, CtxParts, DateTimeUtc, Error, Merge, MutationIds, MutatorEntry, ParamSource, Random, Rule,
    ScopeValue, ServerParts, TableDesc,
};
use sea_orm::{
    Condition, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    Statement, TransactionTrait,
};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Rows as texts, each with its table.
type Lines = BTreeSet<String>;

/// What a mutator may see where a database has the rows of its space alone.
struct WholeSpace;

impl ActorScope for WholeSpace {
    fn next<'a>(&'a self, _: &'a DatabaseTransaction, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<i64, Error>> {
        Box::pin(async { Err(Error::internal("a replayed mutator draws no numbers")) })
    }

    fn visible(&self, _: &str) -> Condition {
        Condition::all()
    }
}

/// What is replayed in an app, and the database of the plain loop.
pub(crate) struct Plain {
    db: DatabaseConnection,
    tables: Vec<&'static TableDesc>,
    /// The order of now, and that of the last copy of the server's database with its version.
    order: Order,
    copied: Option<(Order, usize)>,
    known: BTreeSet<String>,
    copied_known: BTreeSet<String>,
    /// What happened, by its name.
    pub(crate) counts: Counts,
}

impl Plain {
    /// That of an app; `None` where nothing is replayed.
    pub(crate) async fn new(fixture: &Fixture<'_>, server: &mut sqlx::SqliteConnection) -> Option<Self> {
        let tables = fixture.replayed.clone();
        if tables.is_empty() {
            return None;
        }
        let options = ConnectOptions::new("sqlite::memory:").max_connections(1).to_owned();
        let db = Database::connect(options).await.unwrap_or_else(|error| panic!("no database in memory: {error}"));
        for table in &tables {
            let sql = format!(
                "select sql from sqlite_schema where type in ('table', 'index') and tbl_name = {} and sql is not null \
                 order by type desc",
                literal(table.name)
            );
            let made: Result<Vec<String>, _> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut *server).await;
            for sql in made.unwrap_or_else(|error| panic!("the app's tables cannot be read: {error}")) {
                let done = db.execute_unprepared(&sql).await;
                done.unwrap_or_else(|error| panic!("the plain loop's tables cannot be made: {error}"));
            }
        }
        let (order, known) = (Order::default(), BTreeSet::new());
        Some(Self { db, tables, order, copied: None, known, copied_known: BTreeSet::new(), counts: Counts::new() })
    }

    /// The server's database was copied.
    pub(crate) fn copy(&mut self, version: usize) {
        (self.copied, self.copied_known) = (Some((self.order.clone(), version)), self.known.clone());
    }

    /// The copy took its place, and was brought up to this version.
    pub(crate) fn restore(&mut self, fixture: &Fixture<'_>, version: usize) {
        let Some((order, copied)) = self.copied.clone() else { return };
        (self.order, self.known) = (order, self.copied_known.clone());
        if copied != version {
            self.grow(fixture);
        }
    }

    /// The next version of the schema came.
    pub(crate) fn grow(&mut self, fixture: &Fixture<'_>) {
        if self.tables.iter().any(|table| Some(table.name) == fixture.grown) {
            self.order.settle();
        }
    }

    /// What is older than the horizon is forgotten; how many mutations are to be.
    pub(crate) fn forget(&mut self, now_ms: i64) -> usize {
        self.order.forget(now_ms)
    }

    /// Somebody wrote a row of this space by SQL.
    pub(crate) fn write(&mut self, space: &str, sql: &str) {
        self.order.spaces.entry(space.to_owned()).or_default().write(sql);
        self.count("write past the order");
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Runs the space on the empty database; its rows, and the mutations that applied.
    async fn run(&self, fixture: &Fixture<'_>, space: &Space) -> Result<(Lines, BTreeSet<String>), String> {
        for table in &self.tables {
            self.execute(&format!("delete from {}", quote(table.name))).await?;
        }
        let mut applied = BTreeSet::new();
        for (turn, deed) in space.deeds() {
            match (deed, turn) {
                (Deed::Sql(sql), _) => self.execute(sql).await?,
                (Deed::Mutation(accepted), Some(turn)) => {
                    if self.call(fixture, accepted, turn).await? {
                        applied.insert(key_of(fixture, accepted));
                    }
                }
                (Deed::Mutation(accepted), None) => return Err(format!("{} has no place", accepted.name)),
            }
        }
        let mut lines = Lines::new();
        for table in &self.tables {
            let statement = Statement::from_string(DbBackend::Sqlite, line_sql(table, "1"));
            let rows = self.db.query_all_raw(statement).await.map_err(|error| error.to_string())?;
            for row in rows {
                lines.insert(row.try_get_by_index(0).map_err(|error| error.to_string())?);
            }
        }
        Ok((lines, applied))
    }

    /// Whether the mutation applies.
    async fn call(&self, fixture: &Fixture<'_>, accepted: &Accepted, turn: &Turn) -> Result<bool, String> {
        let Some(entry) = entry_of(fixture, &accepted.name) else { return Ok(false) };
        let principal = &fixture.users[accepted.user];
        let args = RawValue::from_string(accepted.args.clone()).map_err(|error| error.to_string())?;
        let now = DateTimeUtc::from_timestamp_millis(turn.stamp.millis).unwrap_or_default();
        let sent = accepted.sent.unwrap_or(turn.stamp).millis;
        let mut ids = MutationIds::of(principal.key(), &accepted.id, sent);
        let parts = CtxParts {
            tx: self.db.begin().await.map_err(|error| error.to_string())?,
            principal: principal.clone(),
            now,
            hlc: turn.stamp,
            ids: Box::new(move || ids.next_id()),
            jobs: Vec::new(),
            random: Random::of(&accepted.id),
            server: Some(ServerParts { scope: Arc::new(WholeSpace), now, savepoints: false }),
        };
        match AssertUnwindSafe((entry.call)(parts, &args)).catch_unwind().await {
            Ok((parts, Ok(_))) => parts.tx.commit().await.map(|()| true).map_err(|error| error.to_string()),
            Ok((parts, Err(_))) => parts.tx.rollback().await.map(|()| false).map_err(|error| error.to_string()),
            Err(_) => Ok(false),
        }
    }

    async fn execute(&self, sql: &str) -> Check {
        let done = self.db.execute_unprepared(sql).await;
        done.map(drop).map_err(|error| format!("`{sql}` fails in the plain loop: {error}"))
    }
}

impl Server {
    /// After a push: its mutations took their places, and the rows and results of each space they are in are those of the plain loop.
    pub(crate) async fn replayed(&mut self, fixture: &Fixture<'_>) -> Check {
        let Some(mut plain) = self.plain.take() else { return Ok(()) };
        let done = self.compare(fixture, &mut plain).await;
        self.plain = Some(plain);
        done
    }

    async fn compare(&mut self, fixture: &Fixture<'_>, plain: &mut Plain) -> Check {
        let mut touched = BTreeSet::new();
        let sql = format!(
            "select space || '{BETWEEN}' || pos || '{BETWEEN}' || actor || '{BETWEEN}' || id || '{BETWEEN}' || name || '{BETWEEN}' || \
             coalesce(client_id, '') || '{BETWEEN}' || coalesce(sent, '') || '{BETWEEN}' || args from _nizhal_actions order by rowid"
        );
        for line in self.texts(&sql).await? {
            let fields: Vec<&str> = line.splitn(8, BETWEEN).collect();
            let [space, position, actor, id, name, client, sent, args] = fields[..] else {
                return Err(format!("an action is {line}"));
            };
            if !plain.known.insert(format!("{actor}{BETWEEN}{id}")) {
                continue;
            }
            let user = fixture.users.iter().position(|user| user.key() == actor);
            let user = user.ok_or_else(|| format!("inv38: an action is nobody's: {line}"))?;
            let (rule, value) = space_of(fixture, name, args)?;
            if space_name(rule, value.to_string()) != space {
                return Err(format!("inv37: {name} with {args} is in the space {space}"));
            }
            if !self.is_member(fixture, user, rule, &value).await? {
                return Err(format!("inv38: user {user} is no member of {space}, and its {name} is taken in"));
            }
            let accepted = Accepted {
                id: id.to_owned(),
                user,
                name: name.to_owned(),
                args: args.to_owned(),
                client: Some(client.to_owned()).filter(|client| !client.is_empty()),
                sent: sent.parse().ok(),
            };
            let found = Turn::read(position).ok_or_else(|| format!("an action is at {position}"))?;
            let taken_in = plain.order.spaces.entry(space.to_owned()).or_default();
            if taken_in.accept(accepted, &found, self.world.now_ms())? {
                plain.count("mutation that came late");
            }
            touched.insert(space.to_owned());
        }
        let revised = self.texts("select 'revised' from _nizhal_actions where revised > 0").await?.len();
        if revised > 0 {
            plain.count("result that became another");
        }
        for space in touched {
            self.compare_space(fixture, plain, &space).await?;
        }
        Ok(())
    }

    /// Whether a space is what comes of the plain loop.
    async fn compare_space(&mut self, fixture: &Fixture<'_>, plain: &Plain, space: &str) -> Check {
        let Some(deeds) = plain.order.spaces.get(space) else { return Ok(()) };
        let (wanted, applied) = plain.run(fixture, deeds).await?;
        let mut found = Lines::new();
        for table in &plain.tables {
            let here = scope_of(fixture, table, space);
            found.extend(self.texts(&line_sql(table, &here)).await?);
        }
        if found != wanted {
            let [more, less] = [&found - &wanted, &wanted - &found];
            return Err(format!(
                "inv37: {space} has {more:?} and lacks {less:?}, after {:#?}",
                deeds.deeds().collect::<Vec<_>>()
            ));
        }
        let sql = format!(
            "select actor || '{BETWEEN}' || client_mutation_id from _nizhal_mutations where status = 'applied'"
        );
        let told: BTreeSet<String> = self.texts(&sql).await?.into_iter().collect();
        for (_, deed) in deeds.deeds() {
            let Deed::Mutation(accepted) = deed else { continue };
            let key = key_of(fixture, accepted);
            if told.contains(&key) != applied.contains(&key) {
                let is_told = if told.contains(&key) { "applied" } else { "refused" };
                return Err(format!("inv37: {accepted:?} is {is_told}, which is not what the plain loop says"));
            }
        }
        Ok(())
    }

    /// Whether a user has this bucket now.
    async fn is_member(
        &mut self,
        fixture: &Fixture<'_>,
        user: usize,
        rule: &Rule,
        value: &ScopeValue,
    ) -> Result<bool, String> {
        let user = &fixture.users[user];
        let Some(param) = rule.params.first() else { return Ok(false) };
        match &param.source {
            ParamSource::Claim(claim) => Ok(claim.get(user).as_ref() == Some(value)),
            ParamSource::Member { table, column, filters } => {
                let held = members(table, *column, filters, &[], user);
                let sql = format!("select 'yes' where {} in ({held})", scope_literal(value));
                Ok(!self.texts(&sql).await?.is_empty())
            }
        }
    }
}

fn key_of(fixture: &Fixture<'_>, accepted: &Accepted) -> String {
    format!("{}{BETWEEN}{}", fixture.users[accepted.user].key(), accepted.id)
}

fn entry_of<'a>(fixture: &'a Fixture<'_>, name: &str) -> Option<&'a MutatorEntry> {
    fixture.mutators.iter().find(|entry| entry.desc.name == name)
}

/// The rule and the bucket that a mutation is replayed in.
fn space_of<'a>(fixture: &'a Fixture<'_>, name: &str, args: &str) -> Result<(&'a Rule, ScopeValue), String> {
    let named = || format!("{name} with {args} is in no space");
    let entry = entry_of(fixture, name).ok_or_else(named)?;
    let rule = fixture.rules.iter().find(|rule| entry.desc.replay == Some(rule.name)).ok_or_else(named)?;
    let args = RawValue::from_string(args.to_owned()).map_err(|error| error.to_string())?;
    let value = (entry.replay.bucket)(&args).map_err(|error| error.to_string())?.ok_or_else(named)?;
    Ok((rule, value))
}

/// What the rows of a table meet that are in a space.
fn scope_of(fixture: &Fixture<'_>, table: &TableDesc, space: &str) -> String {
    let lines = fixture.rules.iter().flat_map(|rule| rule.tables.iter().map(move |line| (rule, line)));
    let of_rule = lines.filter(|(rule, line)| line.table.name == table.name && is_replayed(fixture, rule));
    let branches: Vec<String> = of_rule
        .filter_map(|(rule, line)| {
            let value: [String; 1] = serde_json::from_str(space.strip_prefix(rule.name)?.strip_prefix(':')?).ok()?;
            let column = line.table.columns[*line.scope.first()?].name;
            Some(format!("cast({} as text) = {}", quote(column), literal(&value[0])))
        })
        .collect();
    if branches.is_empty() { "0".to_owned() } else { branches.join(" or ") }
}

/// The space of a row of a replayed table, whose columns have these literals.
pub(crate) fn space_of_row(fixture: &Fixture<'_>, table: &TableDesc, value: impl Fn(&str) -> String) -> Option<String> {
    fixture.rules.iter().filter(|rule| is_replayed(fixture, rule)).find_map(|rule| {
        let line = rule.tables.iter().find(|line| line.table.name == table.name)?;
        let value = value(line.table.columns[*line.scope.first()?].name);
        Some(space_name(rule, value.trim_matches('\'').to_owned()))
    })
}

/// The name of a rule's bucket in the server's database.
fn space_name(rule: &Rule, value: String) -> String {
    format!("{}:{}", rule.name, Bucket::new(rule.name, vec![value]).key())
}

fn is_replayed(fixture: &Fixture<'_>, rule: &Rule) -> bool {
    fixture.mutators.iter().any(|entry| entry.desc.replay == Some(rule.name))
}

/// The rows of a table as texts, without what the engine writes anew each time.
fn line_sql(table: &TableDesc, condition: &str) -> String {
    let columns = table.columns.iter().map(|column| column.name).filter(|name| *name != "updated_at");
    let columns = columns.chain((table.column("deleted_at").is_none()).then_some("deleted_at"));
    let values: Vec<String> = columns.map(|name| format!("quote({})", quote(name))).collect();
    format!("select '{} ' || {} from {} where {condition}", table.name, values.join(" || ' ' || "), quote(table.name))
}

/// The tables that are replayed.
pub(crate) fn replayed(tables: &[&'static TableDesc]) -> Vec<&'static TableDesc> {
    tables.iter().copied().filter(|table| table.merge == Merge::Replay).collect()
}
