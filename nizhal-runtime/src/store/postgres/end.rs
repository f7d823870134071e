//! The ends of a transaction: one that goes wrong costs its connection.

use super::store::PostgresStore;
use crate::store::{
    error::StoreError,
    limit::{ANSWER_TIMEOUT, STATEMENT_TIMEOUT},
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement, TransactionTrait};
use std::sync::OnceLock;

/// The end of a transaction, which knows on whose connection it runs.
#[derive(Debug)]
pub(in crate::store) struct TransactionEnd<'a> {
    store: &'a PostgresStore,
    /// The backend's process id, once it is known.
    backend: OnceLock<i32>,
}

impl PostgresStore {
    /// Begins a transaction; on another connection, in silence, when the first one is found dead before anything was sent on it.
    pub(in crate::store) async fn begin(&self) -> Result<(DatabaseTransaction, TransactionEnd<'_>), StoreError> {
        let begun = match self.pools.wait_to_begin(self.db().begin()).await {
            Err(error) if self.pools.is_dead(&error) => self.pools.wait_to_begin(self.db().begin()).await,
            begun => begun,
        };
        Ok((begun?, TransactionEnd { store: self, backend: OnceLock::new() }))
    }

    pub(in crate::store) async fn commit(&self, tx: DatabaseTransaction) -> Result<(), StoreError> {
        TransactionEnd { store: self, backend: OnceLock::new() }.commit(tx).await
    }

    pub(in crate::store) async fn roll_back(&self, tx: DatabaseTransaction) -> Result<(), StoreError> {
        let ended = self.pools.wait(ANSWER_TIMEOUT, tx.rollback()).await;
        if let Err(error) = &ended {
            self.pools.mark_broken_by(error, None);
        }
        ended
    }

    /// Closes the connection of this transaction when it is given back.
    pub(in crate::store) async fn mark_connection_broken(&self, tx: &DatabaseTransaction) {
        let backend = Statement::from_string(tx.get_database_backend(), "select pg_backend_pid() as backend");
        let found = self.pools.wait(ANSWER_TIMEOUT, tx.query_one_raw(backend)).await;
        let backend = found.ok().flatten().and_then(|row| row.try_get("", "backend").ok());
        self.pools.mark_broken(backend);
    }
}

impl TransactionEnd<'_> {
    /// Says on whose connection the transaction runs.
    pub(in crate::store) fn identify(&self, backend: i32) {
        let _ = self.backend.set(backend);
    }

    pub(in crate::store) async fn commit(self, tx: DatabaseTransaction) -> Result<(), StoreError> {
        let ended = self.store.pools.wait(STATEMENT_TIMEOUT, tx.commit()).await;
        if let Err(error) = &ended {
            self.store.pools.mark_broken_by(error, self.backend.get().copied());
        }
        ended
    }

    pub(in crate::store) async fn abandon(self, tx: Option<DatabaseTransaction>, is_broken: bool) {
        if is_broken && let Some(tx) = &tx {
            self.store.mark_connection_broken(tx).await;
        }
        let Some(tx) = tx else { return };
        if let Err(error) = self.store.pools.wait(ANSWER_TIMEOUT, tx.rollback()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a rollback failed; its connection is closed");
            self.store.pools.mark_broken_by(&error, self.backend.get().copied());
        }
    }
}
