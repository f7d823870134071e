//! The SQLite file as it is, beside what is declared.

use crate::schema::Schema;
use crate::store::{
    StoreError, ddl,
    drift::{Complaints, exact_columns, unique_lists, watched},
    foreign_key::{self, ForeignKey},
    sql::{Dialect, quote, rowid},
};
use nizhal_core::{ColumnDesc, SqlType, TableDesc};
use sqlx::{AssertSqlSafe, Row, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};

/// The declared tables that exist, by name.
#[derive(Debug, Default)]
pub(super) struct Relations {
    all: BTreeMap<&'static str, Relation>,
    foreign_keys: Vec<ForeignKey>,
}

#[derive(Debug, Default)]
struct Relation {
    /// `table`, `view`, `virtual` …
    kind: String,
    without_rowid: bool,
    columns: BTreeMap<String, Column>,
    /// The columns of each index that keeps all rows unique, or some of them.
    unique: BTreeSet<Unique>,
    /// Indexes that keep unique what is no column, which no trigger can compare.
    computed: BTreeSet<String>,
    /// How many rows have no key.
    keyless: i64,
    /// Columns that take different texts for equal.
    folding: BTreeSet<&'static str>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Unique {
    is_whole: bool,
    columns: BTreeSet<String>,
    /// How the index compares those that it does not compare byte by byte.
    collations: BTreeMap<String, String>,
}

/// Columns whose equality makes one row replace another, each with the collation that they are compared by, where it is not the
/// column's own.
pub(super) type Replacing = BTreeMap<String, Option<String>>;

#[derive(Debug)]
struct Column {
    shown: String,
    nullable: bool,
    has_default: bool,
    generated: bool,
}

impl Relations {
    /// The lists of columns whose equality makes one row replace another: what is there, or what will be made.
    pub(super) fn replacing(&self, table: &TableDesc) -> BTreeSet<Replacing> {
        match self.all.get(table.name) {
            Some(relation) => {
                let compared = |unique: &Unique| {
                    unique.columns.iter().map(|name| (name.clone(), unique.collations.get(name).cloned())).collect()
                };
                relation.unique.iter().map(compared).collect()
            }
            None => {
                let owned = |list: BTreeSet<&str>| list.into_iter().map(|name| (name.to_owned(), None)).collect();
                unique_lists(table).into_iter().map(owned).collect()
            }
        }
    }
}

const COLUMNS: &str = "select name, type, \"notnull\", dflt_value is not null, pk, hidden from pragma_table_xinfo($1)";
const UNIQUE: &str = "select i.name, i.partial, x.name, x.coll from pragma_index_list($1) i, pragma_index_xinfo(i.name) x \
    where i.\"unique\" = 1 and x.key = 1 order by i.name";
/// A table is found whatever the case of its name. All can be deferred but those that restrict.
const FOREIGN_KEYS: &str = "select m.name, coalesce((select t.name from sqlite_schema t where t.type = 'table' \
    and lower(t.name) = lower(f.\"table\")), f.\"table\"), \
    max(f.on_delete not in ('NO ACTION', 'RESTRICT')), max(f.on_delete <> 'RESTRICT') \
    from sqlite_schema m, pragma_foreign_key_list(m.name) f where m.type = 'table' group by m.name, f.id order by 1, 2";

