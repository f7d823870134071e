//! Another set of rules over the same data: devices get what was added, lose what was dropped, and nobody starts again.

use crate::fixture;
use nizhal::prelude::*;
use nizhal::{Principal, Rules, TableDesc};
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_runtime::engine::{Engine, PullError};
use nizhal_runtime::schema::Schema;
use nizhal_runtime::store::StoreError;
use nizhal_tests::{Address, Connection, Database, Device, Kind, Page};
use serde_json::{Value, json};

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "items")]
struct Item {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    hidden: bool,
    state: String,
}

#[nizhal::table(name = "notes")]
struct Note {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    public: bool,
}

/// The items after a column was dropped by hand.
mod later {
    use super::*;

    #[nizhal::table(name = "items")]
    pub(super) struct Item {
        #[nizhal(primary_key)]
        id: String,
        owner: String,
        state: String,
    }

    sync_rules! {
        pub(super) open for Claims;

        rule mine(owner) {
            owner = actor.user_id;
            Item where Item.owner == owner && Item.state == "open";
        }
    }
}

sync_rules! {
    visible for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Item where Item.owner == owner && Item.hidden == false;
    }

    rule notes(owner) {
        owner = actor.user_id;
        Note where Note.owner == owner && Note.public == true;
    }
}

sync_rules! {
    open for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Item where Item.owner == owner && Item.state == "open";
        Note where Note.owner == owner;
    }

    rule notes(owner) {
        owner = actor.user_id;
        Note where Note.owner == owner && Note.public == true;
    }
}

sync_rules! {
    only_items for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Item where Item.owner == owner && Item.hidden == false;
    }
}

/// A server of these rules; it provisions the database as it starts.
async fn server(database: &Database, tables: Vec<&'static TableDesc>, rules: Rules<Claims>) -> Engine {
    let schema = Schema::new(tables, rules.into_inner(), Vec::new()).expect("a sound schema");
    fixture::engine(database, schema).await
}

async fn ask(engine: &Engine, cursor: &str, limit: i64) -> Result<Value, PullError> {
    let principal = Principal::new(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() }, None);
    let request = json!({"cursor": cursor, "limit": limit}).to_string();
    let request: PullRequest = serde_json::from_str(&request).expect("a request");
    let page = engine.pull(&principal, Wire::Two, request).await?;
    Ok(serde_json::from_slice(&page.body).expect("JSON"))
}

fn device() -> Device {
    Device::new(&Address::default(), "d", "t").wire_two()
}

/// Pulls to the end; whether the device was told to start again.
async fn pull(engine: &Engine, device: &mut Device) -> bool {
    let mut reset = false;
    loop {
        let body = ask(engine, &device.cursor, 2).await.expect("an answer");
        let page: Page = device.apply(&body);
        reset |= body["cursorReset"] == true;
        if !page.has_more {
            return reset;
        }
    }
}

async fn shown(db: &mut Connection, sql: &str) -> Vec<String> {
    db.rows(sql).await.into_iter().flatten().flatten().collect()
}

const VISIBLE: &str = "select id from items where owner = 'ann' and hidden = false and deleted_at is null order by id";
const OPEN: &str = "select id from items where owner = 'ann' and state = 'open' and deleted_at is null order by id";

