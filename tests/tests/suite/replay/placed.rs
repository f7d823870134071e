//! Where a place is not what its stamp says, and what is forgotten: ties, one client's own order, the horizon, members who left, mutators
//! that a release took away.

use super::{
    app,
    past::made,
    plain::{Act, Deed, outcome},
    world::{World, told},
};
use crate::fixture::both;
use nizhal_runtime::schema::Schema;
use nizhal_tests::Kind;
use serde_json::{Value, json};

/// 14 days before the server's clock, in milliseconds since the Unix epoch.
const HORIZON_MS: i64 = 1_794_873_600_000;

fn pay(millis: i64, device: usize, amount: i64) -> Act {
    Act { millis, device, number: 1, deed: Deed::Pay { amount } }
}

/// A payment of this id, with this stamp.
fn paid(id: &str, client: &str, number: i64, hlc: &str) -> Value {
    json!({
        "name": "pay", "args": {"shop": "s", "id": id, "amount": 1}, "clientMutationId": id, "clientID": client,
        "mutationID": number, "hlc": hlc,
    })
}

/// The payments in the order in which they took effect: each reads the sum of those before it.
async fn payments(world: &mut World) -> Vec<String> {
    let rows = world.db.rows("select id from entries order by balance").await;
    rows.into_iter().map(|mut row| row.remove(0).unwrap_or_default()).collect()
}

both![
    inv37_of_one_moment_the_counter_the_node_and_the_id_decide,
    inv37_a_clients_own_order_stays_whatever_its_clock_did,
    inv38_the_horizon_is_exact_to_the_millisecond,
    inv38_what_is_forgotten_is_what_is_older_and_nothing_else,
    inv38_whoever_was_a_member_has_no_past_any_more,
    inv37_one_that_comes_before_its_predecessor_waits,
    inv37_a_mutator_that_a_release_took_away_counts_as_refused_until_it_is_back,
];

/// Synchrotron: compare, client-id tie-break, sort; SQL order equals code order.
async fn inv37_of_one_moment_the_counter_the_node_and_the_id_decide(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let node =
        |counter: &str, node: &str| format!("2026-11-30T12:00:00.000Z-{counter}-000000000000000000000000000000{node}");
    // Ids say the opposite of nodes, and nodes of counters.
    let all = [
        ("e", node("0001", "01")),
        ("b", node("0000", "ff")),
        ("d", node("0000", "0a")),
        ("c", node("0000", "0a")),
        ("a", node("0001", "02")),
        ("f", node("0000", "09")),
    ];
    for (at, (id, hlc)) in all.iter().enumerate() {
        assert_eq!(told(&world.push("ann", &[paid(id, &format!("c{at}"), 1, hlc)]).await), ["applied"]);
    }
    assert_eq!(payments(&mut world).await, ["f", "c", "d", "b", "e", "a"]);
}

async fn inv37_a_clients_own_order_stays_whatever_its_clock_did(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let at = |time: &str| format!("2026-11-30T{time}.000Z-0000-00000000000000000000000000000005");
    let other = "2026-11-30T12:30:00.000Z-0000-00000000000000000000000000000006";
    assert_eq!(told(&world.push("ann", &[paid("other", "other", 1, other)]).await), ["applied"]);
    let back = [
        paid("z", "back", 1, &at("12:00:00")),
        paid("y", "back", 2, &at("09:00:00")),
        paid("x", "back", 3, &at("13:00:00")),
    ];
    assert_eq!(told(&world.push("ann", &back).await), ["applied"; 3]);
    assert_eq!(payments(&mut world).await, ["z", "y", "other", "x"]);
}

async fn inv38_the_horizon_is_exact_to_the_millisecond(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let (at, before) = (pay(HORIZON_MS, 0, 5), pay(HORIZON_MS - 1, 1, 10));
    world.arrive("s", std::slice::from_ref(&at)).await;
    world.arrive("s", std::slice::from_ref(&before)).await;
    // One millisecond more, and it would have been the first.
    let behind = ["entry m0.001 5 5", "entry m1.001 10 15"];
    assert_eq!(world.outcome("s").await.rows, behind);
    let places = world.db.rows("select substr(pos, 1, 29) from _nizhal_actions order by pos").await;
    let wanted = ["2026-11-17T00:00:00.000Z-0000", "2026-11-17T00:00:00.000Z-0001"];
    assert_eq!(places, wanted.map(|place| [Some(place.to_owned())]));
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let after = pay(HORIZON_MS + 1, 0, 5);
    world.arrive("s", std::slice::from_ref(&after)).await;
    world.arrive("s", std::slice::from_ref(&pay(HORIZON_MS, 1, 10))).await;
    assert_eq!(world.outcome("s").await.rows, ["entry m0.001 5 15", "entry m1.001 10 10"]);
}

