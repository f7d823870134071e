//! What the runtime knows of a table: plain constant data that the table macro writes.

use crate::ColumnType;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};
use std::{fmt, ops::Index};

/// The SQL type of a column, one name for both databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// `boolean`; SQLite keeps 0 and 1.
    Bool,
    /// `smallint`.
    Int2,
    /// `integer`.
    Int4,
    /// `bigint`; a string on the wire, so that no digit is lost.
    Int8,
    /// `real`.
    Float4,
    /// `double precision`.
    Float8,
    /// `numeric`; a string on the wire, kept as text by SQLite.
    Numeric,
    /// `text`.
    Text,
    /// `uuid`; SQLite keeps 16 bytes.
    Uuid,
    /// `timestamptz`; SQLite keeps RFC 3339 text.
    Timestamptz,
    /// `date`.
    Date,
    /// `time`.
    Time,
    /// `jsonb`; SQLite keeps the text.
    Json,
    /// `bytea`; base64 on the wire.
    Bytes,
    /// An array of another type; Postgres alone has them.
    Array(&'static SqlType),
}

impl SqlType {
    /// The type's name in Postgres.
    pub const fn postgres(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Int2 => "smallint",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Float4 => "real",
            Self::Float8 => "double precision",
            Self::Numeric => "numeric",
            Self::Text => "text",
            Self::Uuid => "uuid",
            Self::Timestamptz => "timestamptz",
            Self::Date => "date",
            Self::Time => "time",
            Self::Json => "jsonb",
            Self::Bytes => "bytea",
            Self::Array(item) => item.postgres_array(),
        }
    }

    const fn postgres_array(self) -> &'static str {
        match self {
            Self::Bool => "boolean[]",
            Self::Int2 => "smallint[]",
            Self::Int4 => "integer[]",
            Self::Int8 => "bigint[]",
            Self::Float4 => "real[]",
            Self::Float8 => "double precision[]",
            Self::Numeric => "numeric[]",
            Self::Text => "text[]",
            Self::Uuid => "uuid[]",
            Self::Timestamptz => "timestamptz[]",
            Self::Date => "date[]",
            Self::Time => "time[]",
            Self::Json => "jsonb[]",
            Self::Bytes => "bytea[]",
            // An array of arrays is of the same type to Postgres.
            Self::Array(item) => item.postgres_array(),
        }
    }

    /// The type's name in SQLite; it decides the column's affinity and what the driver makes of it.
    pub const fn sqlite(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Int2 => "smallint",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Float4 | Self::Float8 => "double",
            Self::Numeric | Self::Text => "text",
            Self::Uuid => "uuid_text",
            Self::Timestamptz => "timestamp_with_timezone_text",
            Self::Date => "date_text",
            Self::Time => "time_text",
            // A server that runs on SQLite refuses arrays at its start.
            Self::Json | Self::Array(_) => "json_text",
            Self::Bytes => "blob",
        }
    }

    /// The JSON Schema of a value as the wire carries it.
    pub fn json_schema(self) -> Value {
        match self {
            Self::Bool => json!({"type": "boolean"}),
            Self::Int2 => json!({"type": "integer", "minimum": i16::MIN, "maximum": i16::MAX}),
            Self::Int4 => json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX}),
            Self::Int8 => json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}),
            Self::Float4 => json!({"type": "number", "format": "float"}),
            Self::Float8 => json!({"type": "number", "format": "double"}),
            Self::Numeric => {
                json!({"type": "string", "format": "decimal", "pattern": "^-?[0-9]+(\\.[0-9]+)?$"})
            }
            Self::Text => json!({"type": "string"}),
            Self::Uuid => json!({"type": "string", "format": "uuid"}),
            Self::Timestamptz => json!({"type": "string", "format": "date-time"}),
            Self::Date => json!({"type": "string", "format": "date"}),
            Self::Time => json!({"type": "string", "format": "time"}),
            Self::Json => json!({}),
            Self::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Self::Array(item) => json!({"type": "array", "items": item.json_schema()}),
        }
    }
}

/// What the database writes when an insert leaves a column out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ColumnDefault {
    /// The transaction's time; only for [`SqlType::Timestamptz`].
    Now,
    /// A text constant.
    Text(&'static str),
    /// A whole number.
    Int(i64),
    /// A boolean.
    Bool(bool),
}

