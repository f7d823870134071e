//! What Postgres lacks: tables, engine columns, functions, triggers and indexes, as statements.

use super::{
    capture,
    capture::Level,
    clock, drift, field,
    found::{Found, introspect},
    leave,
    partition::START_AGAIN,
    takeover,
    takeover::TypeScript,
    trigger::APPLIED,
};
use crate::schema::Schema;
use crate::store::{
    StoreError, check,
    ddl::{self, Seed},
    field::merges,
    history, rules,
    sql::{Dialect, quote, stamped},
    told::told_columns,
    write_set,
};
use nizhal_core::TableDesc;
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::BTreeSet;

const DIALECT: Dialect = Dialect::Postgres;
/// How a statement begins that drops an index while others write.
const DROP_ALONE: &str = "drop index concurrently ";

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Purpose {
    /// All that the database should have.
    Migrate,
    /// What a server cannot do without: a partition that is newer than the last `migrate` is looked at from time to time.
    Serve,
}

/// How the names of the triggers begin of which each synced table has one of a kind.
const CAPTURE_KINDS: [&[&str]; 5] = [
    &["_nizhal_stamp", "_nizhal_told", "_nizhal_field"],
    &["_nizhal_insert"],
    &["_nizhal_update"],
    &["_nizhal_delete"],
    &["_nizhal_truncate"],
];

