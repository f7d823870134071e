//! Postgres as it is, beside what is declared: kinds of relations, types, nullability, uniqueness, generation, collations.

use super::{capture::Level, partition::Partitions};
use crate::schema::Schema;
use crate::store::{
    StoreError, ddl,
    drift::{Complaints, exact_columns, unique_lists, watched},
    foreign_key::{self, ForeignKey},
    sql::{Dialect, quote},
};
use nizhal_core::{ColumnDesc, SqlType, TableDesc};
use sqlx::{PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet};

/// The relations of the schema that tables are made in, by name.
#[derive(Debug, Default)]
pub(super) struct Relations {
    all: BTreeMap<String, Relation>,
    /// The schema and the database's user, quoted.
    schema: String,
    role: String,
    /// Whether it may draw from the clock, where there is one.
    may_draw: Option<bool>,
    pub(super) partitions: Partitions,
    foreign_keys: Vec<ForeignKey>,
}

#[derive(Debug, Default)]
struct Relation {
    kind: String,
    is_unlogged: bool,
    is_partition: bool,
    /// Whether other tables inherit from it, which are no partitions.
    has_heirs: bool,
    /// Whether row-level security hides rows from this user.
    is_hidden: bool,
    /// Whether this user may read it, and write it.
    may_read: bool,
    may_write: bool,
    columns: BTreeMap<String, Column>,
    /// The columns of each index that keeps its whole table unique.
    unique: Vec<BTreeSet<String>>,
}

#[derive(Debug)]
struct Column {
    /// The type below all domains.
    base: String,
    /// The type as `create table` says it.
    shown: String,
    nullable: bool,
    /// Whether an insert may leave it out although it is not null.
    has_default: bool,
    /// `GENERATED ALWAYS`, as an expression or an identity.
    generated: bool,
    identity: bool,
    /// Whether equal values have equal bytes.
    deterministic: bool,
}

impl Relations {
    /// How the writes of this table are seen.
    pub(super) fn level(&self, table: &str) -> Level {
        match self.all.get(table) {
            Some(relation) if relation.kind == "p" => Level::Row,
            _ => Level::Statement,
        }
    }

    /// Whether this user may work with the engine's parts, before any of them is read.
    fn check_grants(&self) -> Result<(), StoreError> {
        let mut complaints = Complaints::default();
        let mut engine =
            self.all.iter().filter(|(name, relation)| name.starts_with("_nizhal_") && relation.kind != "S");
        if let Some((name, _)) = engine.find(|(_, relation)| !(relation.may_read && relation.may_write)) {
            let what = format!("this user ({}) may not read and write it", self.role);
            let all = "grant select, insert, update, delete on all tables in schema";
            complaints.push(name, &what, &format!("{all} {} to {}", self.schema, self.role));
        }
        if self.may_draw == Some(false) {
            let what = format!("this user ({}) may not draw from the sequence", self.role);
            complaints.push(
                "_nizhal_clock",
                &what,
                &format!("grant usage, select on sequence _nizhal_clock to {}", self.role),
            );
        }
        complaints.into_result()
    }

    /// Forgets a column that is taken away.
    pub(super) fn forget(&mut self, table: &str, column: &str) {
        if let Some(relation) = self.all.get_mut(table) {
            relation.columns.remove(column);
        }
    }
}

const RELATIONS: &str = "select c.relname::text, c.relkind::text, c.relpersistence = 'u', c.relispartition, \
    c.relkind = 'r' and exists (select 1 from pg_inherits i where i.inhparent = c.oid), \
    c.relrowsecurity and row_security_active(c.oid), has_table_privilege(c.oid, 'select'), has_table_privilege(c.oid, 'insert') \
    and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete') \
    from pg_class c where c.relnamespace = quote_ident(current_schema())::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')";
/// Domains are looked through, however deep, also below an array.
const COLUMNS: &str = "with recursive below(oid, base) as (select t.oid, t.oid from pg_type t union all \
    select b.oid, t.typbasetype from below b join pg_type t on t.oid = b.base where t.typtype = 'd'), \
    base as (select b.oid, b.base from below b join pg_type t on t.oid = b.base where t.typtype <> 'd') \
    select c.relname::text, a.attname::text, \
    case when i.typname is null then t.typname::text else i.typname::text || '[]' end, format_type(a.atttypid, a.atttypmod), \
    not (a.attnotnull or d.typnotnull), a.atthasdef or d.typdefault is not null or a.attidentity <> '', \
    a.attgenerated <> '' or a.attidentity = 'a', a.attidentity <> '', coalesce(k.collisdeterministic, true) \
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped \
    join pg_type d on d.oid = a.atttypid join base b on b.oid = a.atttypid join pg_type t on t.oid = b.base \
    left join base e on e.oid = t.typelem and t.typcategory = 'A' left join pg_type i on i.oid = e.base \
    left join pg_collation k on k.oid = a.attcollation \
    where c.relnamespace = quote_ident(current_schema())::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')";
