//! What may not change the past: other writers, other buckets, mutators that fail when they run again.

use super::{
    plain::{Act, Deed, outcome},
    world::{self, World, told},
};
use crate::fixture::both;
use nizhal_core::wire::Wire;
use nizhal_tests::Kind;
use serde_json::{Value, json};

/// A mutation that a device made so many milliseconds after the first.
pub(super) fn made(shop: &str, number: i64, after: i64, name: &str, args: Value) -> Value {
    let act = Act { millis: 1_796_000_000_000 + after, device: 7, number, deed: Deed::Cancel { item: "x" } };
    let mut sent = act.sent(shop);
    (sent["name"], sent["args"]) = (name.into(), args);
    sent
}

/// A device that pulls.
struct Reader {
    cursor: String,
    device: &'static str,
}

impl Reader {
    fn of(device: &'static str) -> Self {
        Self { cursor: String::new(), device }
    }

    async fn pull(&mut self, world: &World) -> Value {
        let request = json!({"cursor": self.cursor, "deviceId": self.device});
        let request = serde_json::from_value(request).expect("a request");
        let page = world.engine.pull(&world::ann(), Wire::Two, request).await.expect("a page");
        let body: Value = serde_json::from_slice(&page.body).expect("JSON");
        body["cursor"].as_str().expect("a cursor").clone_into(&mut self.cursor);
        body
    }
}

both![
    inv38_writers_past_the_order_are_refused,
    inv38_nothing_is_taken_back_to_before_a_checkpoint,
    inv37_a_mutation_that_fails_when_it_runs_again_holds_up_nobody,
    inv37_a_result_that_is_asked_for_again_is_the_last_one,
    inv03_a_replayed_mutator_writes_its_own_bucket_alone,
    inv38_whoever_is_no_member_has_no_past,
    inv38_a_revocation_changes_nothing_that_was_done_before,
    inv38_what_is_older_than_the_horizon_counts_behind_it,
    inv14_a_result_that_changed_is_in_the_audit_log,
];

async fn inv38_writers_past_the_order_are_refused(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let sneak = made("s", 1, 0, "sneak", json!({"shop": "s", "id": "e", "amount": 1}));
    assert_ne!(told(&world.push("ann", &[sneak]).await), ["applied"]);
    for sql in [
        "insert into entries (shop, id, amount, balance) values ('s', 'psql', 1, 1)",
        "update stock set quantity = 0",
        "delete from stock",
    ] {
        let pay = made("s", 2, 5, "restock", json!({"shop": "s", "id": "r", "item": "x", "quantity": 1}));
        world.push("ann", &[pay]).await;
        let refused = world.db.try_execute(sql).await.expect_err("it writes past the order").to_string();
        assert!(refused.contains("is replayed") && refused.contains("nizhal.checkpoint"), "{refused}");
    }
}

async fn inv38_nothing_is_taken_back_to_before_a_checkpoint(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let late = Act { millis: 1_796_000_000_001, device: 1, number: 1, deed: Deed::Pay { amount: 10 } };
    let early = Act { millis: 1_796_000_000_005, device: 0, number: 1, deed: Deed::Pay { amount: 5 } };
    world.arrive("s", std::slice::from_ref(&early)).await;
    let import = "insert into entries (shop, id, amount, balance) values ('s', 'import', 100, 105)";
    match kind {
        Kind::Postgres => {
            world.db.execute("begin").await;
            world.db.execute("set local nizhal.checkpoint = on").await;
            world.db.execute(import).await;
            world.db.execute("commit").await;
        }
        Kind::Sqlite => {
            world.db.execute("update _nizhal_replay set checkpoint = 1").await;
            world.db.execute(import).await;
            world.db.execute("update _nizhal_replay set checkpoint = 0").await;
        }
    }
    // It was made before, and counts behind the import: its balance has all of it.
    world.arrive("s", &[late]).await;
    let rows = world.outcome("s").await.rows;
    assert_eq!(rows, ["entry import 100 105", "entry m0.001 5 5", "entry m1.001 10 115"]);
}

async fn inv37_a_mutation_that_fails_when_it_runs_again_holds_up_nobody(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let count = made("s", 1, 10, "count", json!({"shop": "s", "item": "x"}));
    assert_eq!(told(&world.push("ann", std::slice::from_ref(&count)).await), ["applied"]);
    // Before it, there is more than it can count.
    let early =
        Act { millis: 1_796_000_000_001, device: 1, number: 1, deed: Deed::Restock { item: "x", quantity: 100 } };
    world.arrive("s", std::slice::from_ref(&early)).await;
    let found = world.outcome("s").await;
    assert_eq!(
        (found.rows, found.applied["m7.001"], found.applied["m1.001"]),
        (vec!["stock x 100".to_owned()], false, true)
    );
    assert_eq!(told(&world.push("ann", &[count]).await), ["panicked"], "its device hears of it");
}

