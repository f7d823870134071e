//! Columns of the app's own types: ids, enums of texts, typed JSON, arrays, and what the database generates.

use crate::fixture::{self, engine, push_of, store};
use nizhal::prelude::*;
use nizhal::{Principal, Rules};
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_runtime::engine::{Engine, Verdict};
use nizhal_runtime::schema::{Schema, SchemaError};
use nizhal_tests::{Database, Kind};
use serde_json::{Value, json};
use std::sync::Arc;

#[nizhal::id]
struct ShopId(String);
#[nizhal::id]
struct TicketId(Uuid);
#[nizhal::id]
struct Location(i64);

#[nizhal::text_enum]
enum Status {
    Open,
    InProgress,
    #[nizhal(rename = "done")]
    Closed,
}

#[nizhal::args]
#[derive(PartialEq)]
struct Line {
    item: String,
    price: Decimal,
}

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
    shop: ShopId,
}

#[nizhal::table(name = "tickets", merge = "field")]
struct Ticket {
    #[nizhal(primary_key)]
    id: TicketId,
    shop: ShopId,
    place: Option<Location>,
    /// What it costs, with tax.
    #[nizhal(generated = "quantity * 3")]
    total: i64,
    #[nizhal(default = "open")]
    status: Status,
    before: Option<Status>,
    lines: Json<Vec<Line>>,
    extra: Option<Json<Line>>,
    quantity: i64,
}

/// The same table a version later: one text more, and a generated column more.
#[nizhal::text_enum]
enum NewStatus {
    Open,
    InProgress,
    Done,
    Lost,
}
#[nizhal::table(name = "tickets", merge = "field")]
struct NewTicket {
    #[nizhal(primary_key)]
    id: TicketId,
    shop: ShopId,
    status: NewStatus,
    lines: Json<Vec<Line>>,
    quantity: i64,
    #[nizhal(generated = "quantity * 3")]
    total: i64,
    #[nizhal(generated = "quantity + 1")]
    more: i64,
}

#[nizhal::table(name = "lists")]
struct List {
    #[nizhal(primary_key)]
    id: String,
    shop: ShopId,
    tags: Vec<String>,
    numbers: Vec<i64>,
    moments: Option<Vec<DateTimeUtc>>,
    ids: Vec<Uuid>,
    flags: Vec<bool>,
}

sync_rules! {
    rules for Claims;

    rule my_shop(shop) {
        shop = actor.shop;
        Ticket where Ticket.shop == shop && Ticket.status != "done";
    }
}

sync_rules! {
    new_rules for Claims;
    rule my_shop(shop) { shop = actor.shop; NewTicket where NewTicket.shop == shop && NewTicket.status != "done"; }
}

sync_rules! {
    list_rules for Claims;
    rule my_shop(shop) { shop = actor.shop; List where List.shop == shop; }
}

/// As `sync_rules!` writes it, but for what makes rustc refuse the text.
fn mistyped() -> Rules<Claims> {
    Rules::new().rule("myShop", "", |rule| {
        let shop = rule.claim("shop", |claims: &Claims| &claims.shop);
        rule.table::<Ticket>(|table| {
            table.scope(Ticket::COLS.shop, &shop);
            table.equal(Ticket::COLS.status, "opn");
        });
    })
}

#[nizhal::args]
struct Write {
    id: TicketId,
    status: Status,
    quantity: i64,
}

#[mutator]
async fn write(ctx: &mut Ctx<Claims>, args: Write) -> Result<Applied> {
    let shop = ctx.actor().shop.clone();
    if let Some(ticket) = Ticket::find_by_id(args.id).one(ctx.db()).await? {
        let before = ticket.status;
        let mut active = ticket.into_active_model();
        (active.status, active.before) = (Set(args.status), Set(Some(before)));
        active.quantity = Set(args.quantity);
        let written = active.update(ctx.db()).await?;
        return if written.total == args.quantity * 3 { Ok(Applied::done()) } else { Err(reject!("{written:?}")) };
    }
    let line = Line { item: "tea".to_owned(), price: "1.50".parse().map_err(nizhal::Error::internal)? };
    let written = TicketActive {
        id: Set(args.id),
        shop: Set(shop),
        place: Set(Some(Location(9_007_199_254_740_993))),
        status: Set(args.status),
        lines: Set(Json(vec![line])),
        quantity: Set(args.quantity),
        ..Default::default()
    }
    .insert(ctx.db())
    .await?;
    if written.total != args.quantity * 3 || written.lines[0].item != "tea" {
        return Err(reject!("{written:?}"));
    }
    Ok(Applied::done())
}

