//! Replayed mutations beside plain ones that write the same rows, through the engine alone; and what a late one costs by what is behind it.

use super::{
    Size,
    report::{Report, count, median},
};
use futures_util::future::join_all;
use nizhal::{Principal, SystemEnvironment, prelude::*};
use nizhal_core::{
    NodeId,
    wire::{PushRequest, Wire},
};
use nizhal_runtime::{
    engine::{Engine, ReplayBounds},
    hub::Hub,
    schema::Schema,
    store::{Audit, Store, StoreSettings},
};
use nizhal_tests::{Database, Kind};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How many mutations may be behind a late one.
const BEHIND: [usize; 3] = [10, 1_000, 2_000];
/// The connections, and the devices that push at once.
const CONNECTIONS: usize = 16;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "members", server_only)]
struct Member {
    #[nizhal(primary_key)]
    shop: String,
    #[nizhal(primary_key)]
    user_id: String,
}

#[nizhal::table(name = "plain_stock")]
struct Plain {
    #[nizhal(primary_key)]
    id: String,
    shop: String,
    quantity: i64,
}

#[nizhal::table(name = "stock", merge = "replay")]
struct Stock {
    #[nizhal(primary_key)]
    id: String,
    shop: String,
    quantity: i64,
}

sync_rules! {
    rules for Claims;
    rule shops(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Plain where Plain.shop == shop;
        Stock where Stock.shop == shop;
    }
}

#[nizhal::args]
struct Count {
    shop: String,
    id: String,
}

/// Adds one to a row, which it makes.
#[mutator]
async fn count_plainly(ctx: &mut Ctx<Claims>, args: Count) -> Result<Applied> {
    match Plain::find_by_id(args.id.clone()).one(ctx.db()).await? {
        Some(found) => {
            let quantity = Set(found.quantity + 1);
            PlainActive { quantity, ..found.into() }.update(ctx.db()).await?;
        }
        None => {
            PlainActive { id: Set(args.id), shop: Set(args.shop), quantity: Set(1) }.insert(ctx.db()).await?;
        }
    }
    Ok(Applied::done())
}

/// The same, replayed.
#[mutator(replay(shops = args.shop))]
async fn count_in_order(ctx: &mut Ctx<Claims>, args: Count) -> Result<Applied> {
    match Stock::find_by_id(args.id.clone()).one(ctx.db()).await? {
        Some(found) => {
            let quantity = Set(found.quantity + 1);
            StockActive { quantity, ..found.into() }.update(ctx.db()).await?;
        }
        None => {
            StockActive { id: Set(args.id), shop: Set(args.shop), quantity: Set(1) }.insert(ctx.db()).await?;
        }
    }
    Ok(Applied::done())
}

/// An engine, and how far the clock of the load is.
struct Shops {
    engine: Engine,
    begun: DateTimeUtc,
}

/// Both databases in turn.
pub(crate) async fn all(report: &mut Report, size: Size) {
    for (kind, name) in [(Kind::Postgres, "Postgres"), (Kind::Sqlite, "SQLite")] {
        let database = Database::new(kind).await;
        let shops = Shops::open(&database).await;
        in_order(report, &shops, name, size).await;
        late(report, &shops, name, size).await;
        at_once(report, &shops, name, size).await;
    }
}

impl Shops {
    async fn open(database: &Database) -> Self {
        let tables = tables![Member, Plain, Stock];
        let mutators = mutators![count_plainly, count_in_order];
        let schema = Arc::new(Schema::new(tables, rules().into_inner(), mutators).expect("a sound schema"));
        let settings = StoreSettings { url: database.url().to_owned(), pool: 16 };
        let store = Store::connect(&settings, schema.clone()).await.expect("a database");
        let store = store.with_audit(Audit::On { args: false });
        store.provision().await.expect("provisioned");
        let mut db = database.connect().await;
        for shop in (0..CONNECTIONS)
            .map(|at| format!("shop{at}"))
            .chain(["order", "batch"].map(str::to_owned))
            .chain(BEHIND.map(|count| format!("late{count}")))
        {
            db.execute(&format!("insert into members (shop, user_id) values ('{shop}', 'ann')")).await;
        }
        let engine = Engine::new(schema, store, Hub::default(), Arc::new(SystemEnvironment), NodeId(1));
        let bounds = ReplayBounds {
            max_duration: Duration::from_secs(600),
            reruns_a_minute: u32::MAX,
            ..ReplayBounds::default()
        };
        let begun = nizhal_runtime::engine::Environment::now(&SystemEnvironment) - Duration::from_secs(86_400);
        Self { engine: engine.with_replay_bounds(bounds), begun }
    }

