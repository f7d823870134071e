//! The databases: the only room that names sqlx and sea-orm connections.

use crate::schema::Schema;
use std::sync::Arc;

/// One app's database.
pub struct Store {
    _private: (),
}

/// How to reach a database.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// `postgres://…`, `sqlite://path` or `sqlite::memory:`.
    pub url: String,
    /// The most connections held open.
    pub pool: u32,
}

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or is too busy: try again later (503).
    #[error("the database is unavailable")]
    Unavailable(#[source] sea_orm::DbErr),
    /// It refused a statement of ours: a fault of the server (500).
    #[error("the database refused a statement")]
    Statement(#[source] sea_orm::DbErr),
    /// It holds something that does not fit the declared schema: an operator must act (start-up).
    #[error("{0}")]
    Schema(String),
}

impl Store {
    /// Connects; makes a SQLite file that is absent.
    ///
    /// # Errors
    /// When the URL names no database of a known kind, or it cannot be reached.
    pub async fn connect(_settings: &StoreSettings, _schema: Arc<Schema>) -> Result<Self, StoreError> {
        todo!()
    }

    /// The SQL that provisioning would run now, statement by statement; empty when all is in place.
    ///
    /// # Errors
    /// When the database fails or holds something that does not fit.
    pub async fn plan(&self) -> Result<Vec<String>, StoreError> {
        todo!()
    }

    /// Runs what [`plan`](Self::plan) lists, in one transaction.
    ///
    /// # Errors
    /// As for [`plan`](Self::plan).
    pub async fn provision(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// A sea-orm connection that writes, for seeds.
    pub fn connection(&self) -> &sea_orm::DatabaseConnection {
        todo!()
    }

    /// `Postgres` or `SQLite`.
    pub fn kind(&self) -> &'static str {
        todo!()
    }

    /// Closes every connection, after what runs on them.
    pub async fn close(&self) {
        todo!()
    }
}
