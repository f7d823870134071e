//! Each round trip of a push, of a pull and of a job's run to Postgres fails once, with each kind of error, or loses its connection
//! before or after it took effect; and after each what was acknowledged is in the database, and the rest is not.

mod job;
mod pull;
mod push;

use crate::fixture::{engine, push_of};
use nizhal::Principal;
use nizhal_core::wire::Wire;
use nizhal_runtime::engine::{Engine, PushReply};
use nizhal_runtime::schema::Schema;
use nizhal_tests::{COMMIT_FAULT, Connection, Database, Kind, StatementFault, StatementProxy};
use serde_json::{Value, json};

#[nizhal::claims]
pub(super) struct Claims {
    user_id: String,
    owner_id: String,
}

/// One of each kind that errors are sorted into: to be tried again at once, later, never, by nobody, and a transaction that a
/// statement before ended.
const FAULTS: [StatementFault; 7] = [
    StatementFault::Error("40001"),
    StatementFault::Error("53100"),
    StatementFault::Error("23514"),
    StatementFault::Error("XX000"),
    StatementFault::Error("25P02"),
    StatementFault::EndsBefore,
    StatementFault::EndsAfter,
];

/// More round trips than a push has.
const MANY: usize = 200;

/// An engine whose database is behind a proxy, and a way around it.
struct World {
    engine: Engine,
    proxy: StatementProxy,
    db: Connection,
    _database: Database,
}

fn ann() -> Principal {
    Principal::new(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() }, None)
}

impl World {
    async fn new(schema: Schema) -> Self {
        let database = Database::new(Kind::Postgres).await;
        let mut db = database.connect().await;
        db.execute(COMMIT_FAULT).await;
        let proxy = StatementProxy::start(database.url()).await;
        let engine = engine(&Database::at(&proxy.before(database.url())), schema).await;
        Self { engine, proxy, db, _database: database }
    }

    /// Pushes one mutation for each of these ids, of this name and with these arguments.
    async fn push(&self, name: &str, ids: &[String], args: impl Fn(&str) -> Value) -> PushReply {
        let mutation = |id: &String| json!({"name": name, "clientMutationId": id, "args": args(id)});
        let mutations: Vec<Value> = ids.iter().map(mutation).collect();
        self.engine.push(&ann(), Wire::Two, push_of(&mutations)).await
    }
}

/// Calls the test with each fault, which is to happen at each round trip until one is not reached, and with the number of the fault
/// and of the round trip; it says whether the fault did not happen. Of round trips there are to be at least so many.
pub(crate) async fn at_each_round_trip(
    faults: &[StatementFault],
    at_least: usize,
    mut test: impl AsyncFnMut(StatementFault, usize, usize) -> bool,
) {
    for (number, &fault) in faults.iter().enumerate() {
        let mut reached = 0;
        while reached < MANY && !test(fault, number, reached).await {
            reached += 1;
        }
        assert!((at_least..MANY).contains(&reached), "{fault:?}: {reached} round trips failed");
    }
}