    /// Sends mutations of a device, from this number and this millisecond on.
    async fn push(&self, name: &str, shop: &str, device: usize, from: usize, count: usize, millis: usize) {
        let mutations: Vec<_> = (0..count)
            .map(|at| {
                let time = self.begun + Duration::from_millis((millis + at) as u64);
                let stamp = format!("{}-0000-{device:032x}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ"));
                let (client, number) = (format!("{name}:{shop}:{device}"), from + at);
                json!({
                    "name": name, "args": {"shop": shop, "id": format!("{shop}:{device}:{}", number % 20)},
                    "clientMutationId": format!("{client}:{number}"), "clientID": client, "mutationID": number, "hlc": stamp,
                })
            })
            .collect();
        let request: PushRequest = serde_json::from_value(json!({"mutations": mutations})).expect("a request");
        let ann = Principal::new(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() }, None);
        let reply = self.engine.push(&ann, Wire::Two, request).await;
        let applied = reply.answers.iter().all(|answer| answer.verdict.failure().is_none() && !answer.late);
        assert!(applied && reply.answers.len() == count, "{reply:?}");
    }

    /// A device that is online: what it sends was made now. How many it has sent then.
    async fn online(&self, name: &str, device: usize, (spaces, mut sent): (usize, usize), period: Duration) -> usize {
        let (begun, shop) = (Instant::now(), format!("shop{}", device % spaces));
        while begun.elapsed() < period {
            let now = nizhal_runtime::engine::Environment::now(&SystemEnvironment);
            let millis = usize::try_from((now - self.begun).num_milliseconds()).expect("after it began");
            self.push(name, &shop, 100 * spaces + device, sent + 1, 1, millis).await;
            sent += 1;
        }
        sent
    }

    /// How many mutations a second a device sends in this time, so many at once.
    async fn rate(&self, name: &str, shop: &str, from: &mut usize, at_once: usize, period: Duration) -> f64 {
        let (begun, first) = (Instant::now(), *from);
        while begun.elapsed() < period {
            self.push(name, shop, 1, *from, at_once, *from).await;
            *from += at_once;
        }
        count(*from - first) / begun.elapsed().as_secs_f64()
    }
}

async fn in_order(report: &mut Report, shops: &Shops, database: &str, size: Size) {
    report.section(&format!(
        "Replay, {database}: mutations a second in order, beside plain ones that write the same rows"
    ));
    for (shop, at_once) in [("order", 1), ("batch", 50)] {
        let (mut replayed, mut plain, mut next) = (Vec::new(), Vec::new(), [1, 1]);
        for _ in 0..size.rounds {
            plain.push(shops.rate("countPlainly", shop, &mut next[0], at_once, size.period).await);
            replayed.push(shops.rate("countInOrder", shop, &mut next[1], at_once, size.period).await);
        }
        let work = format!("1 connection, {at_once} a request");
        report.row(&work, median(&replayed), Some(median(&plain)), "");
    }
}

async fn late(report: &mut Report, shops: &Shops, database: &str, size: Size) {
    report.section(&format!(
        "Replay, {database}: milliseconds of one late mutation, beside running what is behind it for the first time"
    ));
    for behind in BEHIND {
        let shop = format!("late{behind}");
        let begun = Instant::now();
        for from in (0..behind).step_by(50) {
            let some = 50.min(behind - from);
            shops.push("countInOrder", &shop, 1, from + 1, some, 1_000 + from).await;
        }
        let first = begun.elapsed().as_secs_f64() * 1_000.0;
        let mut took = Vec::new();
        // Each is behind the one before, so that none of them has more behind it.
        for device in 2..2 + size.rounds.min(3) {
            let begun = Instant::now();
            shops.push("countInOrder", &shop, device, 1, 1, 1_000 - 10 + device).await;
            took.push(begun.elapsed().as_secs_f64() * 1_000.0);
        }
        report.row(&format!("{behind} behind it"), median(&took), Some(first), "");
    }
}

async fn at_once(report: &mut Report, shops: &Shops, database: &str, size: Size) {
    report.section(&format!("Replay, {database}: mutations a second of 16 devices at once, beside plain ones"));
    for spaces in [1, 8] {
        let (mut rates, mut sent) = ([Vec::new(), Vec::new()], [[0; CONNECTIONS]; 2]);
        for _ in 0..size.rounds {
            for ((name, rates), sent) in ["countPlainly", "countInOrder"].into_iter().zip(&mut rates).zip(&mut sent) {
                let (begun, before) = (Instant::now(), sent.iter().sum::<usize>());
                let devices =
                    (0..CONNECTIONS).map(|device| shops.online(name, device, (spaces, sent[device]), size.period));
                *sent = join_all(devices).await.try_into().expect("one for each");
                rates.push(count(sent.iter().sum::<usize>() - before) / begun.elapsed().as_secs_f64());
            }
        }
        let work = if spaces == 1 { "1 space".to_owned() } else { format!("{spaces} spaces") };
        report.row(&work, median(&rates[1]), Some(median(&rates[0])), "");
    }
}
