//! The constraint that a refused statement broke, by the names that the database gives it, and whether a device can have broken it.

use super::blob_reference::STORED;
use crate::schema::Schema;
use nizhal_core::BlobHash;
use sea_orm::{DbErr, RuntimeErr};
use sqlx::{
    error::{DatabaseError, ErrorKind},
    postgres::PgDatabaseError,
};
use std::fmt;

/// The SQLSTATE of a broken check.
const CHECK_VIOLATION: &str = "23514";
/// Where Postgres looks for the partition of a row.
const FINDS_PARTITION: &str = "ExecFindPartition";

/// A broken constraint, as far as the database names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Violation {
    is_not_null: bool,
    /// Whether it is a row for which no partition was made.
    lacks_partition: bool,
    table: Option<String>,
    columns: Vec<String>,
    constraint: Option<String>,
}

impl Violation {
    /// The violation that this error tells of; `None` for an error that names no table and no constraint.
    pub(crate) fn of(error: &DbErr) -> Option<Self> {
        let refusal = refusal(error)?;
        let is_not_null = matches!(refusal.kind(), ErrorKind::NotNullViolation);
        let found = match refusal.try_downcast_ref::<PgDatabaseError>() {
            Some(refusal) => {
                let columns = match refusal.column() {
                    Some(column) => vec![column.to_owned()],
                    None => key_columns(refusal.detail().unwrap_or_default()),
                };
                let owned = |text: Option<&str>| text.map(str::to_owned);
                // The state is that of a broken check, and only the place in Postgres that says so is another.
                let lacks_partition = refusal.code() == CHECK_VIOLATION && refusal.routine() == Some(FINDS_PARTITION);
                let (table, constraint) = (owned(refusal.table()), owned(refusal.constraint()));
                Self { is_not_null, lacks_partition, table, columns, constraint }
            }
            None => Self { is_not_null, ..sqlite(refusal.message()) },
        };
        (found.table.is_some() || found.constraint.is_some()).then_some(found)
    }

    /// Whether only a programmer or an operator can have broken it: a partition is theirs to make; no mutation can give a value to a column that its table's struct lacks, nor
    /// should it need one where the struct's field is optional.
    pub(crate) fn is_a_programmers(&self, schema: &Schema) -> bool {
        if self.lacks_partition {
            return true;
        }
        let desc = schema.tables().iter().find(|desc| Some(desc.name) == self.table.as_deref());
        let Some(desc) = desc.filter(|_| !self.columns.is_empty()) else { return false };
        self.columns.iter().all(|column| match desc.column(column) {
            None => true,
            Some(column) => self.is_not_null && column.nullable,
        })
    }
}

/// What the database says in words: a trigger's own text, or what does not fit.
pub(crate) fn refusal_text(error: &DbErr) -> Option<String> {
    refusal(error).map(|refusal| refusal.message().to_owned())
}

/// Whether a trigger refused a reference to a blob that is not stored, and the blob's hash, where the database says it.
pub(crate) fn missing_blob(error: &DbErr) -> Option<Option<BlobHash>> {
    let refusal = refusal(error)?;
    match refusal.try_downcast_ref::<PgDatabaseError>() {
        Some(refusal) if refusal.constraint() == Some(STORED) => {
            Some(refusal.detail().and_then(|detail| detail.parse().ok()))
        }
        Some(_) => None,
        None => refusal.message().ends_with(&format!("({STORED})")).then_some(None),
    }
}

fn refusal(error: &DbErr) -> Option<&dyn DatabaseError> {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error else {
        return None;
    };
    let sqlx::Error::Database(refusal) = cause.as_ref() else { return None };
    Some(refusal.as_ref())
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lacks_partition {
            let table = self.table.as_deref().unwrap_or_default();
            return write!(f, "the bounds of the partitions that table `{table}` has");
        }
        f.write_str(if self.is_not_null { "a not-null constraint" } else { "a constraint" })?;
        if let Some(name) = &self.constraint {
            write!(f, " `{name}`")?;
        }
        if !self.columns.is_empty() {
            write!(f, " on `{}`", self.columns.join("`, `"))?;
        }
        match &self.table {
            Some(table) => write!(f, " of table `{table}`"),
            None => Ok(()),
        }
    }
}

/// The columns in Postgres's detail of a broken key: `Key (a, b)=(1, 2) already exists.`
fn key_columns(detail: &str) -> Vec<String> {
    let columns = detail.strip_prefix("Key (").and_then(|rest| rest.split_once(")=(")).map(|(columns, _)| columns);
    columns
        .map(|columns| columns.split(", ").map(|name| name.trim_matches('"').to_owned()).collect())
        .unwrap_or_default()
}

/// SQLite's message: `UNIQUE constraint failed: t.a, t.b`, or the constraint's name or nothing after the colon.
fn sqlite(message: &str) -> Violation {
    let Some((_, named)) = message.split_once(" constraint failed") else { return Violation::default() };
    let named = named.trim_start_matches(':').trim();
    let pairs: Option<Vec<(&str, &str)>> = named.split(", ").map(|name| name.split_once('.')).collect();
    match pairs.as_deref() {
        Some([(table, _), ..]) => Violation {
            table: Some((*table).to_owned()),
            columns: pairs.iter().flatten().map(|(_, column)| (*column).to_owned()).collect(),
            ..Violation::default()
        },
        _ => Violation { constraint: Some(named.to_owned()).filter(|name| !name.is_empty()), ..Violation::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_databases_words_are_read() {
        assert_eq!(key_columns(r#"Key (shop_id, "No")=(s1, 7) already exists."#), ["shop_id", "No"]);
        assert!(key_columns("Failing row contains (1, null).").is_empty());
        let unique = sqlite("UNIQUE constraint failed: items.shop, items.no");
        assert_eq!((unique.table.as_deref(), unique.columns.len()), (Some("items"), 2));
        assert_eq!(sqlite("CHECK constraint failed: positive").constraint.as_deref(), Some("positive"));
        assert_eq!(sqlite("FOREIGN KEY constraint failed"), Violation::default());
    }

    #[test]
    fn inv41_only_a_programmer_breaks_a_column_that_the_struct_lacks() {
        let schema = testing::schema();
        let null = |table: &str, column: &str| Violation {
            is_not_null: true,
            lacks_partition: false,
            table: Some(table.to_owned()),
            columns: vec![column.to_owned()],
            constraint: None,
        };
        assert!(null("notes", "gone").is_a_programmers(&schema));
        assert!(null("notes", "text").is_a_programmers(&schema), "an optional field");
        assert!(!null("notes", "shop_id").is_a_programmers(&schema));
        assert!(!null("another's", "gone").is_a_programmers(&schema));
        let unique = |columns: &[&str]| Violation {
            is_not_null: false,
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            ..null("notes", "")
        };
        assert!(unique(&["gone"]).is_a_programmers(&schema));
        assert!(!unique(&["gone", "text"]).is_a_programmers(&schema));
        assert!(!unique(&[]).is_a_programmers(&schema));
        assert_eq!(null("notes", "gone").to_string(), "a not-null constraint on `gone` of table `notes`");
    }
}
