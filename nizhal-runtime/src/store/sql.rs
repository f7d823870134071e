//! The words in which the two databases differ.

use nizhal_core::{ColumnDesc, Condition, ConstFilter, ConstValue, RuleTable, SqlType, TableDesc};
use sha2::{Digest, Sha256};

pub(crate) use nizhal_core::sql::{literal, quote};

/// The dialect of SQL to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Postgres 13 and later.
    Postgres,
    /// SQLite 3.35 and later.
    Sqlite,
}

/// The version column of every synced table.
pub(crate) const VERSION: &str = "_nizhal_version";
/// When a row was last written.
pub(crate) const UPDATED_AT: &str = "updated_at";
/// When a row was softly deleted.
pub(crate) const DELETED_AT: &str = "deleted_at";

/// A name that changes when the definition does, so that finding it is finding the definition.
pub(crate) fn stamped(prefix: &str, definition: &str) -> String {
    let digest = Sha256::digest(definition.as_bytes());
    let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}_{hex}")
}

/// So many placeholders of a statement, behind those before.
pub(crate) fn placeholders(before: usize, count: usize) -> String {
    (before + 1..=before + count).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ")
}

impl Dialect {
    /// The column's type as the `create table` says it.
    pub(crate) fn type_name(self, sql: SqlType) -> &'static str {
        match self {
            Self::Postgres => sql.postgres(),
            Self::Sqlite => sql.sqlite(),
        }
    }

    /// A column as canonical text that sorts bytewise.
    pub(crate) fn sort_text(self, value: &str, sql: SqlType) -> String {
        match self {
            Self::Postgres => format!("{} collate \"C\"", self.text_of(value, sql)),
            Self::Sqlite => self.text_of(value, sql),
        }
    }

    /// A JSON array of texts, the same bytes as `serde_json` writes.
    pub(crate) fn json_texts(self, texts: &[String]) -> String {
        match self {
            Self::Postgres => {
                let parts: Vec<String> = texts.iter().map(|text| format!("to_json({text})::text")).collect();
                format!("('[' || {} || ']')", parts.join(" || ',' || "))
            }
            Self::Sqlite => format!("json_array({})", texts.join(", ")),
        }
    }

    /// The key of `row` as text: the value itself, or the JSON array of a composite key.
    pub(crate) fn key_text(self, table: &TableDesc, row: &str) -> String {
        let parts: Vec<String> =
            table.key_columns().map(|column| self.text_of(&col(row, column), column.sql)).collect();
        match parts.as_slice() {
            [only] => only.clone(),
            several => self.json_texts(several),
        }
    }

    /// The bucket that `row` is in by this rule's columns: a JSON array of the parameters, or NULL when one is NULL.
    pub(crate) fn bucket_key(self, rule: &RuleTable, row: &str) -> String {
        let parts: Vec<String> = rule
            .scope
            .iter()
            .map(|&at| &rule.table.columns[at])
            .map(|column| self.text_of(&col(row, column), column.sql))
            .collect();
        if parts.is_empty() {
            // A public rule's one bucket.
            return match self {
                Self::Postgres => "'[]'::text".to_owned(),
                Self::Sqlite => "'[]'".to_owned(),
            };
        }
        match self {
            // `||` with a NULL is NULL, json_array makes a null of it.
            Self::Postgres => self.json_texts(&parts),
            Self::Sqlite => {
                let present: Vec<String> = parts.iter().map(|part| format!("{part} is not null")).collect();
                format!("case when {} then {} end", present.join(" and "), self.json_texts(&parts))
            }
        }
    }

    /// Whether `row` meets the rule's constant conditions and is not softly deleted; never NULL.
    pub(crate) fn visible(self, rule: &RuleTable, row: &str) -> String {
        let mut parts = vec![format!("{row}.{} is null", quote(DELETED_AT))];
        parts.extend(
            rule.filters
                .iter()
                .map(|filter| format!("coalesce({}, {})", self.filter(rule.table, filter, row), self.boolean(false))),
        );
        parts.join(" and ")
    }

    /// One constant condition. There is no `not` in it, so NULL counts as false wherever it arises: a NULL column meets neither
    /// `==` nor `!=`, and another branch of `||` may still hold.
    pub(crate) fn filter(self, table: &TableDesc, condition: &Condition, row: &str) -> String {
        let joined = |parts: &[Condition], word: &str, none: bool| match parts {
            [] => self.boolean(none).to_owned(),
            parts => {
                let parts: Vec<String> = parts.iter().map(|part| self.filter(table, part, row)).collect();
                format!("({})", parts.join(word))
            }
        };
        match condition {
            Condition::Column(filter) => self.comparison(table, filter, row),
            Condition::All(parts) => joined(parts, " and ", true),
            Condition::Any(parts) => joined(parts, " or ", false),
        }
    }

    fn comparison(self, table: &TableDesc, filter: &ConstFilter, row: &str) -> String {
        let column = col(row, &table.columns[filter.column]);
        let operator = if filter.negated { "<>" } else { "=" };
        let value = match filter.value {
            ConstValue::Bool(value) => self.boolean(value).to_owned(),
            ConstValue::Int(value) => value.to_string(),
            ConstValue::Text(value) => literal(value),
        };
        format!("{column} {operator} {value}")
    }

    /// A boolean constant.
    pub(crate) fn boolean(self, value: bool) -> &'static str {
        match (self, value) {
            (Self::Postgres, true) => "true",
            (Self::Postgres, false) => "false",
            (Self::Sqlite, true) => "1",
            (Self::Sqlite, false) => "0",
        }
    }

    /// The row's `client_id` where it differs from the key; NULL in tables without one.
    pub(crate) fn client_key(self, table: &TableDesc, row: &str) -> String {
        match table.column("client_id") {
            Some(column) if !column.private => {
                format!("nullif({}, {})", self.text_of(&col(row, column), column.sql), self.key_text(table, row))
            }
            _ => match self {
                Self::Postgres => "null::text".to_owned(),
                Self::Sqlite => "null".to_owned(),
            },
        }
    }
}

/// What SQLite calls a row's number in this table; a column of that name hides it. `None` where columns have all its names.
pub(crate) fn rowid(table: &TableDesc) -> Option<&'static str> {
    let taken = |name: &str| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    ["rowid", "_rowid_", "oid"].into_iter().find(|name| !taken(name))
}

/// `row."column"`.
pub(crate) fn col(row: &str, column: &ColumnDesc) -> String {
    format!("{row}.{}", quote(column.name))
}

/// The columns a device sees, in order: the declared ones that are not private, then the engine's.
pub(crate) fn wire_columns(table: &TableDesc) -> Vec<(&'static str, SqlType)> {
    let declared = table.columns.iter().filter(|column| !column.private).map(|column| (column.name, column.sql));
    let engine = [UPDATED_AT, DELETED_AT].into_iter().filter(|name| table.column(name).is_none());
    declared.chain(engine.map(|name| (name, SqlType::Timestamptz))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_follows_the_definition() {
        assert_eq!(stamped("x", "a"), stamped("x", "a"));
        assert_ne!(stamped("x", "a"), stamped("x", "b"));
    }
}
