//! A copy of a database of one moment.

use super::{
    StoreError,
    database::{Backend, Store},
};
use std::path::Path;

impl Store {
    /// The schema that its tables are in, where it is a Postgres, which its own programs copy.
    pub fn schema_name(&self) -> Option<String> {
        match &self.backend {
            Backend::Postgres(store) => Some(store.schema_name().to_owned()),
            Backend::Sqlite(_) => None,
        }
    }

    /// Copies a SQLite database into an empty file, while others read and write it.
    ///
    /// # Errors
    /// When it is not provisioned, or another app's; when the database or the file fails.
    pub async fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        self.check_owner().await?;
        self.control("epoch").await?;
        match &self.backend {
            Backend::Postgres(_) => Err(StoreError::Schema("pg_dump makes the copies of a Postgres".to_owned())),
            Backend::Sqlite(store) => store.copy_to(file).await,
        }
    }
}
