//! What the suites share: an engine over a database of its own, a clock that stands still, and tests that run on both databases.

use nizhal::{DateTimeUtc, Uuid};
use nizhal_core::NodeId;
use nizhal_core::wire::PushRequest;
use nizhal_runtime::engine::{Engine, Environment};
use nizhal_runtime::hub::Hub;
use nizhal_runtime::schema::Schema;
use nizhal_runtime::store::{Store, StoreSettings};
use nizhal_tests::Database;
use serde_json::{Value, json};
use std::sync::Arc;

/// An environment whose time does not move; its ids are fresh.
pub(crate) struct StoppedClock(pub(crate) DateTimeUtc);

impl Default for StoppedClock {
    fn default() -> Self {
        Self(DateTimeUtc::UNIX_EPOCH)
    }
}

impl Environment for StoppedClock {
    fn now(&self) -> DateTimeUtc {
        self.0
    }

    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// The store of a schema with at most `pool` connections; nothing is provisioned yet.
pub(crate) async fn store(database: &Database, schema: &Arc<Schema>, pool: u32) -> Store {
    let settings = StoreSettings { url: database.url().to_owned(), pool };
    Store::connect(&settings, schema.clone()).await.expect("a database")
}

/// An engine of a schema, over a database that it provisions, with two connections and a clock that stands still.
pub(crate) async fn engine(database: &Database, schema: Schema) -> Engine {
    let schema = Arc::new(schema);
    let store = store(database, &schema, 2).await;
    engine_over(schema, store, StoppedClock::default()).await
}

/// An engine over a store, which it provisions; to provision it again would change nothing.
pub(crate) async fn engine_over(schema: Arc<Schema>, store: Store, environment: impl Environment) -> Engine {
    store.provision().await.expect("provisioned");
    assert_eq!(store.plan().await.expect("a plan"), Vec::<String>::new(), "a second time does nothing");
    Engine::new(schema, store, Hub::default(), Arc::new(environment), NodeId(1))
}

/// The push of these mutations, read as the server reads it.
pub(crate) fn push_of(mutations: &[Value]) -> PushRequest {
    serde_json::from_str(&json!({"mutations": mutations}).to_string()).expect("a push")
}

/// Declares each async function, which takes the kind of database, as a test on Postgres and as one on SQLite.
macro_rules! both {
    ($($name:ident),* $(,)?) => {
        mod postgres {
            $(#[tokio::test] async fn $name() { super::$name(nizhal_tests::Kind::Postgres).await; })*
        }
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name(nizhal_tests::Kind::Sqlite).await; })*
        }
    };
}
pub(crate) use both;