#[nizhal::args]
struct Nothing {}

#[mutator]
async fn fill(ctx: &mut Ctx<Claims>, _args: Nothing) -> Result<Applied> {
    let active = ListActive {
        id: Set("l1".to_owned()),
        shop: Set(ctx.actor().shop.clone()),
        tags: Set(vec!["a\"{}".to_owned(), String::new(), "é".to_owned()]),
        numbers: Set(vec![i64::MIN, 7]),
        moments: Set(Some(vec![DateTimeUtc::UNIX_EPOCH])),
        ids: Set(Vec::new()),
        flags: Set(vec![true, false]),
    };
    let written = active.insert(ctx.db()).await?;
    let found = List::find().filter(ListColumn::Shop.eq(ctx.actor().shop.clone())).one(ctx.db()).await?;
    if found.as_ref() != Some(&written) || written.numbers != [i64::MIN, 7] {
        return Err(reject!("{found:?}"));
    }
    Ok(Applied::done())
}

fn ann() -> Principal {
    let shop = ShopId("s1".to_owned());
    Principal::new(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned(), shop }, None)
}

async fn push(engine: &Engine, id: &str, name: &str, args: &Value) -> Verdict {
    let push = push_of(&[json!({"name": name, "args": args, "clientMutationId": id})]);
    let mut reply = engine.push(&ann(), Wire::One, push).await;
    assert!(reply.fault.is_none(), "{:?}", reply.fault);
    reply.answers.remove(0).verdict
}

/// The rows of a first pull, without the moment of their last write.
async fn rows(engine: &Engine) -> Vec<Value> {
    let request: PullRequest = serde_json::from_value(json!({"cursor": ""})).expect("a pull");
    let page = engine.pull(&ann(), Wire::One, request).await.expect("a page");
    let page: Value = serde_json::from_slice(&page.body).expect("JSON");
    let mut rows: Vec<Value> = page["changed"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|table| table["rows"].as_array().unwrap())
        .cloned()
        .collect();
    for row in &mut rows {
        row.as_object_mut().expect("a row").remove("updated_at");
    }
    rows
}

fn tickets() -> Schema {
    Schema::new(tables![Ticket], rules().into_inner(), mutators![write]).expect("a sound schema")
}

const ID: &str = "0190b0a0-0000-7000-8000-000000000001";

