//! What the SQLite file lacks: tables, engine columns, triggers and indexes, as statements.

use super::{blob, capture, drift, drift::Relations, txn::TIME, undo};
use crate::schema::Schema;
use crate::store::{
    StoreError,
    blob_reference::blob_columns,
    check,
    ddl::{self, Seed},
    drift::exact_columns,
    history,
    owner::{self, Provisioned},
    replay, rules,
    sql::{Dialect, UPDATED_AT, literal, quote, stamped},
    write_set,
};
use nizhal_core::{ColumnDesc, SqlType, TableDesc};
use sqlx::{AssertSqlSafe, Row, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};

const DIALECT: Dialect = Dialect::Sqlite;

/// The identity of a file: it moves without a trace, so there is nothing to compare. Each time that it is opened is an incarnation of
/// its own, and has a name that was never used before.
pub(super) const FILE_ID: &str = "file";

/// The trigger that files an entry's buckets on SQLite.
const FILE_BUCKETS: &str = "after insert on _nizhal_audit begin\n  insert into _nizhal_audit_buckets \
    (bucket, version, n) select value, new.version, new.n from json_each(new.buckets);\nend";

/// The statements that make the file fit the schema; none when it does. `seed` is used when there is no control row yet.
pub(super) async fn plan(db: &mut SqliteConnection, schema: &Schema, seed: &Seed) -> Result<Vec<String>, StoreError> {
    check::check_sqlite(schema)?;
    let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // Not `table_info`: it hides what is generated.
    let sql = "select m.name, c.name from sqlite_schema m, pragma_table_xinfo(m.name) c where m.type = 'table'";
    for row in sqlx::query(sql).fetch_all(&mut *db).await? {
        columns.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?);
    }
    let sql =
        "select name from sqlite_schema where type in ('index', 'trigger') and name like '\\_nizhal\\_%' escape '\\'";
    let made: BTreeSet<String> = sqlx::query_scalar(sql).fetch_all(&mut *db).await?.into_iter().collect();
    let has_epoch = columns.contains_key("_nizhal_control")
        && sqlx::query("select 1 from _nizhal_control where id = 1").fetch_optional(&mut *db).await?.is_some();

    let exists = |table: &str, column: &str| columns.get(table).is_some_and(|columns| columns.contains(column));
    let mut stored: Vec<rules::Branch> = Vec::new();
    if columns.contains_key("_nizhal_rules") {
        let rows = sqlx::query_as::<_, rules::StoredBranch>(rules::READ).fetch_all(&mut *db).await?;
        stored.extend(rows.into_iter().map(rules::Branch::from));
    }
    let mut provisioned = Provisioned::default();
    if has_epoch {
        let sql = owner::read(DIALECT, &|column| exists("_nizhal_control", column));
        provisioned = sqlx::query_as::<_, owner::Columns>(AssertSqlSafe(sql)).fetch_one(&mut *db).await?.into();
    }
    provisioned.check(&seed.owner, schema, &stored)?;
    let relations = drift::introspect(db, schema).await?;
    drift::check(schema, &relations)?;
    let is_watched = |table: &TableDesc, column: &ColumnDesc| {
        blob::triggers(table, column).iter().all(|(verb, body)| made.contains(&trigger_name(verb, table, body)))
    };
    blob::check_rows(db, schema, &exists, is_watched).await?;

    let mut plan = Vec::new();
    for (name, create) in ddl::engine_tables(DIALECT) {
        if !columns.contains_key(name) {
            plan.push(create);
        }
    }
    for (table, column, definition) in ddl::engine_additions(DIALECT) {
        if !columns.get(table).is_some_and(|columns| columns.contains(column)) {
            plan.push(format!("alter table {table} add column {definition}"));
        }
    }
    plan.extend(history::lost_history(DIALECT, seed, has_epoch && provisioned.is_current(), |name| {
        columns.contains_key(name)
    }));
    if !has_epoch {
        plan.push(seed.insert(DIALECT, &literal(FILE_ID)));
    } else if !exists("_nizhal_control", "secret") {
        plan.extend(ddl::unsigned(DIALECT, &literal(FILE_ID)));
    }
    let synced = schema.synced();
    let mut backfill = Vec::new();
    for table in schema.tables() {
        let is_synced = synced.iter().any(|synced| synced.name == table.name);
        match columns.get(table.name) {
            None => plan.push(ddl::create_table(DIALECT, table, is_synced)),
            Some(found) => missing_columns(table, found, is_synced, &mut plan, &mut backfill)?,
        }
    }
    let images = replay::images(DIALECT, schema);
    for images in images.iter().filter(|images| !columns.contains_key(&images.name)) {
        plan.extend(images.create());
    }
    if !columns.contains_key("_nizhal_replay") {
        plan.push("insert into _nizhal_replay (id) values (1)".to_owned());
    }
    for index in ddl::indexes(DIALECT, schema) {
        if !made.contains(&index.name()) {
            plan.push(index.create());
        }
    }
    plan.extend(backfill);
    let dated = columns.iter().filter(|(_, columns)| columns.contains(UPDATED_AT)).map(|(table, _)| table.clone());
    triggers(schema, &relations, &Made { dated: dated.collect(), triggers: made }, &mut plan);
    plan.extend(replay::stale(&images, columns.keys()));
    plan.extend(rules::changes(DIALECT, schema, &stored, &exists));
    plan.extend(provisioned.changes(&seed.owner, schema, &stored));
    Ok(plan)
}

