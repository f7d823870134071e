//! The app that a store serves: another's database is refused.

use super::{database::Store, error::StoreError, sql::Dialect};
use sea_orm::Statement;

impl Store {
    /// The same, of the app of this name: another's database is then refused.
    #[must_use]
    pub fn with_app(mut self, name: &str) -> Self {
        name.clone_into(&mut self.owner.app);
        self
    }

    /// The same, of an app that was called so before.
    #[must_use]
    pub fn with_renamed(mut self, from: Option<String>) -> Self {
        self.owner.renamed_from = from;
        self
    }

    /// Whether the database is this app's, or nobody's yet.
    ///
    /// # Errors
    /// When it is another's, or the database fails.
    pub(super) async fn check_owner(&self) -> Result<(), StoreError> {
        let db = self.connection();
        let one = |sql: &str| self.query_one(Statement::from_string(db.get_database_backend(), sql));
        let named = match self.dialect() {
            Dialect::Postgres => {
                "select 1 as found from information_schema.columns where table_schema = current_schema() \
                 and table_name = '_nizhal_control' and column_name = 'app'"
            }
            Dialect::Sqlite => "select 1 as found from pragma_table_info('_nizhal_control') where name = 'app'",
        };
        if one(named).await?.is_none() {
            return Ok(());
        }
        let row = one("select app from _nizhal_control where id = 1").await?;
        let app: Option<String> = row.map(|row| row.try_get("", "app")).transpose()?;
        self.owner.check_app(&app.unwrap_or_default())
    }
}
