//! The adapters over the app's own database: hearing alone, or LISTEN and NOTIFY for several servers.

use super::{Adapter, AdapterError, Receiver};
use crate::{
    engine::Engine,
    store::{ExternalWrites, MAX_MESSAGE_BYTES, Notification},
};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// One server: others are not told. Writers from outside are heard all the same.
pub(crate) struct Local {
    pub(crate) engine: Arc<Engine>,
    /// This process among those that listen to the database.
    pub(crate) listener: u64,
}

/// Several servers on one Postgres.
pub(crate) struct Postgres(pub(crate) Local);

struct DatabaseReceiver {
    engine: Arc<Engine>,
    external_writes: ExternalWrites,
}

impl Local {
    async fn receiver(&self, with_messages: bool) -> Result<Box<dyn Receiver>, AdapterError> {
        let external_writes = self.engine.store.external_writes(self.listener, with_messages).await?;
        Ok(Box::new(DatabaseReceiver { engine: self.engine.clone(), external_writes }))
    }
}

impl Adapter for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn max_message_bytes(&self) -> Option<usize> {
        None
    }

    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Receiver>, AdapterError>> {
        Box::pin(self.receiver(false))
    }

    fn publish<'a>(&'a self, _: &'a [String]) -> BoxFuture<'a, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Adapter for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn max_message_bytes(&self) -> Option<usize> {
        Some(MAX_MESSAGE_BYTES)
    }

    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Receiver>, AdapterError>> {
        Box::pin(self.0.receiver(true))
    }

    fn publish<'a>(&'a self, messages: &'a [String]) -> BoxFuture<'a, Result<(), AdapterError>> {
        Box::pin(async { Ok(self.0.engine.store.publish(messages).await?) })
    }
}

impl Receiver for DatabaseReceiver {
    fn next(&mut self) -> BoxFuture<'_, Result<Notification, AdapterError>> {
        Box::pin(async { Ok(self.engine.store.next_notification(&mut self.external_writes).await?) })
    }
}
