//! Fitting the file's tables to the app's.

use super::{StoreError, ddl, tx::Tx};
use crate::schema::Schema;
use nizhal_core::local::{LocalColumn, LocalTable};
use nizhal_core::sql::quote;
use std::collections::BTreeMap;

/// A table's shape as it was last made: column by column its definition, and its key.
pub(super) type Shape = BTreeMap<String, (BTreeMap<String, String>, Vec<String>)>;

impl Tx<'_> {
    /// Fits the tables to the app. What only adds is added in place; anything else is made anew and filled by the server. The outbox
    /// stays, and is run again over what is there.
    pub(super) async fn migrate(&self, made: &Shape, wanted: &Shape) -> Result<(), StoreError> {
        for (name, (columns, keys)) in made {
            self.undo_made(name, columns, keys).await?;
            for verb in ["insert", "update", "delete"] {
                let trigger = quote(&format!("_nizhal_{verb}_{name}"));
                self.run(&format!("drop trigger if exists {trigger}"), []).await?;
            }
            self.run(&format!("drop table if exists {}", quote(&format!("_nizhal_base_{name}"))), []).await?;
            if !wanted.contains_key(name) {
                self.run(&format!("drop table if exists {}", quote(name)), []).await?;
            }
        }
        for sql in [
            "delete from _nizhal_made",
            "delete from _nizhal_needs",
            "update _nizhal_outbox set shown = 0 where shown = 1",
        ] {
            self.run(sql, []).await?;
        }
        let mut emptied = made.is_empty();
        for table in self.store.schema().tables() {
            match added(made.get(table.desc.name), &wanted[table.desc.name], table) {
                Some(definitions) => {
                    for definition in definitions {
                        self.run(&format!("alter table {} add column {definition}", table.name()), []).await?;
                    }
                }
                None => {
                    self.run(&format!("drop table if exists {}", table.name()), []).await?;
                    self.run(&table.create_as(&table.name()), []).await?;
                    emptied = true;
                }
            }
            for (_, index) in table.uniques() {
                self.run(&format!("drop index if exists {index}"), []).await?;
            }
            self.index_uniques(table).await?;
            self.run(&ddl::create_base(table), []).await?;
            for (_, create) in ddl::triggers(table) {
                self.run(&create, []).await?;
            }
        }
        self.forget_position().await?;
        let tables = serde_json::to_string(wanted).unwrap_or_default();
        // Rows that are all there still show a whole snapshot, if an older one.
        let sql = "update _nizhal_meta set tables = $1, complete = case when $2 then 0 else complete end";
        self.run(sql, [tables.into(), emptied.into()]).await?;
        self.redo().await
    }

    /// Takes pending effects off a table as it was made.
    async fn undo_made(
        &self,
        name: &str,
        columns: &BTreeMap<String, String>,
        keys: &[String],
    ) -> Result<(), StoreError> {
        let (table, base) = (quote(name), quote(&format!("_nizhal_base_{name}")));
        let generated = |definition: &String| definition.contains(" generated always as ");
        let written = columns.iter().filter(|(_, definition)| !generated(definition)).map(|(name, _)| quote(name));
        let all = written.collect::<Vec<_>>().join(", ");
        let keys = keys.iter().map(|key| quote(key)).collect::<Vec<_>>().join(", ");
        self.run(&format!("delete from {table} where ({keys}) in (select {keys} from {base})"), []).await?;
        self.run(&format!("insert into {table} ({all}) select {all} from {base} where _nizhal_present = 1"), [])
            .await?;
        Ok(())
    }

    /// Leaves nothing of the user before.
    pub(super) async fn wipe(&self, made: &Shape) -> Result<(), StoreError> {
        for name in made.keys() {
            self.run(&format!("drop table if exists {}", quote(&format!("_nizhal_base_{name}"))), []).await?;
            self.run(&format!("drop table if exists {}", quote(name)), []).await?;
        }
        for table in [
            "outbox",
            "dead",
            "answered",
            "revised",
            "stage",
            "made",
            "needs",
            "touched",
            "named",
            "blobs",
            "unreadable",
            "subscriptions",
            "later",
            "meta",
        ] {
            self.run(&format!("delete from _nizhal_{table}"), []).await?;
        }
        Ok(())
    }
}

/// The definitions of columns that a table lacks; `None` when it must be made anew.
fn added<'a>(
    made: Option<&(BTreeMap<String, String>, Vec<String>)>,
    wanted: &(BTreeMap<String, String>, Vec<String>),
    table: &'a LocalTable,
) -> Option<Vec<&'a str>> {
    let (columns, keys) = made?;
    let same = |(name, definition): (&String, &String)| wanted.0.get(name) == Some(definition);
    if *keys != wanted.1 || !columns.iter().all(same) {
        return None;
    }
    let new = table.columns.iter().filter(|column| !columns.contains_key(column.name));
    // SQLite adds columns whose rows it can leave alone: nullable ones and constants, but nothing stored.
    let addable = |definition: &str| {
        let generated = definition.contains(" generated always as ");
        let constant = definition.contains(" default ") && !definition.contains(" default (");
        !generated && (constant || !definition.contains(" not null"))
    };
    new.map(|column| addable(&column.definition).then_some(column.definition.as_str())).collect()
}

pub(super) fn shape(schema: &Schema) -> Shape {
    let of = |table: &LocalTable| {
        // The mark of an index: a file whose tables had the constraint is made anew.
        let mark = |column: &LocalColumn| if column.unique { " (unique index)" } else { "" };
        let columns = table
            .columns
            .iter()
            .map(|column| (column.name.to_owned(), format!("{}{}", column.definition, mark(column))));
        let columns = columns.collect();
        (columns, table.keys().map(|key| key.name.to_owned()).collect())
    };
    schema.tables().iter().map(|table| (table.desc.name.to_owned(), of(table))).collect()
}