/// How concurrent writes to one row are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Merge {
    /// The last commit wins, whole rows.
    #[default]
    Lww,
    /// Each column by its hybrid logical clock.
    Field,
    /// Mutations take effect in the order they were made: one that arrives late takes its place, and what came after it runs again.
    Replay,
}

impl Merge {
    /// The policy's name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lww => "lww",
            Self::Field => "field",
            Self::Replay => "replay",
        }
    }
}

/// What the values of a CRDT column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crdt {
    /// A text.
    Text,
    /// A map.
    Map,
}

impl Crdt {
    /// The kind's name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Map => "map",
        }
    }
}

/// Tells why a text of JSON cannot be read as a column's type.
pub type JsonCheck = fn(&str) -> std::result::Result<(), String>;

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct ColumnDesc {
    /// The column's name in SQL and on the wire.
    pub name: &'static str,
    /// Its type.
    pub sql: SqlType,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// What it is, when concurrent writes to it merge as Yjs documents do, whatever the table's policy.
    pub crdt: Option<Crdt>,
    /// The name of the shared type in its documents, when it is not the usual one.
    pub crdt_root: Option<&'static str>,
    /// Whether its values are references to blobs.
    pub blob: bool,
    /// The only texts it can hold; empty when it is no enum.
    pub texts: &'static [&'static str],
    /// The JSON Schema of its values, where the SQL type does not say enough.
    pub schema: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// Tells why a text of JSON cannot be read as its type, where it is JSON.
    pub check: Option<JsonCheck>,
    /// The SQL that the database computes it by; nobody writes such a column.
    pub generated: Option<&'static str>,
    /// What an insert without it writes.
    pub default: Option<ColumnDefault>,
    /// Whether the database keeps its values unique.
    pub unique: bool,
    /// Whether it stays on the server: never in a pull, the contract or an error.
    pub private: bool,
    /// The doc comment.
    pub doc: &'static str,
}

impl ColumnDesc {
    /// A column of this type, with nothing said of it.
    pub const fn of<T: ColumnType>(name: &'static str) -> Self {
        Self {
            name,
            sql: T::SQL,
            nullable: T::NULLABLE,
            crdt: T::CRDT,
            crdt_root: None,
            blob: T::BLOB,
            texts: T::TEXTS,
            schema: T::SCHEMA,
            check: T::CHECK,
            generated: None,
            default: None,
            unique: false,
            private: false,
            doc: "",
        }
    }
}

/// The place of a column among those of its table's description.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnIndex(usize);

impl ColumnIndex {
    /// The column at this place, counted from 0.
    pub const fn new(at: usize) -> Self {
        Self(at)
    }

    /// The place, counted from 0.
    pub const fn get(self) -> usize {
        self.0
    }
}

/// The number alone: fingerprints of rules hold it.
impl fmt::Debug for ColumnIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Index<ColumnIndex> for [ColumnDesc] {
    type Output = ColumnDesc;

    fn index(&self, at: ColumnIndex) -> &ColumnDesc {
        &self[at.0]
    }
}

/// One table.
#[derive(Clone, Copy, Debug)]
pub struct TableDesc {
    /// The table's name in SQL and on the wire.
    pub name: &'static str,
    /// Its columns, in the struct's order, those that the database generates after all others.
    pub columns: &'static [ColumnDesc],
    /// The primary key's columns, in order; never empty.
    pub key: &'static [ColumnIndex],
    /// How concurrent writes are merged.
    pub merge: Merge,
    /// Whether no rule may sync it.
    pub server_only: bool,
    /// The doc comment.
    pub doc: &'static str,
}

impl TableDesc {
    /// The primary key's columns, in order.
    pub fn key_columns(&self) -> impl ExactSizeIterator<Item = &'static ColumnDesc> + Clone {
        let columns = self.columns;
        self.key.iter().map(move |&at| &columns[at])
    }

    /// The columns whose values are references to blobs, in order.
    pub fn blob_columns(&self) -> impl Iterator<Item = &'static ColumnDesc> + Clone + use<> {
        self.columns.iter().filter(|column| column.blob)
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&'static ColumnDesc> {
        self.columns.iter().find(|column| column.name == name)
    }
}
