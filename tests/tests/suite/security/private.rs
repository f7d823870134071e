//! Invariants 2 and 18: what is kept from devices changes without their hearing of it, and is judged all the same.

use super::world::{Claims, actor, mutation, told};
use crate::fixture::{self, both, push_of};
use nizhal::prelude::*;
use nizhal::{Bucket, SystemEnvironment};
use nizhal_core::NodeId;
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_runtime::engine::Engine;
use nizhal_runtime::hub::{Hub, Listener};
use nizhal_runtime::schema::Schema;
use nizhal_runtime::store::{Audit, AuditEntry, AuditQuery};
use nizhal_tests::{Connection, Database, Kind};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

both![
    inv02_a_private_column_changes_without_a_word,
    inv18_a_private_column_of_another_tenant_is_not_written,
    inv01_what_decides_who_sees_a_row_is_told_though_it_is_private,
    inv01_what_a_trigger_makes_of_a_private_column_is_told,
];

/// A column that no device may see.
#[nizhal::table(name = "accounts")]
struct Account {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    name: String,
    #[nizhal(private, default = "")]
    secret: String,
    /// Private, and a condition of the rule.
    #[nizhal(private, default = false)]
    hidden: bool,
}

/// The same, merging column by column.
#[nizhal::table(name = "cards", merge = "field")]
struct Card {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    name: String,
    #[nizhal(private, default = "")]
    secret: String,
    #[nizhal(private, default = false)]
    hidden: bool,
}

/// Columns that the rule leaves out.
#[nizhal::table(name = "sheets")]
struct Sheet {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    name: String,
    #[nizhal(default = "")]
    secret: String,
    #[nizhal(default = false)]
    hidden: bool,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Account where Account.owner == owner && Account.hidden == false;
        Card where Card.owner == owner && Card.hidden == false;
        Sheet { id, owner, name } where Sheet.owner == owner && Sheet.hidden == false;
    }
}

#[nizhal::args]
struct Run {
    sql: String,
}

#[mutator]
async fn run(ctx: &mut Ctx<Claims>, args: Run) -> Result<Applied> {
    ctx.db().execute_unprepared(&args.sql).await?;
    Ok(Applied::done())
}

const TABLES: [&str; 3] = ["accounts", "cards", "sheets"];

struct Kept {
    engine: Engine,
    db: Connection,
    cursor: String,
    listener: Listener,
    _database: Database,
}

impl Kept {
    async fn new(kind: Kind) -> Self {
        let database = Database::new(kind).await;
        let schema = Schema::new(tables![Account, Card, Sheet], rules().into_inner(), mutators![run]);
        let schema = Arc::new(schema.expect("a sound schema"));
        let store = fixture::store(&database, &schema, 2).await.with_audit(Audit::On { args: false });
        store.provision().await.expect("provisioned");
        assert_eq!(store.plan().await.expect("a plan"), Vec::<String>::new(), "a second time does nothing");
        let hub = Hub::default();
        let mut listener = hub.listen();
        listener.listen_to(BTreeSet::from([Bucket::new("mine", vec!["ann".to_owned()])]));
        let engine = Engine::new(schema, store, hub, Arc::new(SystemEnvironment), NodeId(1));
        let mut db = database.connect().await;
        for table in TABLES {
            db.execute(&format!(
                "insert into {table} (id, owner, name) values ('a', 'ann', 'A'), ('b', 'ann', 'B'), ('c', 'ben', 'C')"
            ))
            .await;
        }
        let mut kept = Self { engine, db, cursor: String::new(), listener, _database: database };
        assert_eq!(kept.heard().await.len(), 6, "ann has two rows of each");
        kept
    }

    /// What ann's device is sent since it last asked: the table and id of each row, a sign before it.
    async fn heard(&mut self) -> Vec<String> {
        let request = json!({"cursor": self.cursor, "deviceId": "phone"});
        let request: PullRequest = serde_json::from_value(request).expect("a pull");
        let page = self.engine.pull(&actor("ann"), Wire::Two, request).await.expect("a page");
        let said: Value = serde_json::from_slice(&page.body).expect("JSON");
        self.cursor = said["cursor"].as_str().expect("a cursor").to_owned();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let mut heard = Vec::new();
        for batch in said["changed"].as_array().into_iter().flatten() {
            let rows = batch["rows"].as_array().into_iter().flatten();
            heard.extend(rows.map(|row| format!("+{} {}", text(&batch["table"]), text(&row["id"]))));
        }
        for list in ["tombstoned", "removed"] {
            let gone = said[list].as_array().into_iter().flatten();
            heard.extend(gone.map(|gone| format!("-{} {}", text(&gone["table"]), text(&gone["id"]))));
        }
        heard.sort();
        heard
    }

    async fn ran(&self, sql: &str) -> String {
        self.listener.take_batch();
        let reply = self.engine.push(&actor("ann"), Wire::Two, push_of(&[mutation("run", &json!({"sql": sql}))])).await;
        told(&reply).join(" ")
    }

    /// Whether listeners were told of the last mutation.
    fn is_pinged(&self) -> bool {
        !self.listener.take_batch().pings.is_empty()
    }

