//! The control row: what is kept of the whole database, its epoch and the contract among it.

use super::{database::Store, ddl, error::StoreError, sql::Dialect};
use sea_orm::Statement;

impl Store {
    /// The contract that was kept last, as JSON; `None` before the first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn kept_contract(&self) -> Result<Option<String>, StoreError> {
        let text = self.control_if_any("contract").await?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// Keeps the contract, for the next one to be compared with.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_contract(&self, contract: &str) -> Result<(), StoreError> {
        let sql = "update _nizhal_control set contract = $1 where id = 1";
        self.run(sql, [contract.into()]).await.map(drop)
    }

    /// Gives the database a new epoch in place of `old`, in the incarnation of now: every device starts again. When
    /// several servers find the same fault, the first one's epoch stands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mint_epoch(&self, old: &str, incarnation: &str) -> Result<(), StoreError> {
        let sql = "update _nizhal_control set epoch = $1, home = $2 where id = 1 and epoch = $3";
        self.run(sql, [ddl::new_epoch().into(), incarnation.into(), old.into()]).await.map(drop)
    }

    /// Gives the database a new epoch, whatever it has, and returns it.
    ///
    /// # Errors
    /// When the database fails or is not provisioned.
    pub async fn new_epoch(&self) -> Result<String, StoreError> {
        self.check_owner().await?;
        let reader = self.reader().await?;
        let incarnation = reader.clock().incarnation.clone();
        reader.close().await?;
        let old = self.epoch().await?;
        self.mint_epoch(&old, &incarnation).await?;
        self.epoch().await
    }

    async fn epoch(&self) -> Result<String, StoreError> {
        self.control("epoch").await
    }

    /// A column of the control row.
    pub(super) async fn control(&self, column: &str) -> Result<String, StoreError> {
        let db = self.connection();
        let sql = format!("select {column} from _nizhal_control where id = 1");
        let row = self.query_one(Statement::from_string(db.get_database_backend(), sql)).await?;
        let row = row.ok_or_else(StoreError::no_control)?;
        Ok(row.try_get("", column)?)
    }

    /// The same, where the control row has this column: one that was provisioned by an earlier version may lack it.
    pub(super) async fn control_if_any(&self, column: &str) -> Result<Option<String>, StoreError> {
        let db = self.connection();
        let one = |sql: &str| self.query_one(Statement::from_string(db.get_database_backend(), sql));
        let has_column = match self.dialect() {
            Dialect::Postgres => format!(
                "select 1 as found from information_schema.columns where table_schema = current_schema() \
                 and table_name = '_nizhal_control' and column_name = '{column}'"
            ),
            Dialect::Sqlite => {
                format!("select 1 as found from pragma_table_info('_nizhal_control') where name = '{column}'")
            }
        };
        if one(&has_column).await?.is_none() {
            return Ok(None);
        }
        let row = one(&format!("select {column} from _nizhal_control where id = 1")).await?;
        Ok(row.map(|row| row.try_get("", column)).transpose()?)
    }
}
