//! What one push brings late costs one rewind, and no device is sent what did not change.

use super::{
    mail::{self, runs, sent},
    plain::{Act, Deed, outcome},
    world::{self, World, told},
};
use crate::fixture::both;
use nizhal_core::wire::Wire;
use nizhal_tests::{Database, Kind};
use serde_json::{Value, json};

both![
    inv37_all_that_is_late_in_a_push_costs_one_rewind,
    inv37_two_spaces_in_a_push_cost_one_rewind_each,
    inv37_a_refusal_among_those_that_come_in_order_keeps_the_others,
    inv37_what_depends_on_a_refusal_in_the_same_push_is_cancelled,
    inv29_rows_that_end_as_they_were_are_sent_to_nobody,
];

async fn mail_world(kind: Kind) -> World {
    World::of(Database::new(kind).await, mail::schema()).await
}

/// The lines of a shop in their order, each with the sum up to it.
async fn sums(world: &mut World, shop: &str) -> Vec<String> {
    let sql = format!(
        "select l.id || '=' || l.sum from _nizhal_actions a join lines l on l.shop = '{shop}' and '{shop}:' || l.id = a.id \
         where a.space like '%\"{shop}\"%' order by a.pos"
    );
    world.db.rows(&sql).await.into_iter().map(|row| row[0].clone().unwrap_or_default()).collect()
}

async fn inv37_all_that_is_late_in_a_push_costs_one_rewind(kind: Kind) {
    let mut world = mail_world(kind).await;
    let shop = format!("one rewind {kind:?}");
    world.open(&shop, &["ann"]).await;
    let early: Vec<Value> = (1..=5).map(|number| sent(&shop, (0, number), number * 10, 1)).collect();
    assert_eq!(told(&world.push("ann", &early).await), ["applied"; 5]);
    assert_eq!(runs(&shop), 5, "in order each runs once");
    // Between the others, before them and behind them.
    let late = [5, 15, 25, 45, 60];
    let late: Vec<Value> = (1..).zip(late).map(|(number, after)| sent(&shop, (1, number), after, 1)).collect();
    assert_eq!(told(&world.push("ann", &late).await), ["applied"; 5]);
    assert_eq!(runs(&shop), 10, "each of the others runs again once");
    let wanted = ["1.1=1", "0.1=2", "1.2=3", "0.2=4", "1.3=5", "0.3=6", "0.4=7", "1.4=8", "0.5=9", "1.5=10"];
    assert_eq!(sums(&mut world, &shop).await, wanted);
}

async fn inv37_two_spaces_in_a_push_cost_one_rewind_each(kind: Kind) {
    let mut world = mail_world(kind).await;
    let (one, other) = (format!("two spaces {kind:?}"), format!("a second {kind:?}"));
    world.open(&one, &["ann"]).await;
    world.open(&other, &["ann"]).await;
    for shop in [&one, &other] {
        let early: Vec<Value> = (1..=3).map(|number| sent(shop, (0, number), number * 10, 1)).collect();
        assert_eq!(told(&world.push("ann", &early).await), ["applied"; 3]);
        assert_eq!(runs(shop), 3);
    }
    // One client, whose mutations go from one to the other and back.
    let late = (1..=6).map(|number| {
        let shop = if number % 2 == 0 { &one } else { &other };
        let mut sent = sent(shop, (1, number), number, 1);
        sent["clientID"] = format!("{one}:1").into();
        sent
    });
    assert_eq!(told(&world.push("ann", &late.collect::<Vec<_>>()).await), ["applied"; 6]);
    assert_eq!((runs(&one), runs(&other)), (6, 6));
    assert_eq!(sums(&mut world, &one).await, ["1.2=1", "1.4=2", "1.6=3", "0.1=4", "0.2=5", "0.3=6"]);
    assert_eq!(sums(&mut world, &other).await, ["1.1=1", "1.3=2", "1.5=3", "0.1=4", "0.2=5", "0.3=6"]);
}

async fn inv37_a_refusal_among_those_that_come_in_order_keeps_the_others(kind: Kind) {
    let mut world = mail_world(kind).await;
    let shop = format!("refusal {kind:?}");
    world.open(&shop, &["ann"]).await;
    let all = [sent(&shop, (0, 1), 1, 60), sent(&shop, (0, 2), 2, 60), sent(&shop, (0, 3), 3, 40)];
    assert_eq!(told(&world.push("ann", &all).await), ["applied", "rejected", "applied"]);
    assert_eq!(sums(&mut world, &shop).await, ["0.1=60", "0.3=100"]);
    // It has its place all the same: with less before it, it applies.
    let late = [sent(&shop, (1, 1), 0, -30)];
    assert_eq!(told(&world.push("ann", &late).await), ["applied"]);
    assert_eq!(sums(&mut world, &shop).await, ["1.1=-30", "0.1=30", "0.2=90"]);
    assert_eq!(told(&world.push("ann", &all[..1]).await), ["duplicate"]);
    assert_eq!(told(&world.push("ann", &all[2..]).await), ["rejected"]);
}

