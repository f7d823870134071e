//! What rules may say beyond a bucket: `||`, public tables, lists of columns, claims that may be absent; on both databases.

use crate::fixture;
use nizhal::Principal;
use nizhal::prelude::*;
use nizhal_core::wire::{PullRequest, PushRequest, Wire};
use nizhal_runtime::engine::Engine;
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Address, Connection, Database, Device, Kind};
use serde_json::{Value, json};

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
    shop_id: Option<String>,
}

#[nizhal::table(name = "items")]
struct Item {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    state: Option<String>,
    urgent: Option<bool>,
    level: i32,
}

#[nizhal::table(name = "products")]
struct Product {
    #[nizhal(primary_key)]
    id: String,
    listed: bool,
    price: i64,
    margin: i64,
    client_id: Option<String>,
}

#[nizhal::table(name = "notes")]
struct Note {
    #[nizhal(primary_key)]
    id: String,
    shop: String,
}

#[nizhal::table(name = "desk_members", server_only)]
struct DeskMember {
    #[nizhal(primary_key)]
    id: String,
    shop: String,
    desk: String,
    role: Option<String>,
    active: bool,
}

#[nizhal::table(name = "tasks")]
struct Task {
    #[nizhal(primary_key)]
    id: String,
    desk: String,
}

sync_rules! {
    shapes for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Item where Item.owner == owner && Item.state == "open"
            || Item.owner == owner && (Item.urgent == true || Item.state != "done" && Item.level != 0);
    }

    public rule catalog() {
        Product { id, price } where Product.listed == true;
    }

    rule device(shop) {
        shop = actor.shop_id?;
        Note where Note.shop == shop;
    }

    #[max_buckets = 9]
    rule desks(desk) {
        desk in DeskMember.desk
            where DeskMember.shop == actor.shop_id? && (DeskMember.role == "head" || DeskMember.active == true);
        Task { id } where Task.desk == desk;
    }
}

/// What to write.
#[nizhal::args]
struct Put {
    /// The product.
    id: String,
}

async fn put(ctx: &mut Ctx<Claims>, id: String) -> Result<Applied> {
    ProductActive { id: Set(id), listed: Set(true), price: Set(1), margin: Set(1), client_id: Set(None) }
        .insert(ctx.db())
        .await?;
    Ok(Applied::done())
}

/// Anybody's.
#[mutator]
async fn sneak(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    put(ctx, args.id).await
}

/// Of those who keep the catalogue.
#[mutator(privileged(Product))]
async fn publish(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    put(ctx, args.id).await
}

async fn engine(database: &Database) -> Engine {
    let tables = tables![Item, Product, Note, DeskMember, Task];
    let schema = Schema::new(tables, shapes().into_inner(), mutators![sneak, publish]).expect("a sound schema");
    fixture::engine(database, schema).await
}

fn principal(shop: Option<&str>) -> Principal {
    let shop_id = shop.map(str::to_owned);
    Principal::new(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned(), shop_id }, None)
}

/// Pulls to the end; the last answer.
async fn pull(engine: &Engine, device: &mut Device, shop: Option<&str>) -> Value {
    loop {
        let request = json!({"cursor": device.cursor, "limit": 2}).to_string();
        let request: PullRequest = serde_json::from_str(&request).expect("a request");
        let page = engine.pull(&principal(shop), Wire::Two, request).await.expect("an answer");
        let body: Value = serde_json::from_slice(&page.body).expect("JSON");
        if !device.apply(&body).has_more {
            return body;
        }
    }
}

async fn push(engine: &Engine, name: &str, id: &str) -> Value {
    let body = json!({"mutations": [{"name": name, "args": {"id": id}, "clientMutationId": format!("{name}-{id}")}]});
    let request: PushRequest = serde_json::from_str(&body.to_string()).expect("a request");
    let pushed = engine.push(&principal(None), Wire::Two, request).await;
    json!(format!("{pushed:?}"))
}

fn device() -> Device {
    Device::new(&Address::default(), "d", "t").wire_two()
}

async fn shown(db: &mut Connection, sql: &str) -> Vec<String> {
    db.rows(sql).await.into_iter().flatten().flatten().collect()
}

/// The rule's condition as SQL has it, written by hand.
const MINE: &str = "select id from items where owner = 'ann' and deleted_at is null and (state = 'open' or urgent = true or \
    (state <> 'done' and level <> 0)) order by id";

async fn inv02_branches_show_what_their_condition_says(kind: Kind) {
    let database = Database::new(kind).await;
    let engine = engine(&database).await;
    let mut db = database.connect().await;
    let mut at = 0;
    for owner in ["'ann'", "'ben'"] {
        for state in ["'open'", "'done'", "'held'", "null"] {
            for urgent in ["true", "false", "null"] {
                for level in [0, 1] {
                    at += 1;
                    let values = format!("'i{at:02}', {owner}, {state}, {urgent}, {level}");
                    db.execute(&format!("insert into items (id, owner, state, urgent, level) values ({values})")).await;
                }
            }
        }
    }
    let mut device = device();
    pull(&engine, &mut device, None).await;
    let first = shown(&mut db, MINE).await;
    assert!(first.len() > 8 && first.len() < 20, "{first:?}");
    assert_eq!(device.ids("items"), first);
    // Each write takes some rows in and some out, by either side of `||`.
    for write in [
        "update items set urgent = null where state = 'done'",
        "update items set state = null where level = 1",
        "update items set urgent = true where state is null and id > 'i10'",
        "update items set state = 'open', urgent = null",
        "update items set state = 'held'",
        "update items set level = 0 where id < 'i08'",
        "delete from items where id > 'i20'",
    ] {
        db.execute(write).await;
        pull(&engine, &mut device, None).await;
        assert_eq!(device.ids("items"), shown(&mut db, MINE).await, "after {write}");
    }
}

