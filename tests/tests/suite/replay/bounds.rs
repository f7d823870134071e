//! How much runs again at most: what is beyond takes effect last, and its device hears so.

use super::{
    mail::{self, runs, sent},
    world::{self, World, told},
};
use crate::fixture::{self, both};
use nizhal::{DateTimeUtc, Uuid};
use nizhal_core::wire::Wire;
use nizhal_runtime::engine::{Engine, Environment, PushReply, ReplayBounds};
use nizhal_tests::{Database, Kind};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

both![
    inv38_what_is_too_long_takes_effect_last_and_says_so,
    inv38_an_actor_has_a_budget_of_reruns,
    inv38_a_rewind_that_takes_too_long_takes_effect_last,
    inv38_a_space_keeps_so_many_mutations,
];

/// A clock that goes on by itself, so many milliseconds each time that it is read.
struct Ticking(AtomicU64, u64);

impl Environment for Ticking {
    fn now(&self) -> DateTimeUtc {
        let start: DateTimeUtc = world::NOW.parse().expect("a time");
        start + Duration::from_millis(self.0.fetch_add(self.1, Relaxed))
    }

    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

async fn bounded(kind: Kind, bounds: ReplayBounds, tick: u64) -> World {
    let database = Database::new(kind).await;
    let schema = Arc::new(mail::schema());
    let store = fixture::store(&database, &schema, 4).await;
    let engine: Engine = fixture::engine_over(schema, store, Ticking(AtomicU64::new(0), tick)).await;
    let db = database.connect().await;
    World { engine: engine.with_replay_bounds(bounds), db, database }
}

fn late(reply: &PushReply) -> Vec<bool> {
    reply.answers.iter().map(|answer| answer.late).collect()
}

/// The ids of a shop's mutations in their order.
async fn order(world: &mut World, shop: &str) -> Vec<String> {
    let sql = format!("select id from _nizhal_actions where space like '%\"{shop}\"%' order by pos");
    let ids = world.db.rows(&sql).await.into_iter().map(|row| row[0].clone().unwrap_or_default());
    ids.map(|id| id.trim_start_matches(&format!("{shop}:")).to_owned()).collect()
}

/// Has a device send ten mutations, in order.
async fn ten(world: &mut World, shop: &str) {
    world.open(shop, &["ann", "ben"]).await;
    let first: Vec<Value> = (1..=10).map(|number| sent(shop, (0, number), number * 10, 1)).collect();
    let reply = world.push("ann", &first).await;
    assert_eq!((told(&reply), late(&reply)), (vec!["applied"; 10], vec![false; 10]));
    assert_eq!(runs(shop), 10);
}

async fn inv38_what_is_too_long_takes_effect_last_and_says_so(kind: Kind) {
    let bounds = ReplayBounds { max_rewound: 4, ..ReplayBounds::default() };
    let mut world = bounded(kind, bounds, 0).await;
    let shop = format!("too long {kind:?}");
    ten(&mut world, &shop).await;
    // Four are behind the first of these, five behind the second.
    let reply = world.push("ann", &[sent(&shop, (1, 1), 65, 1)]).await;
    assert_eq!((told(&reply), late(&reply), runs(&shop)), (vec!["applied"], vec![false], 5));
    let both = [sent(&shop, (2, 1), 55, 1), sent(&shop, (2, 2), 99, 1)];
    let reply = world.push("ann", &both).await;
    assert_eq!((told(&reply), late(&reply), runs(&shop)), (vec!["applied"; 2], vec![true; 2], 2));
    let order = order(&mut world, &shop).await;
    assert_eq!(order[6..], ["1.1", "0.7", "0.8", "0.9", "0.10", "2.1", "2.2"]);
    let sums = world.db.rows(&format!("select sum from lines where shop = '{shop}' order by sum")).await;
    assert_eq!(sums, (1..=13).map(|sum| [Some(sum.to_string())]).collect::<Vec<_>>());
    // Asked again, it says the same; in wire 2 by a field, which is left out where it is false.
    let reply = world.push("ann", &both[..1]).await;
    assert_eq!((told(&reply), late(&reply)), (vec!["duplicate"], vec![true]));
    let (body, status) = nizhal_runtime::push_body(reply);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((body["results"][0]["late"].as_bool(), status), (Some(true), None), "{body}");
    let reply = world.push("ann", &[sent(&shop, (1, 1), 65, 1)]).await;
    let body: Value = serde_json::from_slice(&nizhal_runtime::push_body(reply).0).expect("JSON");
    assert_eq!(body["results"][0]["late"], Value::Null, "{body}");
}

async fn inv38_an_actor_has_a_budget_of_reruns(kind: Kind) {
    let bounds = ReplayBounds { reruns_a_minute: 19, ..ReplayBounds::default() };
    let mut world = bounded(kind, bounds, 0).await;
    let shop = format!("budget {kind:?}");
    ten(&mut world, &shop).await;
    for (device, again) in [(1, 10), (2, 0), (3, 0)] {
        // The first has ten behind it; the second would have eleven, and nine are left.
        let reply = world.push("ann", &[sent(&shop, (device, 1), 1, 1)]).await;
        assert_eq!((told(&reply), late(&reply)), (vec!["applied"], vec![again == 0]), "{device}");
        assert_eq!(runs(&shop), again + 1, "{device}");
    }
    let reply = world.push("ben", &[sent(&shop, (4, 1), 2, 1)]).await;
    assert_eq!((late(&reply), runs(&shop)), (vec![false], 13), "another has its own");
    let order = order(&mut world, &shop).await;
    assert_eq!(
        (&order[..2], &order[12..]),
        (&["1.1", "4.1"].map(str::to_owned)[..], &["2.1", "3.1"].map(str::to_owned)[..])
    );
}

async fn inv38_a_rewind_that_takes_too_long_takes_effect_last(kind: Kind) {
    let bounds = ReplayBounds { max_duration: Duration::from_millis(100), ..ReplayBounds::default() };
    let mut world = bounded(kind, bounds, 20).await;
    let shop = format!("duration {kind:?}");
    ten(&mut world, &shop).await;
    let reply = world.push("ann", &[sent(&shop, (1, 1), 1, 1)]).await;
    assert_eq!((told(&reply), late(&reply)), (vec!["applied"], vec![true]));
    let order = order(&mut world, &shop).await;
    assert_eq!(order.last().map(String::as_str), Some("1.1"));
    let sums = world.db.rows(&format!("select sum from lines where shop = '{shop}' order by sum")).await;
    assert_eq!(sums, (1..=11).map(|sum| [Some(sum.to_string())]).collect::<Vec<_>>());
    runs(&shop);
}

async fn inv38_a_space_keeps_so_many_mutations(kind: Kind) {
    let bounds = ReplayBounds { max_actions: 4, ..ReplayBounds::default() };
    let mut world = bounded(kind, bounds, 0).await;
    let shop = format!("kept {kind:?}");
    ten(&mut world, &shop).await;
    assert_eq!(world.engine.forget_settled().await.expect("forgotten"), 6);
    assert_eq!(order(&mut world, &shop).await, ["0.7", "0.8", "0.9", "0.10"]);
    let reply = world.push("ann", &[sent(&shop, (1, 1), 65, 1)]).await;
    assert_eq!(late(&reply), [false]);
    let reply = world.push("ann", &[sent(&shop, (2, 1), 45, 1)]).await;
    assert_eq!(late(&reply), [true], "it comes behind the sixth");
    assert_eq!(order(&mut world, &shop).await[..3], ["2.1", "1.1", "0.7"]);
    runs(&shop);
    // It reads the wire that has the word for it alone.
    let reply = world.engine.push(&world::ann(), Wire::One, fixture::push_of(&[sent(&shop, (3, 1), 45, 1)])).await;
    assert_eq!(told(&reply), ["applied"]);
}