/// Functions of fixed names that triggers call.
const TRIGGERED: [&str; 2] = ["_nizhal_stamp", "_nizhal_restored"];
/// Functions that are called as whoever writes, and as the server's user, neither of whom need be their owner. The default privileges of
/// the database may keep them from everybody else.
const OPEN: [&str; 3] = ["_nizhal_version", "_nizhal_horizon", "_nizhal_written"];

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
    found.kept.check(&seed.owner, schema, &found.rules)?;
    drift::check(schema, &found.relations)?;
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
    let is_current = found.epoch && found.kept.is_current();
    plan.extend(history::lost_history(DIALECT, seed, is_current, |name| found.columns.contains_key(name)));
    let home = clock::home(&found.schema);
    if !found.epoch {
        plan.push(seed.insert(DIALECT, &home));
    } else if !found.has("_nizhal_control", "secret") {
        plan.extend(ddl::unsigned(DIALECT, &home));
    }
    let synced: BTreeSet<&str> = schema.synced().iter().map(|table| table.name).collect();
    for table in schema.tables() {
        let is_synced = synced.contains(table.name);
        match found.columns.get(table.name) {
            None => plan.push(ddl::create_table(DIALECT, table, is_synced)),
            Some(columns) => plan.extend(missing_columns(table, columns, is_synced)?),
        }
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
    functions_and_triggers(schema, &found, purpose, &mut plan);
    if purpose == Purpose::Migrate {
        plan.extend(found.relations.partitions.remember(schema));
    }
    if had_lost_triggers(schema, &found) && !plan.iter().any(|statement| statement == START_AGAIN) {
        plan.push(START_AGAIN.to_owned());
    }
    plan.extend(rules::changes(DIALECT, schema, &found.rules, &|table, column| found.has(table, column)));
    plan.extend(found.kept.changes(&seed.owner, schema, &found.rules));
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

/// Whether a table that was synced before lacks triggers of some kind, or has them switched off: nobody knows what was written
/// meanwhile, so all devices start again.
fn had_lost_triggers(schema: &Schema, found: &Found) -> bool {
    let was_synced = |table: &&&TableDesc| found.rules.iter().any(|branch| branch.table() == table.name);
    let lacks = |table: &&TableDesc, kinds: &[&str]| {
        let has =
            |(on, trigger): &&(String, String)| on == table.name && kinds.iter().any(|kind| trigger.starts_with(kind));
        !found.triggers.iter().filter(has).any(|trigger| !found.disabled.contains(trigger))
    };
    // A partition's triggers are its own rows of the catalog: those of its parent by the same name, and one for `truncate`.
    let lacks_in_partitions = |table: &&TableDesc| {
        let of_partition = |name: &str| found.relations.partitions.names(table.name).any(|partition| partition == name);
        found.disabled.iter().any(|(on, trigger)| of_partition(on) && trigger.starts_with("_nizhal_truncate"))
            || found.disabled_clones.iter().any(|(_, trigger)| {
                let is_capture = CAPTURE_KINDS.iter().any(|kinds| kinds.iter().any(|kind| trigger.starts_with(kind)));
                is_capture && found.triggers.contains(&(table.name.to_owned(), trigger.clone()))
            })
    };
    schema
        .synced()
        .iter()
        .filter(was_synced)
        .any(|table| CAPTURE_KINDS.iter().any(|kinds| lacks(table, kinds)) || lacks_in_partitions(table))
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

/// When a trigger of this verb runs.
fn after(verb: &str, on: &str, level: Level) -> String {
    let rows = match (level, verb) {
        (Level::Row | Level::Applied, _) => return format!("after {verb} on {on} for each row"),
        (Level::Statement, "insert") => "new table as new_rows",
        (Level::Statement, "update") => "old table as old_rows new table as new_rows",
        (Level::Statement, _) => "old table as old_rows",
    };
    format!("after {verb} on {on} referencing {rows} for each statement")
}

/// Has a trigger fire also where `session_replication_role` says that none should: what it does not note, nobody judges. Those of
/// applied rows fire there alone, beside the others.
fn always(on: &str, trigger: &str) -> String {
    let when = if trigger.starts_with(APPLIED) { "replica" } else { "always" };
    format!("alter table {on} enable {when} trigger {}", quote(trigger))
}

/// Creates the trigger of the rows that logical replication applies, where it is absent.
fn applied(on: &str, name: &str, function: &str, table: &str, found: &Found, creates: &mut Vec<String>) {
    if !found.triggers.contains(&(table.to_owned(), name.to_owned())) {
        let rows = format!("after insert or update or delete on {on} for each row");
        creates.push(format!("create trigger {name} {rows} execute function {function}()"));
        creates.push(always(on, name));
    }
}

/// Switches on those of these triggers that somebody switched off, on a table or on a partition.
fn switched_on(found: &Found, triggers: &BTreeSet<(String, String)>) -> Vec<String> {
    let own = found.disabled.iter().filter(|trigger| found.triggers.contains(trigger) && triggers.contains(trigger));
    let clones = found.disabled_clones.iter().filter(|(_, trigger)| triggers.iter().any(|(_, name)| name == trigger));
    own.map(|(table, trigger)| always(&quote(table), trigger))
        .chain(clones.map(|(partition, trigger)| always(partition, trigger)))
        .collect()
}

fn functions_and_triggers(schema: &Schema, found: &Found, purpose: Purpose, plan: &mut Vec<String>) {
    let (mut functions, own) = (vec![], &found.namespace);
    let restored = ("_nizhal_restored", clock::restored_function(&found.schema));
    for (base, definition) in [
        restored,
        ("_nizhal_version", clock::version_function(&found.schema, own.lock_class())),
        ("_nizhal_horizon", clock::horizon_function(&found.schema, own.lock_class())),
        ("_nizhal_note", clock::note_function(&found.schema, &own.session())),
        ("_nizhal_leave", leave::leave_function(&found.schema, &own.session())),
        ("_nizhal_written", clock::written_function(&found.schema)),
        ("_nizhal_due", clock::due_function(&found.schema)),
        ("_nizhal_stamp", clock::stamp_function(&found.schema)),
    ] {
        let definition = own.localize(&definition).into_owned();
        // A marker function carries the hash of the definition, whose own name must stay.
        let marker = stamped(&format!("{base}_is"), &definition);
        if !found.functions.contains(&marker) {
            // Made anew, since what is given back cannot be replaced; but for those that triggers hang on, which give back a trigger
            // for ever.
            let earlier = found.signatures.iter().filter(|(name, _)| name == base && !TRIGGERED.contains(&base));
            plan.extend(earlier.map(|(_, signature)| format!("drop function {signature}")));
            plan.push(definition);
            plan.push(format!("create function {marker}() returns void language sql as ''"));
        }
        let is_open = found.functions.contains(&marker) && found.open_functions.contains(base);
        if OPEN.contains(&base) && !is_open {
            plan.push(format!("grant execute on function {}.{base}() to public", found.schema));
        }
        functions.extend([base.to_owned(), marker]);
    }
    let mut triggers: BTreeSet<(String, String)> = BTreeSet::new();
    let mut creates = Vec::new();
    let control = ("_nizhal_control".to_owned(), "_nizhal_restored".to_owned());
    if !found.triggers.contains(&control) {
        let when = "before insert on _nizhal_control for each row execute function _nizhal_restored()";
        creates.push(format!("create trigger _nizhal_restored {when}"));
        // A tool that restores may say that no triggers should fire.
        creates.push(always("_nizhal_control", "_nizhal_restored"));
    }
    triggers.insert(control);
    for table in schema.synced() {
        let level = found.relations.level(table.name);
        let body = capture::function_body(&found.schema, table, schema.rules(), level, table.name);
        let body = own.localize(&body);
        let function = stamped("_nizhal_capture", &format!("{}\n{body}", table.name));
        if !found.functions.contains(&function) {
            plan.push(format!("create function {function}() {body}"));
        }
        let told = told_columns(table, schema.rules());
        let own_stamp = match &told {
            told if merges(table) => Some(("_nizhal_field", field::function_body(&found.schema, table, told.as_ref()))),
            Some(told) => Some(("_nizhal_told", clock::told_stamp_body(&found.schema, told))),
            None => None,
        };
        let stamp = match own_stamp {
            None => "_nizhal_stamp".to_owned(),
            Some((prefix, body)) => {
                let body = own.localize(&body);
                let stamp = stamped(prefix, &format!("{}\n{body}", table.name));
                if !found.functions.contains(&stamp) {
                    plan.push(format!("create function {stamp}() {body}"));
                }
                functions.push(stamp.clone());
                stamp
            }
        };
        let on = quote(table.name);
        let suffix = function.trim_start_matches("_nizhal_capture");
        for (name, timing) in [
            (stamp.clone(), format!("before insert or update on {on} for each row execute function {stamp}()")),
            (
                format!("_nizhal_insert{suffix}"),
                format!("{} execute function {function}()", after("insert", &on, level)),
            ),
            (
                format!("_nizhal_update{suffix}"),
                format!("{} execute function {function}()", after("update", &on, level)),
            ),
            (
                format!("_nizhal_delete{suffix}"),
                format!("{} execute function {function}()", after("delete", &on, level)),
            ),
            (
                format!("_nizhal_truncate{suffix}"),
                format!("before truncate on {on} for each statement execute function {function}()"),
            ),
        ] {
            if !found.triggers.contains(&(table.name.to_owned(), name.clone())) {
                creates.push(format!("create trigger {name} {timing}"));
                creates.push(always(&on, &name));
            }
            triggers.insert((table.name.to_owned(), name));
        }
        functions.push(function);
        if level == Level::Statement {
            let body = capture::function_body(&found.schema, table, schema.rules(), Level::Applied, table.name);
            let body = own.localize(&body);
            let function = stamped("_nizhal_capture", &format!("{} applied\n{body}", table.name));
            if !found.functions.contains(&function) {
                plan.push(format!("create function {function}() {body}"));
            }
            let name = format!("{APPLIED}{}", function.trim_start_matches("_nizhal_capture_"));
            applied(&on, &name, &function, table.name, found, &mut creates);
            triggers.insert((table.name.to_owned(), name));
            functions.push(function);
        }
        // A partition hands rows up to its parent's triggers, and not that it is emptied.
        for partition in found.relations.partitions.names(table.name) {
            let body = capture::function_body(&found.schema, table, schema.rules(), level, partition);
            let body = own.localize(&body);
            let function = stamped("_nizhal_capture", &format!("{partition}\n{body}"));
            let name = format!("_nizhal_truncate{}", function.trim_start_matches("_nizhal_capture"));
            if purpose == Purpose::Serve && !found.triggers.contains(&(partition.to_owned(), name.clone())) {
                // Made in the meantime; the server looks itself whether it was emptied.
                continue;
            }
            if !found.functions.contains(&function) {
                plan.push(format!("create function {function}() {body}"));
            }
            if !found.triggers.contains(&(partition.to_owned(), name.clone())) {
                let on = quote(partition);
                creates.push(format!(
                    "create trigger {name} before truncate on {on} for each statement execute function {function}()"
                ));
                creates.push(always(&on, &name));
            }
            triggers.insert((partition.to_owned(), name));
            functions.push(function);
        }
    }
    for table in schema.tables().iter().filter(|table| write_set::memberships(schema.rules(), table).next().is_some()) {
        let level = found.relations.level(table.name);
        let body = capture::membership_body(&found.schema, table, schema.rules(), level);
        let function = stamped("_nizhal_member", &format!("{}\n{body}", table.name));
        if !found.functions.contains(&function) {
            plan.push(format!("create function {function}() {body}"));
        }
        for verb in ["insert", "update", "delete", "truncate"] {
            let name = format!("{function}_{verb}");
            if !found.triggers.contains(&(table.name.to_owned(), name.clone())) {
                let on = quote(table.name);
                // Only before a truncate are the rows still there.
                let when = match verb {
                    "truncate" => format!("before truncate on {on} for each statement"),
                    _ => after(verb, &on, level),
                };
                creates.push(format!("create trigger {name} {when} execute function {function}()"));
                creates.push(always(&on, &name));
            }
            triggers.insert((table.name.to_owned(), name));
        }
        functions.push(function);
        if level == Level::Statement {
            let body = capture::membership_body(&found.schema, table, schema.rules(), Level::Applied);
            let function = stamped("_nizhal_member", &format!("{} applied\n{body}", table.name));
            if !found.functions.contains(&function) {
                plan.push(format!("create function {function}() {body}"));
            }
            let name = format!("{APPLIED}{}", function.trim_start_matches("_nizhal_"));
            applied(&quote(table.name), &name, &function, table.name, found, &mut creates);
            triggers.insert((table.name.to_owned(), name));
            functions.push(function);
        }
    }
    for (table, stale) in found.triggers.difference(&triggers) {
        let is_declared = || schema.tables().iter().any(|declared| declared.name == table);
        if purpose == Purpose::Serve && stale.starts_with("_nizhal_truncate") && !is_declared() {
            // What is left on a partition that was detached.
            continue;
        }
        plan.push(format!("drop trigger {} on {}", quote(stale), quote(table)));
    }
    plan.extend(switched_on(found, &triggers));
    plan.extend(creates);
    let is_rest = |name: &str| purpose == Purpose::Serve && name.starts_with("_nizhal_capture");
    for (_, stale) in found.signatures.iter().filter(|(name, _)| !functions.contains(name) && !is_rest(name)) {
        plan.push(format!("drop function {stale}"));
    }
}
