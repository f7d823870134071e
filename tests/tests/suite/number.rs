//! Invariant 21: numbers without gaps, drawn by many at once.

use crate::fixture::{self, StoppedClock, push_of};
use nizhal::Principal;
use nizhal::prelude::*;
use nizhal_core::wire::Wire;
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

#[nizhal::table(name = "receipts")]
struct Receipt {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    shop: String,
    number: i64,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Receipt where Receipt.owner == owner;
    }
}

#[nizhal::args]
struct Sell {
    client_id: String,
    shop: String,
    fail: bool,
}

/// Many draw in one shop, which is nobody's bucket.
#[mutator(privileged(Receipt))]
async fn sell(ctx: &mut Ctx<Claims>, args: Sell) -> Result<Applied> {
    let number = ctx.next_in_bucket("receipt", &args.shop).await?;
    let owner = ctx.actor().user_id.clone();
    ReceiptActive { id: Set(args.client_id), owner: Set(owner), shop: Set(args.shop), number: Set(number) }
        .insert(ctx.db())
        .await?;
    if args.fail {
        return Err(reject!("not sold after all"));
    }
    Ok(Applied::done())
}

/// How many sell at once, and how much each sells.
const SELLERS: usize = 12;
const SALES: usize = 10;

async fn inv21_numbers_have_no_gap_and_no_twin(kind: Kind) {
    let database = Database::new(kind).await;
    let schema = Schema::new(tables![Receipt], rules().into_inner(), mutators![sell]).expect("a sound schema");
    let schema = Arc::new(schema);
    let store = fixture::store(&database, &schema, 8).await;
    let engine = Arc::new(fixture::engine_over(schema, store, StoppedClock::default()).await);
    let sellers: Vec<_> = (0..SELLERS)
        .map(|seller| {
            let engine = engine.clone();
            tokio::task::spawn_local(async move {
                let user = format!("u{seller}");
                let principal = Principal::new(Claims { user_id: user.clone(), owner_id: "o".to_owned() }, None);
                for sale in 0..SALES {
                    let id = format!("{user}-{sale}");
                    let args = json!({"clientId": id, "shop": format!("s{}", sale % 2), "fail": sale % 3 == 2});
                    let push = push_of(&[json!({"name": "sell", "args": args, "clientMutationId": id})]);
                    let reply = engine.push(&principal, Wire::One, push).await;
                    assert!(reply.fault.is_none(), "{:?}", reply.fault);
                    let applied = matches!(reply.answers[0].verdict, Verdict::Applied(_));
                    assert_eq!(applied, sale % 3 != 2, "{:?}", reply.answers[0].verdict);
                }
            })
        })
        .collect();
    for seller in sellers {
        seller.await.expect("no seller fails");
    }
    let mut db = database.connect().await;
    for shop in ["s0", "s1"] {
        let sold = (0..SALES).filter(|sale| sale % 3 != 2 && format!("s{}", sale % 2) == shop).count() * SELLERS;
        let sql = format!("select cast(number as text) from receipts where shop = '{shop}' order by receipts.number");
        let numbers: Vec<String> = db.rows(&sql).await.into_iter().flatten().flatten().collect();
        let wanted: Vec<String> = (1..=sold).map(|number| number.to_string()).collect();
        assert_eq!(numbers, wanted, "{kind:?}, {shop}");
    }
}

#[tokio::test]
async fn inv21_on_postgres() {
    tokio::task::LocalSet::new().run_until(inv21_numbers_have_no_gap_and_no_twin(Kind::Postgres)).await;
}

#[tokio::test]
async fn inv21_on_sqlite() {
    tokio::task::LocalSet::new().run_until(inv21_numbers_have_no_gap_and_no_twin(Kind::Sqlite)).await;
}