async fn inv18_a_public_table_is_everybodys_to_read_and_nobodys_to_write(kind: Kind) {
    let database = Database::new(kind).await;
    let engine = engine(&database).await;
    let mut db = database.connect().await;
    db.execute("insert into products (id, listed, price, margin, client_id) values ('p1', true, 5, 770077, 'own-key')")
        .await;
    db.execute("insert into products (id, listed, price, margin) values ('p2', false, 6, 78)").await;
    let mut device = device();
    let body = pull(&engine, &mut device, None).await;
    assert_eq!(device.ids("products"), ["p1"]);
    let row = &body["changed"][0]["rows"][0];
    let names: Vec<&str> = row.as_object().expect("a row").keys().map(String::as_str).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(["id", "price", "updated_at", "deleted_at"].iter().all(|name| names.contains(name)), "{names:?}");
    assert!(
        engine.scope(&principal(None)).await.expect("a scope").iter().any(|bucket| bucket.qualified() == "catalog:*")
    );

    let refused = push(&engine, "sneak", "p3").await.to_string();
    assert!(refused.contains("Forbidden"), "{refused}");
    let allowed = push(&engine, "publish", "p4").await.to_string();
    assert!(!allowed.contains("Forbidden"), "{allowed}");
    db.execute("update products set listed = true where id = 'p2'").await;
    db.execute("update products set listed = false where id = 'p1'").await;
    let body = pull(&engine, &mut device, None).await.to_string();
    assert_eq!(device.ids("products"), ["p2", "p4"]);
    // Neither what is not listed nor the device's own id for the row, which is not listed either.
    assert!(!body.contains("margin") && !body.contains("770077") && !body.contains("own-key"), "{body}");
    db.execute("delete from products where id = 'p4'").await;
    pull(&engine, &mut device, None).await;
    assert_eq!(device.ids("products"), ["p2"]);
}

async fn inv02_an_absent_claim_has_no_bucket(kind: Kind) {
    let database = Database::new(kind).await;
    let engine = engine(&database).await;
    let mut db = database.connect().await;
    // An absent claim is not the empty text.
    db.execute("insert into notes (id, shop) values ('n1', 's1'), ('n2', '')").await;
    db.execute("insert into tasks (id, desk) values ('t1', 'd1'), ('t2', 'd2'), ('t3', 'd3'), ('t4', 'd4')").await;
    let members = "('m1', 's1', 'd1', 'head', false), ('m2', 's1', 'd2', null, false), ('m3', '', 'd3', 'head', true), \
        ('m4', 's1', 'd4', null, true)";
    db.execute(&format!("insert into desk_members (id, shop, desk, role, active) values {members}")).await;
    let mut without = device();
    pull(&engine, &mut without, None).await;
    assert_eq!((without.ids("notes").len(), without.ids("tasks").len()), (0, 0));
    let mut with = device();
    pull(&engine, &mut with, Some("s1")).await;
    assert_eq!((with.ids("notes"), with.ids("tasks")), (vec!["n1"], vec!["t1", "t4"]));
    let task = &with.rows[&("tasks".to_owned(), "t1".to_owned())];
    assert!(task.get("desk").is_none(), "a column may scope rows and not be listed: {task}");
    // The claim goes, and so do the buckets.
    let body = pull(&engine, &mut with, None).await;
    assert_eq!(body["removedBuckets"], json!(["desks:d1", "desks:d4", "device:s1"]));
}

#[test]
fn the_contract_says_what_is_public_and_what_is_listed() {
    let tables = tables![Item, Product, Note, DeskMember, Task];
    let schema = Schema::new(tables, shapes().into_inner(), Vec::new()).expect("a sound schema");
    let bytes = nizhal_runtime::contract::Contract::new("shapes", "1.0.0", &schema).bytes().to_vec();
    let document: Value = serde_json::from_slice(&bytes).expect("JSON");
    let part = &document["x-nizhal"];
    assert_eq!(part["rules"]["catalog"]["public"], true);
    assert_eq!(part["rules"]["mine"].get("public"), None);
    assert_eq!(part["rules"]["desks"]["maxBuckets"], 9);
    let columns: Vec<&str> = part["tables"]["products"]["columns"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(columns, ["id", "price"]);
    let row = &document["components"]["schemas"]["products"]["properties"];
    let names: Vec<&String> = row.as_object().expect("properties").keys().collect();
    assert_eq!(names, ["deleted_at", "id", "price", "updated_at"]);
    assert!(!String::from_utf8_lossy(&bytes).contains("margin"));
}

#[tokio::test]
async fn on_postgres() {
    inv02_branches_show_what_their_condition_says(Kind::Postgres).await;
    inv18_a_public_table_is_everybodys_to_read_and_nobodys_to_write(Kind::Postgres).await;
    inv02_an_absent_claim_has_no_bucket(Kind::Postgres).await;
}

#[tokio::test]
async fn on_sqlite() {
    inv02_branches_show_what_their_condition_says(Kind::Sqlite).await;
    inv18_a_public_table_is_everybodys_to_read_and_nobodys_to_write(Kind::Sqlite).await;
    inv02_an_absent_claim_has_no_bucket(Kind::Sqlite).await;
}
