//! A database begun anew: the engine's parts made again around the app's rows, or the app's tables dropped with them.

use super::{
    database::{Backend, Store},
    ddl,
    error::StoreError,
    replay,
    sql::{self, VERSION},
};

/// The tables that the engine can make anew. Stored answers, sequences of devices, numbers that were given, jobs that wait and the audit
/// log are not among them: the rows that stay came of those, and a device sends again what it has no answer to.
const ANEW: [&str; 7] = [
    "_nizhal_control",
    "_nizhal_tombstones",
    "_nizhal_deletes",
    "_nizhal_rules",
    "_nizhal_bucket_sets",
    "_nizhal_lives",
    "_nizhal_touched",
];

/// Tables that are kept and hold versions, with their columns.
const KEEPERS: [(&str, &str); 2] = [("last_version", "_nizhal_clients"), ("version", "_nizhal_audit")];

impl Store {
    /// Drops the engine's parts and makes them anew: the app's rows stay as they are, and the epoch is another, so that every
    /// device starts again.
    ///
    /// # Errors
    /// As for [`plan`](Self::plan).
    pub async fn reset(&self) -> Result<(), StoreError> {
        self.check_owner().await?;
        let tables: Vec<String> = ANEW.map(sql::quote).into();
        // Versions go on where they were, for rows keep theirs.
        let synced = self.schema.synced();
        let rows = synced.iter().map(|table| (VERSION, table.name)).chain(KEEPERS);
        let last: Vec<String> = rows
            .map(|(version, table)| format!("coalesce((select max({version}) from {}), 1)", sql::quote(table)))
            .collect();
        match &self.backend {
            Backend::Postgres(store) => {
                store.drop_engine(&tables).await?;
                self.provision().await?;
                store.continue_clock(&last).await
            }
            Backend::Sqlite(store) => {
                store.drop_engine(&tables).await?;
                self.provision().await?;
                store.continue_clock(&last).await
            }
        }
    }

    /// Drops the app's tables and all of the engine's: everything is lost.
    ///
    /// # Errors
    /// When the database fails, or something else in it depends on one of the tables.
    pub async fn drop_tables(&self) -> Result<(), StoreError> {
        self.check_owner().await?;
        let engine = ddl::engine_tables(self.dialect()).into_iter().map(|(name, _)| name);
        let images = replay::images(self.dialect(), &self.schema);
        let images = images.iter().map(|images| images.name.as_str());
        let tables: Vec<String> =
            engine.chain(images).chain(self.schema.tables().iter().map(|table| table.name)).map(sql::quote).collect();
        match &self.backend {
            Backend::Postgres(store) => store.drop_all(&tables).await,
            Backend::Sqlite(store) => store.drop_all(&tables).await,
        }
    }
}