const MAY_DRAW: &str = "select has_sequence_privilege(c.oid, 'usage') and has_sequence_privilege(c.oid, 'select') from pg_class c \
    where c.relnamespace = quote_ident(current_schema())::regnamespace and c.relkind = 'S' and c.relname = '_nizhal_clock'";
const UNIQUE: &str = "select c.relname::text, array(select a.attname::text from pg_attribute a where a.attrelid = c.oid \
    and a.attnum = any(i.indkey[0 : i.indnkeyatts - 1])) from pg_index i join pg_class c on c.oid = i.indrelid \
    where c.relnamespace = quote_ident(current_schema())::regnamespace and i.indisunique and i.indisvalid and i.indpred is null \
    and i.indexprs is null";
/// Those of partitions come from their parent's.
const FOREIGN_KEYS: &str = "select f.conname::text, f.conrelid::regclass::text, c.relname::text, \
    f.confdeltype in ('c', 'n', 'd'), f.condeferrable and f.confdeltype <> 'r' from pg_constraint f \
    join pg_class c on c.oid = f.confrelid where c.relnamespace = quote_ident(current_schema())::regnamespace and f.contype = 'f' \
    and f.conparentid = 0 order by 1, 2";

/// Reads what is there, with the partitions.
pub(super) async fn introspect(db: &mut PgConnection) -> Result<Relations, StoreError> {
    let mut relations = introspect_relations(db).await?;
    relations.check_grants()?;
    let has_file = relations.all.get("_nizhal_partitions").map(|table| table.columns.contains_key("file"));
    relations.partitions = Partitions::introspect(db, has_file).await?;
    Ok(relations)
}

/// Reads what is there, without the partitions, whose sizes wait for whoever locks one.
pub(super) async fn introspect_relations(db: &mut PgConnection) -> Result<Relations, StoreError> {
    let mut relations: BTreeMap<String, Relation> = BTreeMap::new();
    for row in sqlx::query(RELATIONS).fetch_all(&mut *db).await? {
        let relation = Relation {
            kind: row.try_get(1)?,
            is_unlogged: row.try_get(2)?,
            is_partition: row.try_get(3)?,
            has_heirs: row.try_get(4)?,
            is_hidden: row.try_get(5)?,
            may_read: row.try_get(6)?,
            may_write: row.try_get(7)?,
            ..Relation::default()
        };
        relations.insert(row.try_get(0)?, relation);
    }
    for row in sqlx::query(COLUMNS).fetch_all(&mut *db).await? {
        let column = Column {
            base: row.try_get(2)?,
            shown: row.try_get(3)?,
            nullable: row.try_get(4)?,
            has_default: row.try_get(5)?,
            generated: row.try_get(6)?,
            identity: row.try_get(7)?,
            deterministic: row.try_get(8)?,
        };
        if let Some(relation) = relations.get_mut(row.try_get::<&str, _>(0)?) {
            relation.columns.insert(row.try_get(1)?, column);
        }
    }
    for row in sqlx::query(UNIQUE).fetch_all(&mut *db).await? {
        if let Some(relation) = relations.get_mut(row.try_get::<&str, _>(0)?) {
            relation.unique.push(row.try_get::<Vec<String>, _>(1)?.into_iter().collect());
        }
    }
    let names = "select coalesce(quote_ident(current_schema()), ''), quote_ident(current_user)";
    let (schema, role) = sqlx::query_as(names).fetch_one(&mut *db).await?;
    let may_draw = sqlx::query_scalar(MAY_DRAW).fetch_optional(&mut *db).await?;
    let mut foreign_keys = Vec::new();
    for row in sqlx::query(FOREIGN_KEYS).fetch_all(db).await? {
        foreign_keys.push(ForeignKey {
            name: row.try_get(0)?,
            of: row.try_get(1)?,
            to: row.try_get(2)?,
            cascades: row.try_get(3)?,
            is_deferrable: row.try_get(4)?,
        });
    }
    Ok(Relations { all: relations, schema, role, may_draw, partitions: Partitions::default(), foreign_keys })
}

