//! A synced table as a device keeps it: what the device's store and the files of images are made of.

pub mod cell;

use crate::{ColumnDesc, Crdt, JsonCheck, SqlType, TableDesc, sql};

/// A synced table as the device keeps it.
#[derive(Debug)]
pub struct LocalTable {
    /// The app's description.
    pub desc: &'static TableDesc,
    /// The declared columns, then the engine's.
    pub columns: Vec<LocalColumn>,
    /// Indexes into `columns`.
    pub key: Vec<usize>,
}

/// One of its columns.
#[derive(Debug)]
pub struct LocalColumn {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub sql: SqlType,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// The only texts it can hold; empty when it is no enum.
    pub texts: &'static [&'static str],
    /// Tells why a text of JSON cannot be read as its type.
    pub check: Option<JsonCheck>,
    /// Nobody writes it.
    pub generated: bool,
    /// Whether the app declares its values unique; an index says so, which a server's rows may lack.
    pub unique: bool,
    /// Its definition in `create table`.
    pub definition: String,
}

impl LocalTable {
    /// The table of this description.
    pub fn new(desc: &'static TableDesc) -> Self {
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

    /// Its name, quoted.
    pub fn name(&self) -> String {
        sql::quote(self.desc.name)
    }

    /// The table of base images.
    pub fn base(&self) -> String {
        sql::quote(&format!("_nizhal_base_{}", self.desc.name))
    }

    /// The columns that can be written.
    pub fn written(&self) -> impl Iterator<Item = &LocalColumn> {
        self.columns.iter().filter(|column| !column.generated)
    }

    /// The columns that rows of a server carry: no device gets a private one, and here it has its default.
    pub fn carried(&self) -> impl Iterator<Item = &LocalColumn> {
        self.written().filter(|column| self.desc.column(column.name).is_none_or(|desc| !desc.private))
    }

    /// The columns that are unique beside the key, with the names of their indexes.
    pub fn uniques(&self) -> impl Iterator<Item = (&LocalColumn, String)> {
        let index = |column: &LocalColumn| sql::quote(&format!("_nizhal_unique_{}_{}", self.desc.name, column.name));
        self.columns.iter().filter(|column| column.unique).map(move |column| (column, index(column)))
    }

    /// The columns of its key, in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &LocalColumn> {
        self.key.iter().map(|&at| &self.columns[at])
    }

    /// `create table` for it under another name, or in another database of the connection.
    pub fn create_as(&self, name: &str) -> String {
        let mut parts: Vec<String> = self.columns.iter().map(|column| column.definition.clone()).collect();
        parts.push(format!("primary key ({})", names(self.keys())));
        format!("create table {name} (\n  {}\n)", parts.join(",\n  "))
    }
}

/// The names of columns, quoted, with commas between.
pub fn names<'a>(columns: impl Iterator<Item = &'a LocalColumn>) -> String {
    columns.map(|column| sql::quote(column.name)).collect::<Vec<_>>().join(", ")
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