/// Synchrotron: retention deletes exactly the old rows, and what hangs on them.
async fn inv38_what_is_forgotten_is_what_is_older_and_nothing_else(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    world.open("other", &["ann"]).await;
    let day = 86_400_000;
    let now_ms = HORIZON_MS + 14 * day;
    let all = [pay(now_ms - 9 * day, 0, 1), pay(now_ms - 7 * day, 1, 2), pay(now_ms - day, 2, 4)];
    for act in &all {
        world.arrive("s", std::slice::from_ref(act)).await;
    }
    world.arrive("other", &all[2..]).await;
    // The second stands a millisecond before the horizon of then.
    let mut world = world.at("2026-12-08T00:00:00.001Z").await;
    assert_eq!(world.engine.forget_settled().await.expect("forgotten"), 2);
    assert_eq!(world.engine.forget_settled().await.expect("forgotten"), 0);
    let left = world.db.rows("select id from _nizhal_actions order by id").await;
    assert_eq!(left, ["other:m2.001", "s:m2.001"].map(|id| [Some(id.to_owned())]));
    // What is left is taken back as before, and the rest is not.
    let late = pay(now_ms - 2 * day, 3, 8);
    world.arrive("s", std::slice::from_ref(&late)).await;
    let wanted = outcome(&[&all[..], &[late]].concat());
    assert_eq!(world.outcome("s").await, wanted);
    world.arrive("s", &[pay(now_ms - 8 * day, 4, 16)]).await;
    let rows = world.outcome("s").await.rows;
    assert!(rows.contains(&"entry m4.001 16 19".to_owned()), "behind what is settled: {rows:?}");
    assert!(rows.contains(&"entry m2.001 4 31".to_owned()), "and before what is not: {rows:?}");
}

/// Synchrotron: a back-dated action of a revoked member.
async fn inv38_whoever_was_a_member_has_no_past_any_more(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann", "ben"]).await;
    let (here, left) = (pay(1_796_000_000_005, 0, 5), pay(1_796_000_000_001, 1, 7));
    world.arrive("s", std::slice::from_ref(&here)).await;
    world.db.execute("delete from members where user_id = 'ben'").await;
    assert_eq!(told(&world.push("ben", &[left.sent("s")]).await), ["forbidden"]);
    assert_eq!(world.outcome("s").await.rows, outcome(&[here]).rows);
    assert_eq!(world.db.count("_nizhal_actions").await, 1, "it has no place either");
    // Nor has one that its own rule refuses now, and would not in another past.
    let buy = made("s", 1, 9, "buy", json!({"shop": "s", "id": "b", "item": "x", "quantity": 1}));
    assert_eq!(told(&world.push("ben", &[buy]).await), ["forbidden"]);
    let restock =
        Act { millis: 1_796_000_000_002, device: 3, number: 1, deed: Deed::Restock { item: "x", quantity: 1 } };
    assert_eq!(told(&world.push("ann", &[restock.sent("s")]).await), ["applied"]);
    assert_eq!(world.db.count("orders").await, 0);
}

/// Synchrotron: an action applied out of order after a failed upload.
async fn inv37_one_that_comes_before_its_predecessor_waits(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let act =
        |number, amount| Act { millis: 1_796_000_000_000 + number, device: 0, number, deed: Deed::Pay { amount } };
    let acts = [act(1, 5), act(2, 7)];
    assert_eq!(told(&world.push("ann", &[acts[1].sent("s")]).await), ["barred"]);
    assert_eq!(world.db.count("_nizhal_actions").await, 0);
    world.arrive("s", &acts).await;
    assert_eq!(world.outcome("s").await, outcome(&acts));
}

/// Synchrotron: an unknown tag applies nothing, and leaves no placeholder.
async fn inv37_a_mutator_that_a_release_took_away_counts_as_refused_until_it_is_back(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let take = made("s", 1, 20, "take", json!({"shop": "s", "slot": "p", "holder": "s/a"}));
    assert_eq!(told(&world.push("ann", &[take]).await), ["applied"]);
    let mut fewer = app::mutators();
    fewer.retain(|entry| entry.desc.name != "take");
    world.deploy(Schema::new(app::tables(), app::rules().into_inner(), fewer).expect("a sound schema")).await;
    let (later, late) = (pay(1_796_000_000_030, 1, 5), pay(1_796_000_000_010, 2, 7));
    for act in [&later, &late] {
        world.arrive("s", std::slice::from_ref(act)).await;
    }
    let found = world.outcome("s").await;
    assert_eq!((found.rows, found.applied["m7.001"]), (outcome(&[later.clone(), late.clone()]).rows, false));
    world.deploy(app::schema()).await;
    let earlier = pay(1_796_000_000_005, 3, 1);
    world.arrive("s", std::slice::from_ref(&earlier)).await;
    let found = world.outcome("s").await;
    let mut wanted = outcome(&[later, late, earlier]).rows;
    wanted.push("slot p a".to_owned());
    assert_eq!((found.rows, found.applied["m7.001"]), (wanted, true));
}