/// Compares what is there with what is declared; what is absent is made later.
///
/// # Errors
/// Every difference that would show as lost rows, as a refusal of each write, or as a device that stops.
pub(super) fn check(schema: &Schema, relations: &Relations) -> Result<(), StoreError> {
    let (mut complaints, watched) = (Complaints::default(), watched(schema));
    for table in schema.tables() {
        let Some(relation) = relations.all.get(table.name) else { continue };
        let is_watched = watched.contains(table.name);
        let synced = schema.synced().iter().any(|synced| synced.name == table.name);
        if is_watched {
            check_relation(table, relation, &relations.role, &mut complaints);
            if !relation.may_read {
                let (what, on) = (format!("this user ({}) may not read it", relations.role), quote(table.name));
                complaints.push(table.name, &what, &format!("grant select on {on} to {}", relations.role));
            }
            for partition in relations.partitions.unlogged(table.name) {
                complaints.push(
                    table.name,
                    &format!("its partition {partition} is unlogged, so a crash of the database empties it and no device hears of it"),
                    &format!("alter table {partition} set logged"),
                );
            }
        }
        let exact = exact_columns(schema, table);
        for column in table.columns {
            if let Some(found) = relation.columns.get(column.name) {
                check_column(table, column, found, exact.contains(column.name), &mut complaints);
            }
        }
        if matches!(relation.kind.as_str(), "r" | "p") {
            check_unique(table, relation, &mut complaints);
        }
        if synced {
            check_left_over(table, relation, schema.replayed_in(table.name).is_some(), &mut complaints);
        }
    }
    foreign_key::check(Dialect::Postgres, schema, &relations.foreign_keys, &mut complaints);
    check_engine(relations, &mut complaints);
    complaints.into_result()
}

/// The engine's own tables and its clock.
fn check_engine(relations: &Relations, complaints: &mut Complaints) {
    let tables = ddl::engine_tables(Dialect::Postgres).into_iter().map(|(name, _)| (name, "table"));
    for (name, kind) in tables.chain([(super::clock::SEQUENCE, "sequence")]) {
        if relations.all.get(name).is_some_and(|relation| relation.is_unlogged) {
            complaints.push(
                name,
                "it is unlogged, so a crash of the database empties it, and with it what devices need",
                &format!("alter {kind} {name} set logged"),
            );
        }
    }
}

fn check_relation(table: &TableDesc, relation: &Relation, role: &str, complaints: &mut Complaints) {
    let name = table.name;
    let mut push = |what: &str, run: &str| complaints.push(name, what, run);
    let kind = match relation.kind.as_str() {
        "v" => Some("a view"),
        "m" => Some("a materialized view"),
        "f" => Some("a foreign table"),
        _ => None,
    };
    if let Some(kind) = kind {
        push(&format!("it is {kind}, whose writes no trigger sees"), "sync the tables that it is made of");
    }
    if relation.is_unlogged {
        push(
            "it is unlogged, so a crash of the database empties it and no device hears of it",
            &format!("alter table {} set logged", quote(name)),
        );
    }
    if relation.is_partition {
        push("it is a partition, and writes through its parent pass it by", "declare the parent");
    }
    if relation.has_heirs {
        push(
            "other tables inherit from it, whose rows it shows and whose writes its triggers do not see",
            "make it a partitioned table, or end the inheritance with `alter table … no inherit`",
        );
    }
    if relation.is_hidden {
        push(
            &format!("row-level security applies to this user ({role}), and a policy may hide rows of it from devices"),
            &format!(
                "alter table {} disable row level security; or let a superuser run `alter role {role} bypassrls`",
                quote(name)
            ),
        );
    }
}

