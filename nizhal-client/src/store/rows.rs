//! Many rows at once.

use super::{StoreError, ddl, ddl::names, error::is_duplicate, tx::Tx};
use nizhal_core::local::LocalTable;
use nizhal_core::local::cell::{self, Rows, UnreadableRow};
use nizhal_core::{key, sql::quote, wire::Gone};
use sea_orm::Value;
use std::sync::atomic::Ordering::Relaxed;

/// How many rows one statement carries: few sizes, so that SQLite prepares few statements.
const SIZES: [usize; 3] = [64, 8, 1];
/// How many keys.
const KEYS: usize = 200;

impl Tx<'_> {
    /// Writes rows as the server has them: what is there of their keys is overwritten, and no row gives way for another column.
    pub(super) async fn put(&self, table: &LocalTable, rows: Rows) -> Result<u64, StoreError> {
        let width = rows.columns.len();
        let columns = names(rows.columns.iter().map(|&at| &table.columns[at]));
        let head = format!("insert into {} ({columns}) values ", table.name());
        let others = rows.columns.iter().filter(|at| !table.key.contains(at)).map(|&at| quote(table.columns[at].name));
        let others: Vec<String> = others.map(|name| format!("{name} = excluded.{name}")).collect();
        let change = if others.is_empty() { "nothing".to_owned() } else { format!("update set {}", others.join(", ")) };
        let tail = format!(" on conflict ({}) do {change}", names(table.keys()));
        let row = format!("({})", vec!["?"; width].join(","));
        let mut left = rows.values.len() / width;
        let count = left as u64;
        let mut values = rows.values.into_iter();
        for size in SIZES {
            if left < size {
                continue;
            }
            let sql = head.clone() + &vec![row.as_str(); size].join(",") + &tail;
            while left >= size {
                self.put_some(table, &sql, values.by_ref().take(size * width).collect()).await?;
                left -= size;
            }
        }
        Ok(count)
    }

    async fn put_some(&self, table: &LocalTable, sql: &str, values: Vec<Value>) -> Result<(), StoreError> {
        if table.uniques().next().is_none() {
            self.run(sql, values).await?;
            return Ok(());
        }
        match self.run(sql, values.clone()).await {
            Err(StoreError::Db(error)) if is_duplicate(&error) => {
                // Values that change hands in this snapshot, or that the server's database does not keep unique.
                self.drop_uniques(table).await?;
                self.run(sql, values).await?;
                Ok(())
            }
            done => done.map(drop),
        }
    }

    /// Lets values repeat until all of the answer is laid, and the indexes are made again.
    pub(super) async fn drop_uniques(&self, table: &LocalTable) -> Result<(), StoreError> {
        self.store.uniques_dropped.store(true, Relaxed);
        for (_, index) in table.uniques() {
            self.run(&format!("drop index if exists {index}"), []).await?;
        }
        Ok(())
    }

    /// Has the table keep its unique columns so, for mutators; where rows of the server's are in the way, it does not.
    pub(super) async fn index_uniques(&self, table: &LocalTable) -> Result<(), StoreError> {
        for (sql, column) in ddl::unique_indexes(table) {
            match self.run(&sql, []).await {
                Err(StoreError::Db(error)) if is_duplicate(&error) => {
                    let (table, column) = (table.desc.name, column.name);
                    tracing::error!(
                        table,
                        column,
                        "the server's rows repeat a value that the app declares unique: create the unique index there"
                    );
                }
                done => drop(done?),
            }
        }
        Ok(())
    }

    /// Leaves rows out of which a cell cannot be read, and notes them.
    pub(super) async fn leave_out(&self, table: &LocalTable, rows: Vec<UnreadableRow>) -> Result<(), StoreError> {
        for UnreadableRow { key, column, reason } in rows {
            let id = key.as_deref().map(cell::key_text);
            let name = table.desc.name;
            tracing::error!(table = name, key = id, column, reason, "a row is left out: a cell of it cannot be read");
            let (Some(key), Some(id)) = (key, id) else { continue };
            let marks = vec!["?"; key.len()].join(",");
            let sql = format!("delete from {} where ({}) in (values ({marks}))", table.name(), names(table.keys()));
            self.run(&sql, key).await?;
            let sql = "insert or replace into _nizhal_unreadable (tbl, id, col, reason) values ($1, $2, $3, $4)";
            self.run(sql, [name.into(), id.into(), column.into(), reason.into()]).await?;
        }
        Ok(())
    }

    /// Forgets the notes of rows that can be read again.
    pub(super) async fn forget_readable(&self) -> Result<(), StoreError> {
        for row in self.all("select tbl, id from _nizhal_unreadable", []).await? {
            let (name, id): (String, String) = (row.try_get("", "tbl")?, row.try_get("", "id")?);
            let table = self.store.schema().table(&name);
            let there = match table.and_then(|table| Some((table, key(table, &id).ok()?))) {
                Some((table, key)) => {
                    let marks = vec!["?"; key.len()].join(",");
                    let keys = names(table.keys());
                    let sql = format!("select 1 from {} where ({keys}) in (values ({marks}))", table.name());
                    self.one(&sql, key).await?.is_some()
                }
                None => true,
            };
            if there {
                let sql = "delete from _nizhal_unreadable where tbl = $1 and id = $2";
                self.run(sql, [name.into(), id.into()]).await?;
            }
        }
        Ok(())
    }

    /// Takes rows away by their keys as text.
    pub(super) async fn remove(&self, gone: &[Gone]) -> Result<(), StoreError> {
        for table in self.store.schema().tables() {
            let (mut keys, mut ids) = (Vec::new(), Vec::new());
            for gone in gone.iter().filter(|gone| gone.table == table.desc.name) {
                match key(table, &gone.id) {
                    Ok(key) => keys.push(key),
                    // No row here can have such a key.
                    Err(reason) => {
                        tracing::error!(table = table.desc.name, key = gone.id, reason, "a key is passed over")
                    }
                }
                ids.push(gone.id.as_str());
            }
            if ids.is_empty() {
                continue;
            }
            let row = format!("({})", vec!["?"; table.keys().len()].join(","));
            for keys in keys.chunks(KEYS) {
                let wanted = vec![row.as_str(); keys.len()].join(",");
                let sql = format!("delete from {} where ({}) in (values {wanted})", table.name(), names(table.keys()));
                self.run(&sql, keys.iter().flatten().cloned().collect::<Vec<_>>()).await?;
            }
            let ids = serde_json::to_string(&ids).unwrap_or_default();
            let sql = "delete from _nizhal_unreadable where tbl = $1 and id in (select value from json_each($2))";
            self.run(sql, [table.desc.name.into(), ids.into()]).await?;
        }
        Ok(())
    }
}

/// A key's values from its text: the value itself, or the JSON array of a composite key.
fn key(table: &LocalTable, id: &str) -> Result<Vec<Value>, String> {
    let parts = key::split(table.desc, id).ok_or_else(|| format!("{id:?} has another number of parts"))?;
    table.keys().zip(&parts).map(|(column, text)| cell::of_text(column.sql, text)).collect()
}
