//! The documents that a transaction wrote, by whatever statement: whether each is one that its column keeps.
//!
//! An active model is judged before it is written, and a merge while it merges; `insert_many` and SQL go by neither. So the rows of
//! each bucket that the write set names are read back, those of this transaction's version alone, by the index
//! `(scope, version, key)`. Only tables that have documents are asked.

use super::{
    StoreError, WriteSetEntry, WriteTx,
    database::Store,
    read::ScopeArg,
    sql::{Dialect, VERSION, col, quote},
    text::is_spelled,
    write_set::DRAWN,
};
use nizhal_core::{ColumnDesc, RuleTable, SqlType, TableDesc, entity::check_document, key};
use sea_orm::{ActiveValue, DbErr, Statement, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// A document that is none of its column's: of another root, or no document.
#[derive(Debug)]
pub struct StrayDocument {
    table: &'static TableDesc,
    /// The row's key, as canonical texts.
    key: Vec<String>,
    column: &'static ColumnDesc,
    digest: [u8; 32],
    /// What is wrong with it.
    pub reason: DbErr,
}

impl StrayDocument {
    /// The table, the row's key and the column.
    pub fn names(&self) -> (&'static str, String, &'static str) {
        (self.table.name, key::join(&self.key), self.column.name)
    }

    /// Whether it is the same document in the same place.
    pub fn is(&self, other: &Self) -> bool {
        let identity = |stray: &Self| (stray.table.name, stray.column.name, stray.digest);
        identity(self) == identity(other) && self.key == other.key
    }
}

impl WriteTx<'_> {
    /// The stray documents in rows that this transaction wrote in these buckets.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn strays(&self, touched: &[&WriteSetEntry]) -> Result<Vec<StrayDocument>, StoreError> {
        let store = self.store();
        let mut strays = Vec::new();
        if !store.schema.merges_documents() {
            return Ok(strays);
        }
        let mut asked = BTreeSet::new();
        for WriteSetEntry { bucket, table, .. } in touched {
            let Some(synced) = store.with_documents(&bucket.rule, table) else { continue };
            if asked.insert((&bucket.rule, table, &bucket.params)) {
                let values = synced.scope.iter().map(|&at| &synced.table.columns[at]).zip(&bucket.params);
                let values: Vec<Value> = values.map(|(column, text)| store.canonical(column, text)).collect();
                for row in self.all(&written(self.dialect(), synced), values).await? {
                    strays.extend(strays_of(synced.table, &row)?);
                }
            }
        }
        Ok(strays)
    }
}

