//! Many rows at once.

use super::{StoreError, cell, cell::Rows, ddl::names, tx::Tx};
use crate::schema::LocalTable;
use nizhal_core::wire::Gone;
use sea_orm::Value;

/// How many rows one statement carries: few sizes, so that SQLite prepares few statements.
const SIZES: [usize; 3] = [64, 8, 1];
/// How many keys.
const KEYS: usize = 200;

impl Tx<'_> {
    /// Writes rows as the server has them.
    ///
    /// Replacing, also where another unique column is in the way: the server's snapshot has no two rows of one value, so what is
    /// in the way changed too, and comes in this snapshot.
    pub(super) async fn put(&self, table: &LocalTable, rows: Rows) -> Result<u64, StoreError> {
        let width = rows.columns.len();
        let columns = names(rows.columns.iter().map(|&at| &table.columns[at]));
        let head = format!("insert or replace into {} ({columns}) values ", table.name());
        let row = format!("({})", vec!["?"; width].join(","));
        let mut left = rows.values.len() / width;
        let count = left as u64;
        let mut values = rows.values.into_iter();
        for size in SIZES {
            if left < size {
                continue;
            }
            let sql = head.clone() + &vec![row.as_str(); size].join(",");
            while left >= size {
                self.run(&sql, values.by_ref().take(size * width).collect::<Vec<_>>()).await?;
                left -= size;
            }
        }
        Ok(count)
    }

    /// Takes rows away by their keys as text.
    pub(super) async fn remove(&self, gone: &[Gone]) -> Result<(), StoreError> {
        for table in self.store.schema().tables() {
            let mut keys = Vec::new();
            for gone in gone.iter().filter(|gone| gone.table == table.desc.name) {
                keys.push(key(table, &gone.id)?);
            }
            let row = format!("({})", vec!["?"; table.keys().len()].join(","));
            for keys in keys.chunks(KEYS) {
                let wanted = vec![row.as_str(); keys.len()].join(",");
                let sql = format!("delete from {} where ({}) in (values {wanted})", table.name(), names(table.keys()));
                self.run(&sql, keys.iter().flatten().cloned().collect::<Vec<_>>()).await?;
            }
        }
        Ok(())
    }
}

/// A key's values from its text: the value itself, or the JSON array of a composite key.
fn key(table: &LocalTable, id: &str) -> Result<Vec<Value>, StoreError> {
    let wrong = |reason: String| StoreError::Malformed(format!("a key of `{}`: {reason}", table.desc.name));
    let parts: Vec<String> = match table.key.len() {
        1 => vec![id.to_owned()],
        _ => serde_json::from_str(id).map_err(|error| wrong(error.to_string()))?,
    };
    if parts.len() != table.key.len() {
        return Err(wrong(format!("{id:?} has another number of parts")));
    }
    table.keys().zip(&parts).map(|(column, text)| cell::of_text(column.sql, text).map_err(wrong)).collect()
}
