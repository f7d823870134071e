//! What Postgres lacks: tables, engine columns and indexes, and with `functions.rs` the engine's functions and triggers, as statements.

use super::{
    blob, clock, drift,
    found::{Found, introspect},
    functions,
    partition::START_AGAIN,
    purpose::Purpose,
    takeover,
    takeover::TypeScript,
};
use crate::schema::Schema;
use crate::store::{
    StoreError, check,
    ddl::{self, Seed},
    history, replay, rules,
    sql::{Dialect, quote},
};
use nizhal_core::TableDesc;
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::BTreeSet;

const DIALECT: Dialect = Dialect::Postgres;
/// How a statement begins that drops an index while others write.
const DROP_ALONE: &str = "drop index concurrently ";

/// Whether a statement of the plan runs in no transaction.
pub(super) fn runs_alone(statement: &str) -> bool {
    let creates = ["create index concurrently ", "create unique index concurrently "];
    statement.starts_with(DROP_ALONE) || creates.iter().any(|create| statement.starts_with(create))
}

/// The statements that make the database fit the schema; none when it does. `seed` is used when there is no control row yet.
pub(super) async fn plan(
    db: &mut PgConnection,
    schema: &Schema,
    seed: &Seed,
    purpose: Purpose,
) -> Result<Vec<String>, StoreError> {
    check_encoding(&mut *db).await?;
    let mut found = introspect(&mut *db).await?;
    let typescript = takeover::find(&mut *db).await?;
    if let Some(old) = &typescript {
        found.forget(old);
    }
    found.provisioned.check(&seed.owner, schema, &found.rules)?;
    drift::check(schema, &found.relations)?;
    blob::check_rows(&mut *db, schema, &found).await?;
    let mut plan = typescript.as_ref().map(TypeScript::before).unwrap_or_default();
    if !found.sequences.contains("_nizhal_clock") {
        plan.push("create sequence _nizhal_clock".to_owned());
        // Called once, so that the last value always is one that was drawn.
        plan.push("select setval('_nizhal_clock', 1, true)".to_owned());
    }
    for (name, create) in ddl::engine_tables(DIALECT) {
        if !found.columns.contains_key(name) {
            plan.push(create);
        }
    }
    for (table, column, definition) in ddl::engine_additions(DIALECT) {
        if !found.has(table, column) {
            plan.push(format!("alter table {table} add column {definition}"));
        }
    }
    plan.extend(typescript.as_ref().map(TypeScript::after).unwrap_or_default());
    let is_current = found.epoch && found.provisioned.is_current();
    plan.extend(history::lost_history(DIALECT, seed, is_current, |name| found.columns.contains_key(name)));
    let incarnation = clock::incarnation(&found.schema);
    if !found.epoch {
        plan.push(seed.insert(DIALECT, &incarnation));
    } else if !found.has("_nizhal_control", "secret") {
        plan.extend(ddl::unsigned(DIALECT, &incarnation));
    }
    let synced: BTreeSet<&str> = schema.synced().iter().map(|table| table.name).collect();
    for table in schema.tables() {
        let is_synced = synced.contains(table.name);
        match found.columns.get(table.name) {
            None => plan.push(ddl::create_table(DIALECT, table, is_synced)),
            Some(columns) => plan.extend(missing_columns(table, columns, is_synced)?),
        }
    }
    let images = replay::images(DIALECT, schema);
    for images in images.iter().filter(|images| !found.columns.contains_key(&images.name)) {
        plan.extend(images.create());
    }
    warn_of_namesakes(db, schema, &found).await?;
    let checks = check::checks(schema);
    for (table, stale) in &found.checks {
        if !checks.iter().any(|check| check.table == table && check.name() == *stale) {
            plan.push(format!("alter table {} drop constraint {}", quote(table), quote(stale)));
        }
    }
    for check in checks {
        if !found.checks.contains(&(check.table.to_owned(), check.name())) {
            plan.push(check.constraint());
        }
    }
    for index in ddl::indexes(DIALECT, schema) {
        let name = index.name();
        if found.broken.contains(&name) {
            // What a build that was cut off leaves; it is kept up to date and never used.
            plan.push(format!("{DROP_ALONE}if exists {name}"));
        } else if found.indexes.contains(&name) {
            continue;
        }
        // Of a table that is made here, or has no rows, it costs nothing; a partitioned one cannot have it otherwise.
        let is_filled = found.plain.contains(index.table()) && has_rows(db, index.table()).await?;
        plan.push(if is_filled { index.create_concurrently() } else { index.create() });
    }
    functions::missing(schema, &found, purpose, &mut plan);
    plan.extend(replay::stale(&images, found.columns.keys()));
    if purpose == Purpose::Migrate {
        plan.extend(found.relations.partitions.remember(schema));
    }
    if functions::had_lost_triggers(schema, &found) && !plan.iter().any(|statement| statement == START_AGAIN) {
        plan.push(START_AGAIN.to_owned());
    }
    plan.extend(rules::changes(DIALECT, schema, &found.rules, &|table, column| found.has(table, column)));
    plan.extend(found.provisioned.changes(&seed.owner, schema, &found.rules));
    Ok(plan)
}