async fn inv37_what_depends_on_a_refusal_in_the_same_push_is_cancelled(kind: Kind) {
    let mut world = mail_world(kind).await;
    let shop = format!("depends {kind:?}");
    world.open(&shop, &["ann"]).await;
    let mut second = sent(&shop, (0, 2), 2, 1);
    second["dependsOn"] = json!([format!("{shop}:0.1")]);
    let all = [sent(&shop, (0, 1), 1, 101), second, sent(&shop, (0, 3), 3, 1)];
    assert_eq!(told(&world.push("ann", &all).await), ["rejected", "refused", "applied"]);
    assert_eq!(sums(&mut world, &shop).await, ["0.3=1"]);
    assert_eq!(world.db.count("_nizhal_actions").await, 2, "what was cancelled has no place");
}

/// What is new behind a cursor, as it is sent, and the next cursor.
async fn pull(world: &World, cursor: &str) -> (String, String) {
    let request = serde_json::from_value(json!({"cursor": cursor, "deviceId": "reader"})).expect("a request");
    let page = world.engine.pull(&world::ann(), Wire::Two, request).await.expect("a page");
    let mut body: Value = serde_json::from_slice(&page.body).expect("JSON");
    let cursor = body["cursor"].take().as_str().expect("a cursor").to_owned();
    (body.to_string(), cursor)
}

async fn inv29_rows_that_end_as_they_were_are_sent_to_nobody(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let act = |millis: i64, device, number, deed| Act { millis: 1_796_000_000_000 + millis, device, number, deed };
    let restock = |item, quantity| Deed::Restock { item, quantity };
    let take = |slot, holder| Deed::Take { slot, holder };
    let before = [
        act(10, 0, 1, restock("x", 5)),
        act(20, 0, 2, Deed::Buy { item: "x", quantity: 1 }),
        // Goes from one slot to the other, so the first is gone; and a row that is made and goes again.
        act(30, 0, 3, take("p", "a")),
        act(40, 0, 4, take("q", "a")),
        act(50, 0, 5, Deed::Buy { item: "x", quantity: 2 }),
        act(60, 0, 6, Deed::Cancel { item: "x" }),
        act(70, 0, 7, Deed::Pay { amount: 7 }),
    ];
    world.arrive("s", &before).await;
    let (all, cursor) = pull(&world, "").await;
    let (again, cursor) = pull(&world, &cursor).await;
    assert!(all.contains("m0.007") && !again.contains("m0.007"), "{all}\n{again}");
    let versions = "select 'stock', item, _nizhal_version, cast(updated_at as text) from stock where item = 'x' \
        union all select 'slots', slot, _nizhal_version, cast(updated_at as text) from slots \
        union all select 'orders', id, _nizhal_version, cast(updated_at as text) from orders \
        union all select 'entries', id, _nizhal_version, cast(updated_at as text) from entries \
        union all select rule, tbl || id, version, kind from _nizhal_tombstones order by 1, 2";
    let kept = world.db.rows(versions).await;
    // It changes nothing of the others.
    let late = act(1, 1, 1, restock("y", 3));
    world.arrive("s", std::slice::from_ref(&late)).await;
    let all: Vec<Act> = before.iter().cloned().chain([late]).collect();
    assert_eq!(world.outcome("s").await, outcome(&all));
    assert_eq!(world.db.rows(versions).await, kept);
    let (text, cursor) = pull(&world, &cursor).await;
    assert!(text.contains("\"y\"") && !text.contains("\"x\""), "{text}");
    assert!(!text.contains("\"q\"") && !text.contains("\"p\"") && !text.contains("m0."), "{text}");
    // What does change is sent: one more in stock, and so another rest.
    let late = act(2, 2, 1, restock("x", 1));
    world.arrive("s", std::slice::from_ref(&late)).await;
    let all: Vec<Act> = all.into_iter().chain([late]).collect();
    assert_eq!(world.outcome("s").await, outcome(&all));
    let (text, _) = pull(&world, &cursor).await;
    assert!(text.contains("\"x\"") && !text.contains("\"y\"") && !text.contains("\"q\""), "{text}");
    assert_eq!(
        world.db.rows("select count(*) from _nizhal_tombstones where rule like '~%'").await,
        [[Some("0".to_owned())]]
    );
}
