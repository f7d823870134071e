//! Foreign rows: those that were in an app's table before the database was ever provisioned.

use super::{
    StoreError,
    database::Store,
    sql::{Dialect, quote},
};
use sea_orm::Statement;

impl Store {
    /// A table of the app that holds rows, where the database was never provisioned.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn foreign_rows(&self) -> Result<Option<&'static str>, StoreError> {
        if self.has_table("_nizhal_control").await? {
            return Ok(None);
        }
        for table in self.schema.tables() {
            let rows = format!("select 1 from {} limit 1", quote(table.name));
            if self.has_table(table.name).await? && self.has_row(&rows, []).await? {
                return Ok(Some(table.name));
            }
        }
        Ok(None)
    }

    async fn has_table(&self, name: &str) -> Result<bool, StoreError> {
        match self.dialect() {
            Dialect::Postgres => self.has_row("select 1 where to_regclass($1) is not null", [quote(name)]).await,
            Dialect::Sqlite => {
                let sql = "select 1 from sqlite_schema where type in ('table', 'view') and lower(name) = lower($1)";
                self.has_row(sql, [name.to_owned()]).await
            }
        }
    }

    async fn has_row<const N: usize>(&self, sql: &str, values: [String; N]) -> Result<bool, StoreError> {
        let backend = self.reads().get_database_backend();
        let statement = Statement::from_sql_and_values(backend, sql, values.map(sea_orm::Value::from));
        Ok(self.query_one(statement).await?.is_some())
    }
}