/// Reads what is there.
pub(super) async fn introspect(db: &mut SqliteConnection, schema: &Schema) -> Result<Relations, StoreError> {
    let mut relations = Relations::default();
    for table in schema.tables() {
        let sql = "select type, wr from pragma_table_list where schema = 'main' and name = $1";
        let Some(row) = sqlx::query(sql).bind(table.name).fetch_optional(&mut *db).await? else { continue };
        let (kind, without_rowid) = (row.try_get(0)?, row.try_get_unchecked::<i64, _>(1)? != 0);
        let mut relation = Relation { kind, without_rowid, ..Relation::default() };
        read_columns(db, table.name, &mut relation).await?;
        read_unique(db, table.name, &mut relation).await?;
        relation.keyless = keyless(db, table, &relation).await?;
        for name in exact_columns(schema, table) {
            let is_text = table.column(name).is_some_and(|column| column.sql == SqlType::Text);
            if is_text && relation.columns.contains_key(name) && folds(db, table.name, name).await? {
                relation.folding.insert(name);
            }
        }
        relations.all.insert(table.name, relation);
    }
    for row in sqlx::query(FOREIGN_KEYS).fetch_all(&mut *db).await? {
        let is = |at: usize| row.try_get_unchecked::<i64, _>(at).map(|value| value != 0);
        let (of, to) = (row.try_get(0)?, row.try_get(1)?);
        relations.foreign_keys.push(ForeignKey { name: None, of, to, cascades: is(2)?, is_deferrable: is(3)? });
    }
    Ok(relations)
}

async fn read_columns(db: &mut SqliteConnection, table: &str, relation: &mut Relation) -> Result<(), StoreError> {
    let mut key = BTreeSet::new();
    for row in sqlx::query(COLUMNS).bind(table).fetch_all(&mut *db).await? {
        let number = |at: usize| row.try_get_unchecked::<i64, _>(at);
        let (name, shown): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        // SQLite lets a key of texts be NULL unless it says otherwise, and hand-made tables seldom do.
        let in_key = number(4)? > 0;
        if in_key {
            key.insert(name.clone());
        }
        let column = Column {
            shown,
            nullable: number(2)? == 0 && !in_key,
            has_default: number(3)? != 0,
            generated: number(5)? > 1,
        };
        relation.columns.insert(name, column);
    }
    if !key.is_empty() {
        relation.unique.insert(Unique { is_whole: true, columns: key, collations: BTreeMap::new() });
    }
    Ok(())
}

async fn read_unique(db: &mut SqliteConnection, table: &str, relation: &mut Relation) -> Result<(), StoreError> {
    let mut indexes: BTreeMap<String, Unique> = BTreeMap::new();
    for row in sqlx::query(UNIQUE).bind(table).fetch_all(&mut *db).await? {
        let (index, is_whole): (String, bool) = (row.try_get(0)?, row.try_get_unchecked::<i64, _>(1)? == 0);
        let Some(name) = row.try_get::<Option<String>, _>(2)? else {
            relation.computed.insert(index);
            continue;
        };
        let whole = || Unique { is_whole, columns: BTreeSet::new(), collations: BTreeMap::new() };
        let unique = indexes.entry(index).or_insert_with(whole);
        let collation: Option<String> = row.try_get(3)?;
        if let Some(collation) = collation.filter(|collation| !collation.eq_ignore_ascii_case("binary")) {
            unique.collations.insert(name.clone(), collation);
        }
        unique.columns.insert(name);
    }
    let computed = &relation.computed;
    let lists = indexes.into_iter().filter(|(index, _)| !computed.contains(index)).map(|(_, unique)| unique);
    let lists: Vec<Unique> = lists.collect();
    relation.unique.extend(lists);
    Ok(())
}

/// How many rows have no key, which SQLite allows unless the table forbids it.
async fn keyless(db: &mut SqliteConnection, table: &TableDesc, relation: &Relation) -> Result<i64, StoreError> {
    let is_there = table.key_columns().all(|key| relation.columns.contains_key(key.name));
    if relation.kind != "table" || !is_there {
        return Ok(0);
    }
    let is_null: Vec<String> = table.key_columns().map(|key| format!("{} is null", quote(key.name))).collect();
    let sql = format!("select count(*) from {} where {}", quote(table.name), is_null.join(" or "));
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(db).await?)
}

/// Whether the column's collation takes texts for equal that differ in case or in spaces at the end. No pragma tells a column's
/// collation; the empty half of a union hands it on to the other.
async fn folds(db: &mut SqliteConnection, table: &str, column: &str) -> Result<bool, StoreError> {
    let sql = format!(
        "select count(*) from (select {} as x from {} where 0 union all select 'a') where x = 'A' or x = 'a '",
        quote(column),
        quote(table)
    );
    let found: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *db).await?;
    Ok(found > 0)
}

