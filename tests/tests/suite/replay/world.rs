//! A server with shops that are replayed, and what is in its database.

use super::{
    app,
    plain::{Act, Outcome},
};
use crate::fixture::{self, StoppedClock, push_of};
use nizhal::{DateTimeUtc, Principal};
use nizhal_core::wire::Wire;
use nizhal_runtime::engine::{Engine, PushError, PushReply, Verdict};
use nizhal_runtime::schema::Schema;
use nizhal_runtime::store::Audit;
use nizhal_tests::{Connection, Database, Kind};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// When the server's clock stands.
pub(super) const NOW: &str = "2026-12-01T00:00:00Z";

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) db: Connection,
    pub(super) database: Database,
}

impl World {
    pub(super) async fn new(kind: Kind) -> Self {
        Self::of(Database::new(kind).await, app::schema()).await
    }

    /// That of an app over this database.
    pub(super) async fn of(database: Database, schema: Schema) -> Self {
        let engine = engine(&database, schema, NOW).await;
        let db = database.connect().await;
        Self { engine, db, database }
    }

    /// The same database, of a server whose clock stands elsewhere.
    pub(super) async fn at(self, now: &str) -> Self {
        let engine = engine(&self.database, app::schema(), now).await;
        Self { engine, ..self }
    }

    /// Has another release of the app serve from now on.
    pub(super) async fn deploy(&mut self, schema: Schema) {
        self.engine = engine(&self.database, schema, NOW).await;
    }

    /// Lets the users work in a shop.
    pub(super) async fn open(&mut self, shop: &str, users: &[&str]) {
        for user in users {
            self.db.execute(&format!("insert into members (shop, user_id) values ('{shop}', '{user}')")).await;
        }
    }

    pub(super) async fn push(&self, user: &str, mutations: &[Value]) -> PushReply {
        self.engine.push(&Principal::new(app::claims(user), None), Wire::Two, push_of(mutations)).await
    }

    /// Has a device send what it did, in one request.
    pub(super) async fn arrive(&self, shop: &str, acts: &[Act]) {
        let sent: Vec<Value> = acts.iter().map(|act| act.sent(shop)).collect();
        let reply = self.push("ann", &sent).await;
        assert!(reply.fault.is_none() && reply.answers.len() == acts.len(), "{reply:?}");
    }

    /// What is in the database of a shop.
    pub(super) async fn outcome(&mut self, shop: &str) -> Outcome {
        let mut rows = Vec::new();
        for (name, columns, table) in [
            ("stock", "item, quantity", "stock"),
            ("order", "id, item, quantity", "orders"),
            ("slot", "slot, replace(holder, shop || '/', '')", "slots"),
            ("entry", "id, amount, balance", "entries"),
        ] {
            for row in self.db.rows(&format!("select {columns} from {table} where shop = '{shop}'")).await {
                let values: Vec<String> = row.into_iter().map(Option::unwrap_or_default).collect();
                rows.push(format!("{name} {}", values.join(" ")));
            }
        }
        rows.sort();
        let sql = format!(
            "select client_mutation_id, status from _nizhal_mutations where client_mutation_id like '{shop}:%'"
        );
        let mut applied = BTreeMap::new();
        for row in self.db.rows(&sql).await {
            let (id, status) = (row[0].as_deref().unwrap_or_default(), row[1].as_deref().unwrap_or_default());
            applied.insert(id.trim_start_matches(&format!("{shop}:")).to_owned(), status == "applied");
        }
        Outcome { rows, applied }
    }

    /// What the context gave the orders of a shop: ids, random numbers, times.
    pub(super) async fn given(&mut self, shop: &str) -> Vec<Vec<Option<String>>> {
        let sql = format!(
            "select id, cast(luck as text), lower(cast({} as text)), cast(made_at as text) from orders where shop = '{shop}' order by id",
            if self.database.kind() == Kind::Postgres { "token" } else { "hex(token)" }
        );
        self.db.rows(&sql).await
    }
}

async fn engine(database: &Database, schema: Schema, now: &str) -> Engine {
    let schema = Arc::new(schema);
    let store = fixture::store(database, &schema, 16).await.with_audit(Audit::On { args: false });
    let now: DateTimeUtc = now.parse().expect("a time");
    fixture::engine_over(schema, store, StoppedClock(now)).await
}

/// Who works in the shops.
pub(super) fn ann() -> Principal {
    Principal::new(app::claims("ann"), None)
}

/// What became of each mutation.
pub(super) fn told(reply: &PushReply) -> Vec<&'static str> {
    let answers = reply.answers.iter().map(|answer| match &answer.verdict {
        Verdict::Applied(_) => "applied",
        Verdict::Duplicate(_) => "duplicate",
        Verdict::Refused(PushError::Rejected(_)) => "rejected",
        Verdict::Refused(PushError::Forbidden) => "forbidden",
        Verdict::Refused(PushError::MutatorPanicked) => "panicked",
        Verdict::Refused(_) => "refused",
        Verdict::Barred(_) => "barred",
    });
    answers.collect()
}