/// Says so where all tables of the app are to be made, and another schema has some of these names: the `search_path` may be wrong.
async fn warn_of_namesakes(db: &mut PgConnection, schema: &Schema, found: &Found) -> Result<(), StoreError> {
    let names: Vec<&str> = schema.tables().iter().map(|table| table.name).collect();
    if names.iter().any(|name| found.columns.contains_key(*name)) {
        return Ok(());
    }
    let sql = "select string_agg(distinct c.relnamespace::regnamespace::text, ', ') from pg_class c join pg_namespace n \
        on n.oid = c.relnamespace where c.relname = any($1) and c.relkind in ('r', 'p') and not starts_with(n.nspname::text, 'pg_') \
        and n.nspname not in (current_schema(), 'information_schema')";
    let others: Option<String> = sqlx::query_scalar(sql).bind(names).fetch_one(db).await?;
    if let Some(others) = others {
        tracing::warn!(
            schema = found.schema,
            others,
            "the app's tables are to be made in this schema, and others have tables of these names: if those are meant, give the \
             database's user a search_path that begins with their schema"
        );
    }
    Ok(())
}

/// Refuses a database that cannot keep every text that a device may send, or gives ones that are no text.
async fn check_encoding(db: &mut PgConnection) -> Result<(), StoreError> {
    let encoding: String = sqlx::query_scalar("select current_setting('server_encoding')").fetch_one(db).await?;
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(StoreError::Schema(format!(
        "the database's encoding is {encoding}, which cannot keep every text: make a database by `create database NAME encoding 'UTF8' \
         template template0` and restore a dump into it (`pg_dump --encoding=UTF8`)"
    )))
}

async fn has_rows(db: &mut PgConnection, table: &str) -> Result<bool, StoreError> {
    let sql = format!("select 1 from {table} limit 1");
    Ok(sqlx::query(AssertSqlSafe(sql)).fetch_optional(db).await?.is_some())
}

fn missing_columns(table: &TableDesc, found: &BTreeSet<String>, synced: bool) -> Result<Vec<String>, StoreError> {
    let mut plan = Vec::new();
    for column in table.columns.iter().filter(|column| !found.contains(column.name)) {
        ddl::check_addable(table, column)?;
        plan.push(format!("alter table {} add column {}", quote(table.name), ddl::column(DIALECT, column)));
    }
    if synced {
        for (name, definition) in ddl::engine_columns(DIALECT, table) {
            if !found.contains(name) && table.column(name).is_none() {
                plan.push(format!("alter table {} add column {definition}", quote(table.name)));
            }
        }
    }
    Ok(plan)
}
