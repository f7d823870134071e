//! One mutator, run on a device that has no server in its context, and on the server.

use nizhal::engine::{Engine, Environment, Verdict};
use nizhal::prelude::*;
use nizhal::schema::Schema;
use nizhal::store::{Store, StoreSettings};
use nizhal::wire::{PushRequest, Wire};
use nizhal::{CtxParts, Error, Hlc, NodeId, Principal, Random, hub::Hub};
use nizhal_tests::{Database, Kind};
use serde_json::json;
use std::sync::Arc;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "sales")]
struct Sale {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    lucky: i64,
    number: Option<i64>,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Sale where Sale.owner == owner;
    }
}

#[nizhal::args]
struct Sell {
    client_id: String,
}

/// Runs anywhere: the number is the server's to give.
#[mutator]
async fn sell(ctx: &mut Ctx<Claims>, args: Sell) -> Result<Applied> {
    let mut number = None;
    if let Some(server) = ctx.server() {
        number = Some(server.next_in_bucket("sale", &ctx.actor().user_id).await?);
    }
    ctx.jobs().enqueue(print, Print {})?;
    let lucky = i64::try_from(ctx.random().below(1 << 60)).map_err(Error::internal)?;
    let owner = ctx.actor().user_id.clone();
    SaleActive { id: Set(args.client_id), owner: Set(owner), lucky: Set(lucky), number: Set(number) }
        .insert(ctx.db())
        .await?;
    Ok(Applied::done())
}

/// Asks for a number without asking where it runs.
#[mutator]
async fn careless(ctx: &mut Ctx<Claims>, _args: Sell) -> Result<Applied> {
    ctx.next_in_bucket("sale", "ann").await?;
    Ok(Applied::done())
}

/// The server's alone.
#[mutator(server)]
async fn settle(ctx: &mut Ctx<Claims>, args: Sell) -> Result<Applied> {
    let number = ctx.next_in_bucket("settled", &args.client_id).await?;
    Ok(Applied::id(number.to_string()))
}

#[nizhal::args]
struct Print {}

#[nizhal::job]
async fn print(_ctx: &mut nizhal::JobCtx, _args: Print) -> Result<()> {
    Ok(())
}

fn ann() -> Principal {
    Principal::new(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() }, None)
}

/// What a device puts into a context: everything but the server.
async fn on_a_device(name: &str, db: &sea_orm::DatabaseConnection) -> (CtxParts, Result<Applied>) {
    let parts = CtxParts {
        tx: sea_orm::TransactionTrait::begin(db).await.expect("a transaction"),
        principal: ann(),
        now: DateTimeUtc::UNIX_EPOCH,
        hlc: Hlc { millis: 0, counter: 0, node: NodeId(1) },
        ids: Box::new(Uuid::nil),
        jobs: Vec::new(),
        random: Random::of("m1"),
        server: None,
    };
    let all = mutators![sell, careless, settle];
    let entry = all.into_iter().find(|entry| entry.desc.name == name).expect("a mutator");
    let args = serde_json::value::to_raw_value(&json!({"clientId": "s1"})).expect("JSON");
    (entry.call)(parts, &args).await
}

async fn device() -> sea_orm::DatabaseConnection {
    let db = sea_orm::Database::connect("sqlite::memory:").await.expect("a database");
    let table = "create table sales (id text primary key, owner text not null, lucky bigint not null, number bigint)";
    db.execute_unprepared(table).await.expect("a table");
    db
}

#[tokio::test]
async fn a_device_runs_what_the_server_runs() {
    let db = device().await;
    let (parts, result) = on_a_device("sell", &db).await;
    result.expect("applied");
    assert_eq!(parts.jobs.len(), 1, "the job is noted, for the server to do");
    let local = Sale::find_by_id("s1").one(&parts.tx).await.expect("a query").expect("a row");
    assert_eq!(local.number, None);

    for kind in [Kind::Postgres, Kind::Sqlite] {
        let database = Database::new(kind).await;
        let schema = Schema::new(tables![Sale], rules().into_inner(), mutators![sell, settle]).expect("a sound schema");
        let schema = Arc::new(schema.with_jobs(jobs![print]).expect("a sound schema"));
        let settings = StoreSettings { url: database.url().to_owned(), pool: 2 };
        let store = Store::connect(&settings, schema.clone()).await.expect("a database");
        store.provision().await.expect("provisioned");
        let engine = Engine::new(schema, store, Hub::default(), Arc::new(Clock), NodeId(1));
        let push = |name: &str| -> PushRequest {
            let mutation = json!({"name": name, "args": {"clientId": "s1"}, "clientMutationId": "m1"});
            serde_json::from_str(&json!({"mutations": [mutation]}).to_string()).expect("a push")
        };
        let reply = engine.push(&ann(), Wire::One, push("sell")).await;
        assert!(matches!(reply.answers[0].verdict, Verdict::Applied(_)), "{:?}", reply.answers[0].verdict);
        let row = database.connect().await.rows("select cast(lucky as text), cast(number as text) from sales").await;
        assert_eq!(
            row,
            [[Some(local.lucky.to_string()), Some("1".to_owned())]],
            "{kind:?}: the same draw, and a number"
        );
    }
}

#[tokio::test]
async fn what_only_a_server_can_do_says_so_on_a_device() {
    let db = device().await;
    let (parts, result) = on_a_device("careless", &db).await;
    parts.tx.rollback().await.expect("rolled back");
    let text = result.expect_err("there is no server").to_string();
    assert!(text.starts_with("`ctx.next_in_bucket` works on a server only: mark the mutator"), "{text}");
    let (_, result) = on_a_device("settle", &db).await;
    assert!(matches!(result, Err(Error::ServerOnly("settle"))));
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
