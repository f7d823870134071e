//! Invariants 2 and 18: nobody gets in by a membership that the same mutation gave.

use super::world::{World, actor, mutation, told};
use crate::fixture::both;
use nizhal_tests::Kind;
use serde_json::json;

both![
    inv18_nobody_invites_oneself,
    inv18_a_privileged_mutator_writes_no_rows_by_what_it_gained,
    inv18_who_founds_a_bucket_writes_in_it,
    inv18_an_older_bucket_is_not_founded_again,
    inv18_of_those_who_found_at_once_one_wins,
    inv18_a_batch_judges_each_by_what_was_before_it,
];

/// Ways into the shop and the rooms of others, or to take their owners out of them.
const WAYS_IN: [&str; 12] = [
    "insert into shop_members (shop_id, user_id) values ('s2', 'ann')",
    "insert into shop_members (shop_id, user_id) select 's2', user_id from shop_members where shop_id = 's1'",
    "update shop_members set shop_id = 's2' where user_id = 'ann'",
    "update shop_members set user_id = 'ann' where user_id = 'ben'",
    "delete from shop_members where user_id = 'ben'",
    "delete from shop_members",
    "insert into room_members (id, room_id, user_id, role) values ('x', 'r2', 'ann', 'owner')",
    "update room_members set room_id = 'r2' where id = 'm1'",
    "update room_members set role = 'owner' where user_id = 'ann'",
    "update room_members set deleted_at = null",
    "update room_members set user_id = 'ann' where id = 'm2'",
    "delete from room_members where room_id = 'r2'",
];

async fn inv18_nobody_invites_oneself(kind: Kind) {
    let mut world = World::new(kind).await;
    let (before, buckets) = (world.rows().await, world.engine.scope(&actor("ann")).await.unwrap());
    for way in WAYS_IN {
        assert_eq!(world.ran("run", &[way]).await, "forbidden", "{way}");
        let then = "insert into customers (id, shop_id, name) values ('x', 's2', 'x')";
        assert_eq!(world.ran("run", &[way, then]).await, "forbidden", "{way}");
    }
    for user in ["ann", "dan"] {
        let args = json!({"shopId": "s2", "userId": user});
        assert_eq!(world.tried("invite", &args).await, "forbidden");
        // Also into one's own: the mutator does not say that it takes the responsibility.
        let args = json!({"shopId": "s1", "userId": user});
        let invited = world.tried("invite", &args).await;
        assert!(user == "ann" || invited == "forbidden", "{invited}");
    }
    assert_eq!(world.rows().await, before);
    assert_eq!(world.engine.scope(&actor("ann")).await.unwrap(), buckets);
}

async fn inv18_a_privileged_mutator_writes_no_rows_by_what_it_gained(kind: Kind) {
    let mut world = World::new(kind).await;
    let before = world.rows().await;
    let customer = "insert into customers (id, shop_id, name) values ('x', 's2', 'x')";
    let note = "update notes set id = 'x' where id = 'n2'";
    for ways in [
        &["insert into shop_members (shop_id, user_id) values ('s2', 'ann')", customer][..],
        &["update shop_members set shop_id = 's2' where user_id = 'ann'", customer],
        // Who was there is gone by then, and had it all the same.
        &["delete from shop_members", "insert into shop_members (shop_id, user_id) values ('s2', 'ann')", customer],
        &["update shop_members set user_id = 'ann' where user_id = 'ben'", customer],
        &["update room_members set role = 'owner' where id = 'm3'", note],
        &["delete from room_members where id = 'm2'", "update room_members set role = 'owner' where id = 'm3'", note],
        &["insert into room_members (id, room_id, user_id, role) values ('x', 'r2', 'ann', 'owner')", note],
        &["update room_members set deleted_at = null", "delete from notes where room_id = 'r3'"],
    ] {
        assert_eq!(world.ran("manage", ways).await, "forbidden", "{ways:?}");
    }
    assert_eq!(world.rows().await, before);
    // What is a member's to give, the app's code decides.
    let invited = ["insert into shop_members (shop_id, user_id) values ('s1', 'dan')"];
    assert_eq!(world.ran("manage", &invited).await, "applied");
    assert_eq!(world.db.count("shop_members where user_id = 'dan'").await, 1);
}