/// Compares what is there with what is declared; what is absent is made later.
///
/// # Errors
/// Every difference that would show as lost rows, as a refusal of each write, or as a device that stops.
pub(super) fn check(schema: &Schema, relations: &Relations) -> Result<(), StoreError> {
    let (mut complaints, watched) = (Complaints::default(), watched(schema));
    for table in schema.tables() {
        let synced = schema.synced().iter().any(|synced| synced.name == table.name);
        if synced && rowid(table).is_none() {
            complaints.push(
                table.name,
                "its columns take all names that SQLite has for a row's number",
                "rename `rowid`, `_rowid_` or `oid`",
            );
        }
        let Some(relation) = relations.all.get(table.name) else { continue };
        if watched.contains(table.name) {
            check_relation(table, relation, synced, &mut complaints);
        }
        for column in table.columns {
            if let Some(found) = relation.columns.get(column.name) {
                check_column(table, column, found, relation.folding.contains(column.name), &mut complaints);
            }
        }
        if relation.kind == "table" {
            check_unique(table, relation, &mut complaints);
        }
        if synced {
            check_left_over(table, relation, schema.replayed_in(table.name).is_some(), &mut complaints);
        }
    }
    foreign_key::check(Dialect::Sqlite, schema, &relations.foreign_keys, &mut complaints);
    complaints.into_result()
}

fn check_relation(table: &TableDesc, relation: &Relation, synced: bool, complaints: &mut Complaints) {
    if relation.kind != "table" {
        let what = format!("it is a {}, whose writes no trigger sees", relation.kind);
        complaints.push(table.name, &what, "sync the tables that it is made of");
    }
    if synced && relation.without_rowid {
        complaints.push(
            table.name,
            "it is WITHOUT ROWID, and the triggers find the row that they are about by its number",
            "make it anew without these words",
        );
    }
    for index in relation.computed.iter().filter(|_| synced) {
        let (index, on) = (quote(index), quote(table.name));
        complaints.push(
            table.name,
            &format!(
                "the unique index {index} is on an expression, and no trigger sees which row another program's `insert or replace` \
                 takes away by it"
            ),
            &format!(
                "drop index {index}; alter table {on} add column … as (the expression); create unique index … on {on} (that column)"
            ),
        );
    }
    if synced && relation.keyless > 0 {
        let is_null: Vec<String> = table.key_columns().map(|key| format!("{} is null", quote(key.name))).collect();
        let (on, is_null) = (quote(table.name), is_null.join(" or "));
        complaints.push(
            table.name,
            &format!("{} of its rows have no key, and no device can tell them apart", relation.keyless),
            &format!("delete from {on} where {is_null}; or give them one"),
        );
    }
    let hides =
        rowid(table).is_some_and(|name| relation.columns.keys().any(|column| column.eq_ignore_ascii_case(name)));
    if synced && hides {
        complaints.push(
            table.name,
            "a column that no field stands for is called like the row's number",
            "rename it, or declare the field",
        );
    }
}

/// As SQLite itself derives it from a type's name.
fn affinity(name: &str) -> &'static str {
    let name = name.to_ascii_uppercase();
    let has = |part: &str| name.contains(part);
    if has("INT") {
        "INTEGER"
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        "TEXT"
    } else if name.is_empty() || has("BLOB") {
        "BLOB"
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        "REAL"
    } else {
        "NUMERIC"
    }
}