/// The parts that were made before.
struct Made {
    /// The tables whose rows have a time.
    dated: BTreeSet<String>,
    triggers: BTreeSet<String>,
}

fn missing_columns(
    table: &TableDesc,
    found: &BTreeSet<String>,
    synced: bool,
    plan: &mut Vec<String>,
    backfill: &mut Vec<String>,
) -> Result<(), StoreError> {
    let on = quote(table.name);
    for column in table.columns.iter().filter(|column| !found.contains(column.name)) {
        ddl::check_addable(table, column)?;
        if column.default == Some(nizhal_core::ColumnDefault::Now) || column.unique {
            return Err(StoreError::Schema(format!(
                "table `{}` exists without the column `{}`, and SQLite cannot add one that is unique or defaults to the \
                 time: rebuild the table, or declare the column without that",
                table.name, column.name
            )));
        }
        let definition = ddl::column(DIALECT, column);
        // SQLite adds generated columns only when it computes them at each read.
        let definition = match column.generated {
            Some(_) => definition.replacen(") stored", ") virtual", 1),
            None => definition,
        };
        plan.push(format!("alter table {on} add column {definition}"));
    }
    if synced {
        for (name, definition) in ddl::engine_columns(DIALECT, table) {
            if !found.contains(name) && table.column(name).is_none() {
                plan.push(format!("alter table {on} add column {definition}"));
                if name == UPDATED_AT {
                    backfill.push(date_rows(&on));
                }
            }
        }
    }
    Ok(())
}

/// Gives a time to the rows that were written while no trigger did.
fn date_rows(on: &str) -> String {
    let name = quote(UPDATED_AT);
    format!("update {on} set {name} = {TIME} where {name} is null")
}

/// The name of a table's trigger of this body.
fn trigger_name(verb: &str, table: &TableDesc, body: &str) -> String {
    stamped(&format!("_nizhal_{verb}"), &format!("{}\n{body}", table.name))
}

fn triggers(schema: &Schema, relations: &Relations, found: &Made, plan: &mut Vec<String>) {
    let made = &found.triggers;
    let mut wanted = vec![(stamped("_nizhal_file", FILE_BUCKETS), FILE_BUCKETS.to_owned())];
    for table in schema.synced() {
        let replaced = capture::replaced(table, schema.rules(), &relations.replacing(table));
        let nulls = capture::refused_nulls(table);
        for (verb, body) in capture::triggers(table, schema.rules()).into_iter().chain(replaced).chain(nulls) {
            let name = trigger_name(verb, table, &body);
            if verb == "insert" && found.dated.contains(table.name) && !made.contains(&name) {
                plan.push(date_rows(&quote(table.name)));
            }
            wanted.push((name, body));
        }
    }
    for table in schema.tables().iter().filter(|table| write_set::memberships(schema.rules(), table).next().is_some()) {
        for (verb, body) in capture::membership_triggers(table, schema.rules()) {
            let name = trigger_name(verb, table, &body);
            wanted.push((name, body));
        }
    }
    let mut texts = Vec::new();
    for table in schema.tables() {
        let exact = exact_columns(schema, table);
        for (verb, body) in capture::refused_texts(table, &exact) {
            let name = trigger_name(verb, table, &body);
            if !made.contains(&name) {
                texts.push(table);
            }
            wanted.push((name, body));
        }
    }
    for (table, column) in blob_columns(schema) {
        for (verb, body) in blob::triggers(table, column) {
            wanted.push((trigger_name(verb, table, &body), body));
        }
    }
    let mut unkept = false;
    for images in replay::images(DIALECT, schema) {
        for (verb, body) in undo::triggers(&images) {
            let name = trigger_name(verb, images.table(), &body);
            unkept |= !made.contains(&name);
            wanted.push((name, body));
        }
    }
    for check in check::checks(schema) {
        for (verb, body) in check.triggers() {
            wanted.push((stamped(&format!("{}_{verb}", check::PREFIX), &format!("{}\n{body}", check.table)), body));
        }
    }
    for stale in made.iter().filter(|name| !name.starts_with("_nizhal_ix_")) {
        if wanted.iter().all(|(name, _)| name != stale) {
            plan.push(format!("drop trigger {}", quote(stale)));
        }
    }
    for (name, body) in wanted {
        if !made.contains(&name) {
            plan.push(format!("create trigger {name} {body}"));
        }
    }
    if unkept {
        plan.push(replay::SETTLE.to_owned());
    }
    texts.dedup_by_key(|table| table.name);
    for table in texts {
        for column in table.columns.iter().filter(|column| column.sql == SqlType::Uuid) {
            let (on, name) = (quote(table.name), quote(column.name));
            let bytes = format!("unhex(replace({name}, '-', ''))");
            plan.push(format!(
                "update {on} set {name} = {bytes} where typeof({name}) = 'text' and length({bytes}) = 16"
            ));
        }
    }
}