async fn inv18_who_founds_a_bucket_writes_in_it(kind: Kind) {
    let mut world = World::new(kind).await;
    assert_eq!(world.tried("found", &json!({"shopId": "s9"})).await, "applied");
    assert_eq!(world.db.count("customers where shop_id = 's9' and name = '1'").await, 1);
    let room = [
        "insert into room_members (id, room_id, user_id, role) values ('x', 'r9', 'ann', 'owner'), ('y', 'r9', 'ben', 'owner')",
        "insert into notes (id, room_id) values ('x', 'r9'), ('y', 'r1')",
    ];
    assert_eq!(world.ran("manage", &room).await, "applied");
    let both = [
        "insert into shop_members (shop_id, user_id) values ('s8', 'ann'), ('s2', 'ann')",
        "insert into customers (id, shop_id, name) values ('x', 's8', 'x'), ('y', 's2', 'y')",
    ];
    assert_eq!(world.ran("manage", &both).await, "forbidden", "one was there before");
    assert_eq!(world.db.count("customers where id in ('x', 'y')").await, 0);
}

async fn inv18_an_older_bucket_is_not_founded_again(kind: Kind) {
    let mut world = World::new(kind).await;
    assert_eq!(world.tried("found", &json!({"shopId": "s2"})).await, "forbidden");
    assert_eq!(world.tried("draw", &json!({"bucket": "s2", "tells": true, "goesOn": false})).await, "forbidden");
    assert_eq!(world.db.count("_nizhal_counters").await, 0);
    assert_eq!(world.db.count("shop_members where user_id = 'ann'").await, 1);
}

async fn inv18_of_those_who_found_at_once_one_wins(kind: Kind) {
    const FOUNDERS: usize = 8;
    let mut world = World::of(kind, 8).await;
    for shop in ["f1", "f2", "f3"] {
        let founders = (0..FOUNDERS).map(async |founder| {
            let found = mutation("found", &json!({"shopId": shop}));
            told(&world.push_as(&format!("u{founder}"), &[found]).await).join(" ")
        });
        let mut outcomes = futures_util::future::join_all(founders).await;
        outcomes.sort();
        let mut wanted = vec!["forbidden"; FOUNDERS];
        wanted[0] = "applied";
        assert_eq!(outcomes, wanted);
        assert_eq!(world.db.count(&format!("shop_members where shop_id = '{shop}'")).await, 1);
        assert_eq!(world.db.count(&format!("customers where shop_id = '{shop}'")).await, 1);
    }
}

async fn inv18_a_batch_judges_each_by_what_was_before_it(kind: Kind) {
    let mut world = World::new(kind).await;
    let customer = |id: &str, shop: &str| {
        let sql = format!("insert into customers (id, shop_id, name) values ('{id}', '{shop}', 'x')");
        mutation("run", &json!({"sql": [sql]}))
    };
    let leaves = mutation("manage", &json!({"sql": ["delete from shop_members where user_id = 'ann'"]}));
    let joins = mutation("run", &json!({"sql": ["insert into shop_members (shop_id, user_id) values ('s2', 'ann')"]}));
    let batch = [customer("a", "s1"), joins, customer("b", "s2"), customer("c", "s1"), leaves, customer("d", "s1")];
    let reply = world.push_as("ann", &batch).await;
    assert_eq!(told(&reply), ["applied", "forbidden", "forbidden", "applied", "applied", "forbidden"]);
    assert_eq!(world.db.count("customers where id in ('a', 'c')").await, 2);
}