impl Store {
    /// Whether each of these documents is in the database as it is: then whoever wrote it did so before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn are_older(&self, strays: &[StrayDocument]) -> Result<bool, StoreError> {
        for stray in strays {
            let StrayDocument { table, column, .. } = stray;
            let keys = table.key_columns().enumerate();
            let keys: Vec<String> = keys.map(|(at, key)| equals(self.dialect(), key, at + 1)).collect();
            let document = col("c", column);
            let sql = format!("select {document} as d from {} c where {}", quote(table.name), keys.join(" and "));
            let values: Vec<Value> =
                table.key_columns().zip(&stray.key).map(|(column, text)| self.canonical(column, text)).collect();
            let statement = Statement::from_sql_and_values(self.reads().get_database_backend(), sql, values);
            let row = self.query_all(statement).await?.pop();
            let state: Option<Vec<u8>> = row.map(|row| row.try_get("", "d")).transpose()?.flatten();
            if state.is_none_or(|state| digest(&state) != stray.digest) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The table as this rule syncs it, where it has documents.
    fn with_documents(&self, rule: &str, table: &str) -> Option<&RuleTable> {
        let rule = self.schema.rules().iter().find(|known| known.name == rule)?;
        let mut tables = rule.tables.iter();
        tables.find(|synced| synced.table.name == table && documents(synced.table).next().is_some())
    }

    /// A canonical text as the value that [`equals`] compares.
    fn canonical(&self, column: &ColumnDesc, text: &str) -> Value {
        let sql = if is_spelled(column.sql) { SqlType::Text } else { column.sql };
        self.scope_value(&ScopeArg { text: Some(text.to_owned()), sql })
    }
}

/// The statement that reads what the transaction wrote in one bucket: the parts of the key, then the documents.
fn written(dialect: Dialect, synced: &RuleTable) -> String {
    let table = synced.table;
    let keys = table.key_columns().map(|key| dialect.text_of(&col("c", key), key.sql)).enumerate();
    let keys = keys.map(|(at, key)| format!("{key} as k{at}"));
    let states = documents(table).enumerate().map(|(at, column)| format!("{} as d{at}", col("c", column)));
    let version = match dialect {
        Dialect::Postgres => DRAWN,
        Dialect::Sqlite => "(select txn from _nizhal_control where id = 1)",
    };
    let scope = synced.scope.iter().map(|&at| &table.columns[at]).enumerate();
    let scope = scope.map(|(at, column)| equals(dialect, column, at + 1));
    let conditions: Vec<String> = scope.chain([format!("c.{} = {version}", quote(VERSION))]).collect();
    let columns: Vec<String> = keys.chain(states).collect();
    format!("select {} from {} c where {}", columns.join(", "), quote(table.name), conditions.join(" and "))
}

/// Whether a column holds the value of this parameter's canonical text.
fn equals(dialect: Dialect, column: &ColumnDesc, param: usize) -> String {
    let own = col("c", column);
    match dialect {
        Dialect::Postgres => format!("{own} = {}", Dialect::value_of(&format!("${param}::text"), column.sql)),
        Dialect::Sqlite if is_spelled(column.sql) => format!("{} = ${param}", dialect.text_of(&own, column.sql)),
        Dialect::Sqlite => format!("{own} = ${param}"),
    }
}

fn documents(table: &'static TableDesc) -> impl Iterator<Item = &'static ColumnDesc> {
    table.columns.iter().filter(|column| column.crdt.is_some())
}

fn strays_of(table: &'static TableDesc, row: &sea_orm::QueryResult) -> Result<Vec<StrayDocument>, StoreError> {
    let mut strays = Vec::new();
    for (at, column) in documents(table).enumerate() {
        let Some(state) = row.try_get::<Option<Vec<u8>>>("", &format!("d{at}"))? else { continue };
        let digest = digest(&state);
        let judged = check_document(table, column.name, ActiveValue::Set(Value::Bytes(Some(state))));
        if let Err(reason) = judged {
            let parts = table.key_columns().enumerate();
            let parts = parts.map(|(at, _)| row.try_get("", &format!("k{at}"))).collect::<Result<_, DbErr>>()?;
            strays.push(StrayDocument { table, key: parts, column, digest, reason });
        }
    }
    Ok(strays)
}

fn digest(state: &[u8]) -> [u8; 32] {
    Sha256::digest(state).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::StoreSettings, testing};
    use sea_orm::ConnectionTrait;
    use std::sync::Arc;

    #[tokio::test]
    async fn inv29_what_was_written_is_read_by_its_index() {
        let settings = StoreSettings { url: "sqlite::memory:".to_owned(), pool: 1 };
        let store = Store::connect(&settings, Arc::new(testing::schema())).await.unwrap();
        store.provision().await.unwrap();
        let sql = format!("explain query plan {}", written(Dialect::Sqlite, &testing::rules()[0].tables[0]));
        let db = store.connection();
        let explain = Statement::from_sql_and_values(db.get_database_backend(), sql, ["s1".into()]);
        let step: String = db.query_all_raw(explain).await.unwrap()[0].try_get("", "detail").unwrap();
        assert!(step.contains("INDEX _nizhal_ix") && step.contains("_nizhal_version=?"), "{step}");
    }
}
