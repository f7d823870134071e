//! One mutator, run on a device that has no server in its context, and on the server.

use crate::fixture::{self, StoppedClock, push_of};
use nizhal::prelude::*;
use nizhal::{Error, Principal};
use nizhal_core::wire::Wire;
use nizhal_core::{CtxParts, Hlc, MutationIds, Random};
use nizhal_runtime::engine::Verdict;
use nizhal_runtime::schema::Schema;
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
    made: Uuid,
    also: Uuid,
    at: DateTimeUtc,
    number: Option<i64>,
    heard_at: Option<DateTimeUtc>,
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
    let (mut number, mut heard_at) = (None, None);
    if let Some(server) = ctx.server() {
        heard_at = Some(server.now());
        number = Some(server.next_in_bucket("sale", &ctx.actor().user_id).await?);
    }
    let made = ctx.new_id();
    ctx.jobs().enqueue(print, Print {})?;
    let (also, at) = (ctx.new_id(), ctx.now());
    let lucky = i64::try_from(ctx.random().below(1 << 60)).map_err(Error::internal)?;
    let owner = ctx.actor().user_id.clone();
    SaleActive {
        id: Set(args.client_id),
        owner: Set(owner),
        lucky: Set(lucky),
        made: Set(made),
        also: Set(also),
        at: Set(at),
        number: Set(number),
        heard_at: Set(heard_at),
    }
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

/// When the device made it: long before the server heard of it.
const STAMP: &str = "2026-11-20T09:08:07.654Z-0001-0123456789abcdef0123456789abcdef";

/// What a device puts into a context: everything but the server.
async fn on_a_device(name: &str, db: &sea_orm::DatabaseConnection) -> (CtxParts, Result<Applied>) {
    let hlc: Hlc = STAMP.parse().expect("a stamp");
    let mut ids = MutationIds::of(ann().key(), "m1", hlc.millis);
    let parts = CtxParts {
        tx: sea_orm::TransactionTrait::begin(db).await.expect("a transaction"),
        principal: ann(),
        now: DateTimeUtc::from_timestamp_millis(hlc.millis).expect("a time"),
        hlc,
        ids: Box::new(move || ids.next_id()),
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
    let table = "create table sales (id text primary key, owner text not null, lucky bigint not null, made uuid_text not null, \
        also uuid_text not null, at timestamp_with_timezone_text not null, number bigint, heard_at timestamp_with_timezone_text)";
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
    assert_eq!((local.number, local.heard_at), (None, None));
    assert_eq!(local.at.to_rfc3339(), "2026-11-20T09:08:07.654+00:00");
    assert_ne!(local.made, local.also);

    for kind in [Kind::Postgres, Kind::Sqlite] {
        let database = Database::new(kind).await;
        let schema = Schema::new(tables![Sale], rules().into_inner(), mutators![sell, settle]).expect("a sound schema");
        let schema = Arc::new(schema.with_jobs(jobs![print]).expect("a sound schema"));
        let store = fixture::store(&database, &schema, 2).await;
        let now = "2026-11-21T10:00:00.123456Z".parse().expect("a time");
        let engine = fixture::engine_over(schema, store, StoppedClock(now)).await;
        let push = |name: &str| {
            let mutation = json!({"name": name, "args": {"clientId": "s1"}, "clientMutationId": "m1", "hlc": STAMP});
            push_of(&[mutation])
        };
        let reply = engine.push(&ann(), Wire::One, push("sell")).await;
        assert!(matches!(reply.answers[0].verdict, Verdict::Applied(_)), "{:?}", reply.answers[0].verdict);
        let db = sea_orm::Database::connect(database.url()).await.expect("a database");
        let row = Sale::find_by_id("s1").one(&db).await.expect("a query").expect("a row");
        let same = |sale: &Sale| (sale.lucky, sale.made, sale.also, sale.at);
        assert_eq!(same(&row), same(&local), "{kind:?}: the same draw, ids and time");
        let heard_at = row.heard_at.expect("the server's own time").to_rfc3339();
        assert_eq!((row.number, &*heard_at), (Some(1), "2026-11-21T10:00:00.123456+00:00"), "{kind:?}");

        // One without a stamp has the server's time.
        let mutation = json!({"name": "sell", "args": {"clientId": "s2"}, "clientMutationId": "m2"});
        let push = push_of(&[mutation]);
        engine.push(&ann(), Wire::One, push).await;
        let row = Sale::find_by_id("s2").one(&db).await.expect("a query").expect("a row");
        assert_eq!(Some(row.at), row.heard_at, "{kind:?}");
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