async fn inv37_a_result_that_is_asked_for_again_is_the_last_one(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let at = |millis: i64, device, deed| Act { millis: 1_796_000_000_000 + millis, device, number: 1, deed };
    let second = at(5, 0, Deed::Take { slot: "p", holder: "a" });
    let first = at(1, 1, Deed::Take { slot: "p", holder: "b" });
    world.arrive("s", std::slice::from_ref(&second)).await;
    assert_eq!(world.outcome("s").await.rows, ["slot p a"]);
    world.arrive("s", std::slice::from_ref(&first)).await;
    assert_eq!(world.outcome("s").await, outcome(&[first.clone(), second.clone()]));
    assert_eq!(world.outcome("s").await.rows, ["slot p b"], "who claimed it earlier, offline, has it");
    assert_eq!(told(&world.push("ann", &[second.sent("s")]).await), ["rejected"]);
    let mut reader = Reader::of("s:0");
    let told_to_second = [
        json!({"clientMutationId": "s:m0.001", "status": "rejected", "code": "rejected", "error": "the slot is taken"}),
    ];
    assert_eq!(reader.pull(&world).await["revised"], json!(told_to_second), "its device hears of it");
    assert_eq!(reader.pull(&world).await["revised"], Value::Null, "once");
    assert_eq!(Reader::of("s:1").pull(&world).await["revised"], Value::Null, "and nobody else");
    assert_eq!(told(&world.push("ann", &[first.sent("s")]).await), ["duplicate"]);
}

async fn inv03_a_replayed_mutator_writes_its_own_bucket_alone(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    world.open("other", &["ann"]).await;
    let stray = made("s", 1, 1, "stray", json!({"shop": "s", "id": "other", "amount": 1}));
    let remark = made("s", 2, 2, "remark", json!({"shop": "s", "item": "r"}));
    let reply = world.push("ann", &[stray, remark]).await;
    assert_eq!(told(&reply), ["forbidden", "forbidden"]);
    assert_eq!((world.db.count("entries").await, world.db.count("remarks").await), (0, 0));
}

async fn inv38_whoever_is_no_member_has_no_past(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let restock = made("s", 1, 1, "restock", json!({"shop": "s", "id": "r", "item": "x", "quantity": 1}));
    assert_eq!(told(&world.push("eve", &[restock]).await), ["forbidden"]);
    assert_eq!(world.db.count("stock").await, 0);
}

async fn inv38_a_revocation_changes_nothing_that_was_done_before(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann", "ben"]).await;
    let act = |millis: i64, device, quantity| Act {
        millis: 1_796_000_000_000 + millis,
        device,
        number: 1,
        deed: if device == 1 { Deed::Buy { item: "x", quantity } } else { Deed::Restock { item: "x", quantity } },
    };
    let (first, bought, late) = (act(1, 0, 1), act(5, 1, 1), act(3, 2, 1));
    world.arrive("s", std::slice::from_ref(&first)).await;
    assert_eq!(told(&world.push("ben", &[bought.sent("s")]).await), ["applied"]);
    world.db.execute("delete from members where user_id = 'ben'").await;
    world.arrive("s", std::slice::from_ref(&late)).await;
    assert_eq!(world.outcome("s").await, outcome(&[first, bought, late]), "what Ben bought, he bought");
}

async fn inv38_what_is_older_than_the_horizon_counts_behind_it(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let pay = |millis: i64, device, amount| Act { millis, device, number: 1, deed: Deed::Pay { amount } };
    world.arrive("s", &[pay(1_796_000_000_000, 0, 5)]).await;
    let mut world = world.at("2026-12-20T00:00:00Z").await;
    assert_eq!(world.engine.forget_settled().await.expect("forgotten"), 1);
    let images = match kind {
        Kind::Postgres => "select relname from pg_class where relkind = 'r' and relname like '\\_nizhal\\_undo%'",
        Kind::Sqlite => {
            "select name from sqlite_schema where type = 'table' and name like '\\_nizhal\\_undo%' escape '\\'"
        }
    };
    let tables = world.db.rows(images).await;
    assert_eq!(tables.len(), 4);
    for table in tables {
        assert_eq!(world.db.count(table[0].as_deref().expect("a name")).await, 0, "{table:?}");
    }
    // Made before the first one, which is settled: it counts behind it, and reads its amount.
    world.arrive("s", &[pay(1_795_000_000_000, 1, 10)]).await;
    assert_eq!(world.outcome("s").await.rows, ["entry m0.001 5 5", "entry m1.001 10 15"]);
}

async fn inv14_a_result_that_changed_is_in_the_audit_log(kind: Kind) {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    let at = |millis: i64, device, holder| Act {
        millis: 1_796_000_000_000 + millis,
        device,
        number: 1,
        deed: Deed::Take { slot: "p", holder },
    };
    world.arrive("s", &[at(5, 0, "a")]).await;
    world.arrive("s", &[at(1, 1, "b")]).await;
    let log = world.db.rows("select kind, id, status from _nizhal_audit order by version, kind, id").await;
    let log: Vec<Vec<&str>> =
        log.iter().map(|row| row.iter().map(|text| text.as_deref().unwrap_or("")).collect()).collect();
    let wanted =
        [["mutation", "s:m0.001", "applied"], ["mutation", "s:m1.001", "applied"], ["revised", "s:m0.001", "rejected"]];
    assert_eq!(log, wanted);
}