/// Whether values of this type come back from a column of that affinity as they were written.
fn is_kept(sql: SqlType, affinity: &str) -> bool {
    match sql {
        SqlType::Bool | SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => matches!(affinity, "INTEGER" | "NUMERIC"),
        SqlType::Float4 | SqlType::Float8 => matches!(affinity, "REAL" | "NUMERIC"),
        SqlType::Text | SqlType::Numeric => matches!(affinity, "TEXT" | "BLOB"),
        // None of them looks like a number, so the affinity leaves them alone.
        SqlType::Uuid | SqlType::Timestamptz | SqlType::Date | SqlType::Time | SqlType::Json | SqlType::Array(_) => {
            matches!(affinity, "TEXT" | "BLOB" | "NUMERIC")
        }
        SqlType::Bytes => true,
    }
}

fn check_column(table: &TableDesc, column: &ColumnDesc, found: &Column, folds: bool, complaints: &mut Complaints) {
    let mut push = |what: String, run: &str| complaints.push(table.name, &what, run);
    let wanted = column.sql.sqlite();
    if !is_kept(column.sql, affinity(&found.shown)) {
        let what = format!("column `{}` is of type {:?}, and declared as {wanted}", column.name, found.shown);
        return push(what, "make the table anew with that type, or declare the field as what it is");
    }
    if folds {
        let what = format!(
            "column `{}` is part of a key or names buckets, and its collation takes different texts for equal",
            column.name
        );
        push(what, "make the table anew without the collation");
    }
    match (column.nullable, found.nullable) {
        (false, true) if column.generated.is_none() => {
            let what = format!("column `{}` may be NULL, and the field is no Option", column.name);
            push(what, "make the table anew with `not null`, or make it an Option");
        }
        (true, false) => {
            let what = format!("column `{}` is not null, and the field is an Option", column.name);
            push(what, "make the table anew without `not null`, or make it no Option");
        }
        _ => {}
    }
    match (column.generated.is_some(), found.generated) {
        (false, true) => {
            let what = format!("column `{}` cannot be written, since the database generates it", column.name);
            push(what, "declare it with #[nizhal(generated = \"…\")]");
        }
        (true, false) => {
            let what =
                format!("column `{}` is declared as generated, and the database does not generate it", column.name);
            push(what, "drop it, and let `migrate` add it again");
        }
        _ => {}
    }
}

fn check_unique(table: &TableDesc, relation: &Relation, complaints: &mut Complaints) {
    for list in unique_lists(table) {
        if list.iter().any(|name| !relation.columns.contains_key(*name)) {
            continue;
        }
        let mut whole = relation.unique.iter().filter(|unique| unique.is_whole);
        if !whole.any(|unique| unique.columns.iter().all(|name| list.contains(name.as_str()))) {
            let columns: Vec<String> = list.iter().map(|name| quote(name)).collect();
            let what = format!("nothing keeps ({}) unique, as is declared", columns.join(", "));
            let run = format!("create unique index … on {} ({})", quote(table.name), columns.join(", "));
            complaints.push(table.name, &what, &run);
        }
    }
}

/// What no field stands for, and every insert must give.
fn check_left_over(table: &TableDesc, relation: &Relation, is_replayed: bool, complaints: &mut Complaints) {
    let engine: BTreeSet<&str> =
        ddl::engine_columns(Dialect::Sqlite, table).into_iter().map(|(name, _)| name).collect();
    for (name, column) in &relation.columns {
        let is_declared = table.column(name).is_some() || engine.contains(name.as_str());
        if is_replayed && !is_declared && !column.generated {
            let what = format!(
                "column `{name}` has no field, and the table is replayed: rows that are taken back and put in their place would lose it"
            );
            let run = format!(
                "drop the triggers of the table whose names begin with _nizhal_, which name the column, then alter table {} drop \
                 column {}; or declare the field",
                quote(table.name),
                quote(name)
            );
            complaints.push(table.name, &what, &run);
            continue;
        }
        if !is_declared && !column.nullable && !column.has_default && !column.generated {
            let what = format!(
                "column `{name}` is not null and has no default, and no field stands for it, so that every insert would be refused"
            );
            let run = format!(
                "alter table {} drop column {}; or rename it, or declare the field",
                quote(table.name),
                quote(name)
            );
            complaints.push(table.name, &what, &run);
        }
    }
}
