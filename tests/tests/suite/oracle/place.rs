//! Where cases run, one after the other: a file in memory, or a Postgres database whose schema is made anew for each shape.

use super::{
    declare::declare,
    shape::{BLOBS, Shape, hash},
};
use nizhal::{DateTimeUtc, Uuid};
use nizhal_core::NodeId;
use nizhal_runtime::{
    engine::{Engine, Environment},
    hub::Hub,
    schema::Schema,
    store::{Store, StoreSettings},
};
use nizhal_tests::{Connection, Database, Kind, TempDir};
use std::sync::Arc;

pub(super) enum Location {
    Sqlite { dir: TempDir, count: usize },
    Postgres(Database),
}

impl Location {
    pub(super) async fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::Sqlite { dir: TempDir::in_memory("oracle"), count: 0 },
            Kind::Postgres => Self::Postgres(Database::new(kind).await),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Sqlite { .. } => Kind::Sqlite,
            Self::Postgres(_) => Kind::Postgres,
        }
    }

    /// An empty database; its URL.
    async fn fresh(&mut self) -> String {
        match self {
            Self::Sqlite { dir, count } => {
                for end in ["", "-wal", "-shm"] {
                    // The first case has none before it.
                    let _ = std::fs::remove_file(dir.path().join(format!("{count}.db{end}")));
                }
                *count += 1;
                format!("sqlite://{}", dir.path().join(format!("{count}.db")).display())
            }
            Self::Postgres(database) => {
                let mut db = database.connect().await;
                db.execute("drop schema public cascade; create schema public").await;
                database.url().to_owned()
            }
        }
    }

    /// A stranger's connection to it.
    pub(super) async fn connect(&self) -> Connection {
        match self {
            Self::Sqlite { dir, count } => Database::file(&dir.path().join(format!("{count}.db"))).connect().await,
            Self::Postgres(database) => database.connect().await,
        }
    }
}

struct Clock;

impl Environment for Clock {
    fn now(&self) -> DateTimeUtc {
        DateTimeUtc::UNIX_EPOCH
    }
    fn new_id(&self) -> Uuid {
        Uuid::nil()
    }
}

/// A database provisioned for one shape, and the engine on it. Cases of the shape share it, one after the other.
pub(super) struct Ground {
    pub(super) engine: Engine,
    pub(super) settings: StoreSettings,
    pub(super) schema: Arc<Schema>,
    /// A stranger's connection.
    pub(super) db: Connection,
    /// What makes it as good as new.
    clean: String,
}

impl Ground {
    pub(super) async fn new(shape: &Shape, place: &mut Location) -> Self {
        let declared = declare(shape);
        let schema = Arc::new(Schema::new(declared.tables, declared.rules, declared.mutators).expect("a sound schema"));
        let settings = StoreSettings { url: place.fresh().await, pool: 1 };
        let store = Store::connect(&settings, schema.clone()).await.expect("a database");
        store.provision().await.expect("provisioned");
        let mut db = place.connect().await;
        for digit in BLOBS {
            db.execute(&format!(
                "insert into _nizhal_blobs (sha256, size, mime, path, stored_ms) values ('{}', 7, 'image/png', '{digit}', 0)",
                hash(digit)
            ))
            .await;
        }
        let engine = Engine::new(schema.clone(), store, Hub::default(), Arc::new(Clock), NodeId(1));
        // The engine's tables last: the triggers write there.
        let engines = ["_nizhal_tombstones", "_nizhal_clients", "_nizhal_mutations", "_nizhal_bucket_sets"];
        let touched = (place.kind() == Kind::Sqlite).then_some("_nizhal_touched");
        let tables = shape.tables.iter().map(|table| table.name).chain(engines).chain(touched);
        let deletes: String = tables.map(|table| format!("delete from {table};")).collect();
        let clean = format!("begin; {deletes} update _nizhal_control set collected = 0; commit");
        Self { engine, settings, schema, db, clean }
    }

    pub(super) async fn clean(&mut self) {
        self.db.execute(&self.clean).await;
    }
}