async fn own_types_are_columns(kind: Kind) {
    let database = Database::new(kind).await;
    let engine = engine(&database, tickets()).await;
    for (at, status, quantity) in [(1, "open", 2), (2, "in_progress", 5)] {
        let args = json!({"id": ID, "status": status, "quantity": quantity});
        let verdict = push(&engine, &format!("m{at}"), "write", &args).await;
        assert!(matches!(verdict, Verdict::Applied(_)), "{kind:?}: {verdict:?}");
    }
    let row = json!({
        "id": ID, "shop": "s1", "place": "9007199254740993", "status": "in_progress", "before": "open", "quantity": "5",
        "total": "15", "lines": [{"item": "tea", "price": "1.50"}], "extra": null, "deleted_at": null,
    });
    assert_eq!(rows(&engine).await, [row], "{kind:?}");

    let args = json!({"id": ID, "status": "closed", "quantity": 1});
    let refused = format!("{:?}", push(&engine, "m3", "write", &args).await);
    assert!(
        refused.contains(r#"is no Status: it is one of \"open\", \"in_progress\", \"done\""#)
            || refused.contains(r#"is no Status: it is one of \\\"open\\\""#),
        "{refused}"
    );

    // Nobody else may write another text either; and one that came all the same is named.
    let mut db = database.connect().await;
    let error = db.try_execute("update tickets set status = 'lost'").await.expect_err("none of the texts");
    assert!(error.to_string().contains("enum") || error.to_string().contains("is none of"), "{error}");
}

async fn an_enum_gets_new_texts(kind: Kind) {
    let database = Database::new(kind).await;
    let engine = engine(&database, tickets()).await;
    push(&engine, "m1", "write", &json!({"id": ID, "status": "open", "quantity": 2})).await;
    drop(engine);
    let later = Schema::new(tables![NewTicket], new_rules().into_inner(), Vec::new()).expect("a sound schema");
    let later = fixture::engine(&database, later).await;
    database.connect().await.execute("update tickets set status = 'lost'").await;
    let rows = rows(&later).await;
    assert_eq!((&rows[0]["status"], &rows[0]["total"], &rows[0]["more"]), (&json!("lost"), &json!("6"), &json!("3")));

    // A program of the version before meets the new text.
    let db = sea_orm::Database::connect(database.url()).await.expect("a database");
    let error = Ticket::find().one(&db).await.expect_err("no such variant").to_string();
    assert!(error.contains(r#""lost" is no Status: it is one of "open", "in_progress", "done""#), "{error}");
    db.execute_unprepared("update tickets set status = 'open', lines = '[{\"item\": 7}]'").await.expect("written");
    let error = Ticket::find().one(&db).await.expect_err("no line").to_string();
    assert!(error.contains("[0].item: invalid type: integer `7`, expected a string"), "{error}");
}

#[tokio::test]
async fn own_types_on_postgres() {
    own_types_are_columns(Kind::Postgres).await;
}

#[tokio::test]
async fn own_types_on_sqlite() {
    own_types_are_columns(Kind::Sqlite).await;
}

#[tokio::test]
async fn new_texts_on_postgres() {
    an_enum_gets_new_texts(Kind::Postgres).await;
}

#[tokio::test]
async fn new_texts_on_sqlite() {
    an_enum_gets_new_texts(Kind::Sqlite).await;
}

#[tokio::test]
async fn arrays_are_for_postgres_and_sqlite_says_so() {
    let schema = || Schema::new(tables![List], list_rules().into_inner(), mutators![fill]).expect("a sound schema");
    let database = Database::new(Kind::Postgres).await;
    let engine = engine(&database, schema()).await;
    let verdict = push(&engine, "m1", "fill", &json!({})).await;
    assert!(matches!(verdict, Verdict::Applied(_)), "{verdict:?}");
    let row = json!({
        "id": "l1", "shop": "s1", "tags": ["a\"{}", "", "é"], "numbers": ["-9223372036854775808", "7"],
        "moments": ["1970-01-01T00:00:00.000000Z"], "ids": [], "flags": [true, false], "deleted_at": null,
    });
    assert_eq!(rows(&engine).await, [row]);

    let database = Database::new(Kind::Sqlite).await;
    let error = store(&database, &Arc::new(schema()), 2).await.plan().await.expect_err("no arrays").to_string();
    let wanted = "column `tags` of table `lists` is an array (text[]), which SQLite has not: make it a Json<Vec<…>>";
    assert!(error.contains(wanted), "{error}");
}

#[test]
fn a_rule_knows_the_texts_of_an_enum() {
    let error = Schema::new(tables![Ticket], mistyped().into_inner(), Vec::new()).expect_err("no such text");
    assert!(matches!(error, SchemaError::UnknownText { column: "status", text: "opn", .. }), "{error}");
    assert!(error.to_string().contains(r#"write one of ["open", "in_progress", "done"]"#), "{error}");
}

#[mutator(server)]
async fn settle(_ctx: &mut Ctx<Claims>, _args: Nothing) -> Result<Applied> {
    Ok(Applied::done())
}

#[test]
fn the_contract_tells_what_columns_hold() {
    let schema =
        Schema::new(tables![Ticket, List], rules().into_inner(), mutators![write, settle]).expect("a sound schema");
    let contract = nizhal_runtime::contract::Contract::new("tickets", "1", &schema);
    let contract: Value = serde_json::from_slice(&contract.bytes()).expect("JSON");
    let properties = &contract["components"]["schemas"]["tickets"]["properties"];
    assert_eq!(properties["status"], json!({"type": "string", "enum": ["open", "in_progress", "done"]}));
    let before = json!({"type": ["string", "null"], "enum": ["open", "in_progress", "done", null]});
    assert_eq!(properties["before"], before);
    assert_eq!(properties["lines"], json!({"type": "array", "items": {"$ref": "#/components/schemas/Line"}}));
    let extra = json!({"anyOf": [{"$ref": "#/components/schemas/Line"}, {"type": "null"}]});
    assert_eq!(properties["extra"], extra);
    let columns = contract["x-nizhal"]["tables"]["tickets"]["columns"].as_array().unwrap();
    let column = |name: &str| columns.iter().find(|column| column["name"] == name).unwrap();
    assert_eq!((&column("total")["generated"], &column("status")["default"]), (&json!(true), &json!("open")));
    let mutators = &contract["x-nizhal"]["mutators"];
    assert_eq!((&mutators["write"]["replayable"], &mutators["settle"]["replayable"]), (&json!(true), &json!(false)));
}