async fn changed_rules_add_and_drop(kind: Kind) {
    let database = Database::new(kind).await;
    let tables = || tables![Item, Note];
    let old = server(&database, tables(), visible()).await;
    let mut db = database.connect().await;
    for (id, hidden, state) in [
        ("i1", "false", "open"),
        ("i2", "false", "closed"),
        ("i3", "true", "open"),
        ("i4", "false", "closed"),
        ("i5", "false", "open"),
        ("i6", "true", "closed"),
    ] {
        let values = format!("'{id}', 'ann', {hidden}, '{state}'");
        db.execute(&format!("insert into items (id, owner, hidden, state) values ({values})")).await;
    }
    db.execute("insert into notes (id, owner, public) values ('n1', 'ann', false), ('n2', 'ann', true)").await;
    let (mut whole, mut begun, mut behind) = (device(), device(), device());
    pull(&old, &mut whole).await;
    pull(&old, &mut behind).await;
    assert_eq!(whole.ids("items"), shown(&mut db, VISIBLE).await);
    let page = ask(&old, "", 1).await.expect("an answer");
    begun.apply(&page);
    assert_eq!(page["hasMore"], true);
    // What leaves before the change, and is not pulled until after it.
    db.execute("update items set hidden = true, state = 'closed' where id = 'i5'").await;

    let new = server(&database, tables(), open()).await;
    assert!(matches!(ask(&old, "", 1).await, Err(PullError::Store(StoreError::OtherRules))));
    // Shown by the old rules alone, and written again.
    db.execute("update items set hidden = true where id = 'i4'").await;
    for device in [&mut whole, &mut begun] {
        assert!(!pull(&new, device).await, "nobody starts again");
        assert_eq!(device.ids("items"), shown(&mut db, OPEN).await);
        assert_eq!(device.ids("notes"), ["n1", "n2"]);
    }

    let older = server(&database, tables(), visible()).await;
    for device in [&mut whole, &mut behind] {
        assert!(!pull(&older, device).await);
        assert_eq!(device.ids("items"), shown(&mut db, VISIBLE).await);
        assert_eq!(device.ids("notes"), ["n2"], "the other rule still shows it");
    }
    assert!(matches!(ask(&new, "", 1).await, Err(PullError::Store(StoreError::OtherRules))));
}

async fn a_table_that_is_synced_no_more_starts_devices_again(kind: Kind) {
    let database = Database::new(kind).await;
    let old = server(&database, tables![Item, Note], visible()).await;
    let mut db = database.connect().await;
    db.execute("insert into items (id, owner, hidden, state) values ('i1', 'ann', false, 'open')").await;
    db.execute("insert into notes (id, owner, public) values ('n1', 'ann', true)").await;
    let mut device = device();
    pull(&old, &mut device).await;
    assert_eq!(device.rows.len(), 2);
    let new = server(&database, tables![Item, Note], only_items()).await;
    assert!(pull(&new, &mut device).await);
    assert_eq!((device.ids("items"), device.rows.len()), (vec!["i1"], 1));
    assert!(!pull(&new, &mut device).await);
}

async fn a_column_that_went_starts_devices_again(kind: Kind) {
    let database = Database::new(kind).await;
    let old = server(&database, tables![Item, Note], visible()).await;
    let mut db = database.connect().await;
    let values = "('i1', 'ann', false, 'closed'), ('i2', 'ann', false, 'open')";
    db.execute(&format!("insert into items (id, owner, hidden, state) values {values}")).await;
    let mut device = device();
    pull(&old, &mut device).await;
    db.execute("alter table items drop column hidden").await;
    let items = const { &<later::Item as nizhal::Table>::DESC };
    let new = server(&database, vec![items], later::open()).await;
    assert!(pull(&new, &mut device).await, "the old condition cannot be asked any more");
    assert_eq!(device.ids("items"), ["i2"]);
    assert!(!pull(&new, &mut device).await);
}

#[tokio::test]
async fn rules_change_on_postgres() {
    changed_rules_add_and_drop(Kind::Postgres).await;
    a_table_that_is_synced_no_more_starts_devices_again(Kind::Postgres).await;
    a_column_that_went_starts_devices_again(Kind::Postgres).await;
}

#[tokio::test]
async fn rules_change_on_sqlite() {
    changed_rules_add_and_drop(Kind::Sqlite).await;
    // SQLite drops no column that a trigger names, so that case is Postgres' alone.
    a_table_that_is_synced_no_more_starts_devices_again(Kind::Sqlite).await;
}
