//! Where cases run, one after the other: a file in memory, or one Postgres database whose schema is made anew.

use nizhal_tests::{Connection, Database, Kind, TempDir};

pub(super) enum Place {
    Sqlite { dir: TempDir, count: usize },
    Postgres(Database),
}

impl Place {
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
    pub(super) async fn fresh(&mut self) -> String {
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