/// The names of the types that values of this type are read from and written to without a conversion.
fn accepted(sql: SqlType) -> Vec<String> {
    let names: &[&str] = match sql {
        SqlType::Bool => &["bool"],
        SqlType::Int2 => &["int2"],
        SqlType::Int4 => &["int4"],
        SqlType::Int8 => &["int8"],
        SqlType::Float4 => &["float4"],
        SqlType::Float8 => &["float8"],
        SqlType::Numeric => &["numeric"],
        SqlType::Text => &["text", "varchar", "citext"],
        SqlType::Uuid => &["uuid"],
        SqlType::Timestamptz => &["timestamptz"],
        SqlType::Date => &["date"],
        SqlType::Time => &["time"],
        SqlType::Json => &["jsonb", "json"],
        SqlType::Bytes => &["bytea"],
        SqlType::Array(item) => return accepted(*item).into_iter().map(|name| name + "[]").collect(),
    };
    names.iter().map(|&name| name.to_owned()).collect()
}

fn check_column(table: &TableDesc, column: &ColumnDesc, found: &Column, exact: bool, complaints: &mut Complaints) {
    let (on, name) = (quote(table.name), quote(column.name));
    let alter = |what: &str| format!("alter table {on} alter column {name} {what}");
    let mut push = |what: String, run: &str| complaints.push(table.name, &what, run);
    let wanted = column.sql.postgres();
    if !accepted(column.sql).contains(&found.base) {
        let what = format!("column `{}` is of type {}, and declared as {wanted}", column.name, found.shown);
        push(what, &format!("{}, or declare the field as what it is", alter(&format!("type {wanted}"))));
        return;
    }
    if exact && (!found.deterministic || found.base == "citext") {
        let what = format!(
            "column `{}` is part of a key or names buckets, and its type or collation takes different texts for equal",
            column.name
        );
        push(what, &alter("type text collate \"C\""));
    }
    match (column.nullable, found.nullable) {
        (false, true) if column.generated.is_none() => {
            let what = format!("column `{}` may be NULL, and the field is no Option", column.name);
            push(what, &format!("{}, or make it an Option", alter("set not null")));
        }
        (true, false) => {
            let what = format!("column `{}` is not null, and the field is an Option", column.name);
            push(what, &format!("{}, or make it no Option", alter("drop not null")));
        }
        _ => {}
    }
    match (column.generated.is_some(), found.generated) {
        (false, true) => {
            let (what, run) = match found.identity {
                true => ("numbers it always", alter("set generated by default")),
                false => ("generates it", "declare it with #[nizhal(generated = \"…\")]".to_owned()),
            };
            push(format!("column `{}` cannot be written, since the database {what}", column.name), &run);
        }
        (true, false) => {
            let run = format!("alter table {on} drop column {name}, and let `migrate` add it again");
            push(
                format!("column `{}` is declared as generated, and the database does not generate it", column.name),
                &run,
            );
        }
        _ => {}
    }
}

fn check_unique(table: &TableDesc, relation: &Relation, complaints: &mut Complaints) {
    for list in unique_lists(table) {
        // What is absent is made with its constraint.
        if list.iter().any(|name| !relation.columns.contains_key(*name)) {
            continue;
        }
        let is_unique = relation.unique.iter().any(|unique| unique.iter().all(|name| list.contains(name.as_str())));
        if !is_unique {
            let columns: Vec<String> = list.iter().map(|name| quote(name)).collect();
            let what = format!("nothing keeps ({}) unique, as is declared", columns.join(", "));
            complaints.push(
                table.name,
                &what,
                &format!("create unique index on {} ({})", quote(table.name), columns.join(", ")),
            );
        }
    }
}

/// What no field stands for, and every insert must give.
fn check_left_over(table: &TableDesc, relation: &Relation, is_replayed: bool, complaints: &mut Complaints) {
    let engine: BTreeSet<&str> =
        ddl::engine_columns(Dialect::Postgres, table).into_iter().map(|(name, _)| name).collect();
    for (name, column) in &relation.columns {
        let is_declared = table.column(name).is_some() || engine.contains(name.as_str());
        if is_replayed && !is_declared && !column.generated {
            let what = format!(
                "column `{name}` has no field, and the table is replayed: rows that are taken back and put in their place would lose it"
            );
            let run = format!("alter table {} drop column {}; or declare the field", quote(table.name), quote(name));
            complaints.push(table.name, &what, &run);
            continue;
        }
        if !is_declared && !column.nullable && !column.has_default && !column.generated {
            let what = format!(
                "column `{name}` is not null and has no default, and no field stands for it, so that every insert would be refused"
            );
            let alter = format!("alter table {} alter column {} drop not null", quote(table.name), quote(name));
            complaints.push(
                table.name,
                &what,
                &format!("{alter}; or give it a default, rename it, or declare the field"),
            );
        }
    }
}
