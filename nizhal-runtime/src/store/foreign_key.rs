//! Foreign keys into replayed tables: taking a space back deletes rows and puts others in their place, which must not carry over to rows that
//! nothing puts back, and not be refused because of them.

use super::{
    drift::Complaints,
    sql::{Dialect, quote},
};
use crate::schema::Schema;

/// A foreign key as it is in the database.
#[derive(Debug)]
pub(super) struct ForeignKey {
    /// Its name, where the database tells.
    pub(super) name: Option<String>,
    /// The table whose rows refer to others.
    pub(super) of: String,
    /// The table whose rows they refer to.
    pub(super) to: String,
    /// Whether it changes or deletes the rows that refer to one that is deleted.
    pub(super) cascades: bool,
    /// Whether it can be looked at when all rows are in their place.
    pub(super) is_deferrable: bool,
}

/// Reports those that taking back would set off, or be refused by.
pub(super) fn check(dialect: Dialect, schema: &Schema, keys: &[ForeignKey], complaints: &mut Complaints) {
    for key in keys {
        let Some(rule) = schema.replayed_in(&key.to) else { continue };
        let of = &key.of;
        let drop = match (dialect, &key.name) {
            (Dialect::Postgres, Some(name)) => format!("alter table {of} drop constraint {}", quote(name)),
            _ => format!("make `{of}` anew without it"),
        };
        if key.cascades {
            let what = format!(
                "it is replayed, and a foreign key of `{of}` changes or deletes the rows that refer to it, which nothing puts back when \
                 mutations run again"
            );
            complaints.push(&key.to, &what, &format!("{drop}, and delete those rows in the mutator"));
        } else if schema.replayed_in(of.trim_matches('"')) != Some(rule) {
            let what = format!(
                "it is replayed, and `{of}` is not in the same order: a row that another past does not have could not be taken back while \
                 `{of}` refers to it"
            );
            complaints.push(&key.to, &what, &drop);
        } else if !key.is_deferrable {
            let what = format!(
                "it is replayed, and a foreign key of `{of}` refuses that rows are taken back before those that refer to them"
            );
            let run = format!("{drop}, and add it again as `on delete no action deferrable`");
            complaints.push(&key.to, &what, &run);
        }
    }
}