    /// The engine's and the hidden columns of a row.
    async fn row(&mut self, table: &str, id: &str) -> Vec<Option<String>> {
        let columns = "cast(_nizhal_version as text), cast(updated_at as text), secret, name";
        self.db.rows(&format!("select {columns} from {table} where id = '{id}'")).await.remove(0)
    }
}

async fn inv02_a_private_column_changes_without_a_word(kind: Kind) {
    let mut kept = Kept::new(kind).await;
    for table in TABLES {
        let before = kept.row(table, "a").await;
        assert_eq!(kept.ran(&format!("update {table} set secret = 'x' where owner = 'ann'")).await, "applied");
        assert!(!kept.is_pinged(), "{table}");
        kept.db.execute(&format!("update {table} set secret = 'y' where id in ('a', 'c')")).await;
        let after = kept.row(table, "a").await;
        assert_eq!((&after[..2], &after[3]), (&before[..2], &before[3]), "{table}");
        assert_eq!(after[2].as_deref(), Some("y"), "{table}");
        assert_eq!(kept.heard().await, Vec::<String>::new(), "{table}");
        let page =
            kept.engine.store().audit(&AuditQuery { limit: 100, ..AuditQuery::default() }).await.expect("a page");
        let has = |entry: &&AuditEntry| entry.tables == format!("[\"{table}\"]") && entry.buckets.contains("mine:ann");
        assert_eq!(page.entries.iter().filter(has).count(), 1, "the audit log has it");
        // What is told together with it is told, of its own row alone.
        let both = format!(
            "update {table} set secret = 'z', name = case when id = 'b' then 'BB' else name end where owner = 'ann'"
        );
        assert_eq!(kept.ran(&both).await, "applied");
        assert!(kept.is_pinged(), "{table}");
        assert_eq!(kept.heard().await, [format!("+{table} b")]);
        kept.db.execute(&format!("update {table} set secret = 'w', name = 'AA' where id = 'a'")).await;
        assert_eq!(kept.heard().await, [format!("+{table} a")]);
        let twice = format!(
            "update {table} set name = 'AAA' where id = 'a'; update {table} set secret = 'v' where id = 'a'; \
             update {table} set secret = 'u' where id = 'b'; delete from {table} where id = 'b'"
        );
        assert_eq!(kept.ran(&twice).await, "applied");
        assert_eq!(kept.heard().await, [format!("+{table} a"), format!("-{table} b")]);
    }
}

async fn inv18_a_private_column_of_another_tenant_is_not_written(kind: Kind) {
    let mut kept = Kept::new(kind).await;
    for table in TABLES {
        let before = kept.row(table, "c").await;
        for set in ["secret = 'x'", "hidden = true", "name = name", "secret = 'x', name = 'x'"] {
            assert_eq!(
                kept.ran(&format!("update {table} set {set} where id = 'c'")).await,
                "forbidden",
                "{table} {set}"
            );
        }
        let mixed = format!("update {table} set secret = 'x'");
        assert_eq!(kept.ran(&mixed).await, "forbidden", "{table}");
        assert_eq!(kept.row(table, "c").await, before, "{table}");
    }
    assert_eq!(kept.heard().await, Vec::<String>::new());
}

async fn inv01_what_decides_who_sees_a_row_is_told_though_it_is_private(kind: Kind) {
    let mut kept = Kept::new(kind).await;
    for table in TABLES {
        assert_eq!(kept.ran(&format!("update {table} set hidden = true where id = 'a'")).await, "applied");
        assert_eq!(kept.heard().await, [format!("-{table} a")]);
        assert_eq!(kept.ran(&format!("update {table} set secret = 'x' where id = 'a'")).await, "applied");
        assert_eq!(kept.heard().await, Vec::<String>::new());
        kept.db.execute(&format!("update {table} set hidden = false where id = 'a'")).await;
        assert_eq!(kept.heard().await, [format!("+{table} a")]);
    }
}

/// A trigger of the app's own, which runs after ours, writes a column that devices see.
async fn inv01_what_a_trigger_makes_of_a_private_column_is_told(kind: Kind) {
    let mut kept = Kept::new(kind).await;
    // A merge on SQLite is an update of its own, which writes what was sent over what such a trigger wrote.
    for table in TABLES.into_iter().filter(|table| kind == Kind::Postgres || *table != "cards") {
        let trigger = match kind {
            Kind::Postgres => format!(
                "create function zz_{table}() returns trigger language plpgsql as $$ begin new.name := new.secret; return new; end $$; \
                 create trigger zz before update on {table} for each row execute function zz_{table}()"
            ),
            Kind::Sqlite => format!(
                "create trigger zz_{table} after update of secret on {table} begin \
                 update {table} set name = new.secret where id = new.id; end"
            ),
        };
        kept.db.execute(&trigger).await;
        kept.db.execute(&format!("update {table} set secret = 'x' where id = 'a'")).await;
        assert_eq!(kept.heard().await, [format!("+{table} a")]);
        assert_eq!(kept.row(table, "a").await[3].as_deref(), Some("x"), "{table}");
    }
}
