//! What a device knows of its app: the synced tables, the rules that name buckets, the mutators.

use nizhal_core::{ColumnDesc, Crdt, JsonCheck, MutatorEntry, Rule, SqlType, TableDesc, sql};
use std::collections::HashMap;

/// Why the parts of an app do not make a device.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaError {
    /// Two mutators share a wire name.
    #[error("mutator `{0}` is listed twice in .mutators(...)")]
    DuplicateMutator(&'static str),
    /// A rule names a table that the app does not list.
    #[error("rule `{rule}` uses table `{table}`: add it to .tables(...)")]
    UnknownTable {
        /// The rule.
        rule: &'static str,
        /// The table.
        table: &'static str,
    },
    /// SQLite has no arrays.
    #[error(
        "column `{column}` of table `{table}` is an array, which a device's SQLite has not: make it a Json<Vec<…>>"
    )]
    Array {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
}

/// A synced table as the device keeps it.
#[derive(Debug)]
pub(crate) struct LocalTable {
    pub(crate) desc: &'static TableDesc,
    pub(crate) columns: Vec<LocalColumn>,
    /// Indexes into `columns`.
    pub(crate) key: Vec<usize>,
}

/// One of its columns.
#[derive(Debug)]
pub(crate) struct LocalColumn {
    pub(crate) name: &'static str,
    pub(crate) sql: SqlType,
    pub(crate) nullable: bool,
    /// The only texts it can hold; empty when it is no enum.
    pub(crate) texts: &'static [&'static str],
    /// Tells why a text of JSON cannot be read as its type.
    pub(crate) check: Option<JsonCheck>,
    /// Nobody writes it.
    pub(crate) generated: bool,
    /// Whether the app declares its values unique; an index says so, which a server's rows may lack.
    pub(crate) unique: bool,
    /// Its definition in `create table`.
    pub(crate) definition: String,
}

/// All of it.
#[derive(Debug)]
pub struct Schema {
    tables: Vec<LocalTable>,
    rules: Vec<Rule>,
    mutators: HashMap<&'static str, MutatorEntry>,
    absent: Vec<&'static str>,
}

impl Schema {
    /// Puts together what the server is given too: tables that no rule syncs stay on the server.
    ///
    /// # Errors
    /// When names collide, a rule uses a table that is not listed, or a column cannot be kept.
    pub fn new(
        tables: &[&'static TableDesc],
        rules: Vec<Rule>,
        mutators: Vec<MutatorEntry>,
    ) -> Result<Self, SchemaError> {
        let mut synced: Vec<&'static TableDesc> = Vec::new();
        for rule in &rules {
            for table in rule.tables.iter().map(|line| line.table) {
                if tables.iter().all(|known| known.name != table.name) {
                    return Err(SchemaError::UnknownTable { rule: rule.name, table: table.name });
                }
                if synced.iter().all(|known| known.name != table.name) {
                    synced.push(table);
                }
            }
        }
        synced.sort_by_key(|table| table.name);
        for table in &synced {
            if let Some(column) = table.columns.iter().find(|column| matches!(column.sql, SqlType::Array(_))) {
                return Err(SchemaError::Array { table: table.name, column: column.name });
            }
        }
        let mut by_name = HashMap::new();
        for entry in mutators {
            if by_name.insert(entry.desc.name, entry).is_some() {
                return Err(SchemaError::DuplicateMutator(entry.desc.name));
            }
        }
        let is_synced = |table: &&&'static TableDesc| synced.iter().any(|known| known.name == table.name);
        let absent = tables.iter().filter(|table| !is_synced(table)).map(|table| table.name).collect();
        Ok(Self { tables: synced.into_iter().map(LocalTable::new).collect(), rules, mutators: by_name, absent })
    }

    pub(crate) fn tables(&self) -> &[LocalTable] {
        &self.tables
    }

    pub(crate) fn table(&self, name: &str) -> Option<&LocalTable> {
        self.tables.iter().find(|table| table.desc.name == name)
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(crate) fn mutator(&self, name: &str) -> Option<&MutatorEntry> {
        self.mutators.get(name)
    }

    /// The tables that only the server has.
    pub(crate) fn absent(&self) -> &[&'static str] {
        &self.absent
    }

    /// The names of the synced tables, sorted.
    pub fn table_names(&self) -> Vec<&'static str> {
        self.tables.iter().map(|table| table.desc.name).collect()
    }
}

impl LocalTable {
    fn new(desc: &'static TableDesc) -> Self {
        let own = desc.columns.iter().map(|column| LocalColumn {
            name: column.name,
            sql: column.sql,
            nullable: column.nullable,
            texts: column.texts,
            check: column.check,
            generated: column.generated.is_some(),
            unique: column.unique,
            definition: definition(column),
        });
        // What every row carries beside what the app declares.
        let engine = ["updated_at", "deleted_at"].into_iter().filter(|name| desc.column(name).is_none());
        let engine = engine.map(|name| LocalColumn {
            name,
            sql: SqlType::Timestamptz,
            nullable: true,
            texts: &[],
            check: None,
            generated: false,
            unique: false,
            definition: format!("{} {}", sql::quote(name), SqlType::Timestamptz.sqlite()),
        });
        Self { desc, columns: own.chain(engine).collect(), key: desc.key.iter().map(|at| at.get()).collect() }
    }

    pub(crate) fn name(&self) -> String {
        sql::quote(self.desc.name)
    }

    /// The table of base images.
    pub(crate) fn base(&self) -> String {
        sql::quote(&format!("_nizhal_base_{}", self.desc.name))
    }

    /// The columns that can be written.
    pub(crate) fn written(&self) -> impl Iterator<Item = &LocalColumn> {
        self.columns.iter().filter(|column| !column.generated)
    }

    /// The columns that are unique beside the key, with the names of their indexes.
    pub(crate) fn uniques(&self) -> impl Iterator<Item = (&LocalColumn, String)> {
        let index = |column: &LocalColumn| sql::quote(&format!("_nizhal_unique_{}_{}", self.desc.name, column.name));
        self.columns.iter().filter(|column| column.unique).map(move |column| (column, index(column)))
    }

    pub(crate) fn keys(&self) -> impl ExactSizeIterator<Item = &LocalColumn> {
        self.key.iter().map(|&at| &self.columns[at])
    }
}

/// A column that no rule lists never arrives, so it needs something that the app's type can read.
fn definition(column: &ColumnDesc) -> String {
    let mut sql = sql::sqlite_column(&ColumnDesc { unique: false, ..*column });
    if column.private && !column.nullable && column.default.is_none() && column.generated.is_none() {
        sql.push_str(&format!(" default {}", nothing(column)));
    }
    sql
}

/// The least value of a column's type.
fn nothing(column: &ColumnDesc) -> String {
    match column.sql {
        SqlType::Bool | SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Float4 | SqlType::Float8 => "0".into(),
        SqlType::Numeric => "'0'".into(),
        SqlType::Text => sql::literal(column.texts.first().copied().unwrap_or_default()),
        SqlType::Uuid => "(zeroblob(16))".into(),
        SqlType::Timestamptz => "'1970-01-01T00:00:00+00:00'".into(),
        SqlType::Date => "'1970-01-01'".into(),
        SqlType::Time => "'00:00:00'".into(),
        SqlType::Json | SqlType::Array(_) => "'null'".into(),
        SqlType::Bytes => match column.crdt {
            // The update of an empty Yjs document.
            Some(Crdt::Text | Crdt::Map) => "x'0000'".into(),
            None => "x''".into(),
        },
    }
}
