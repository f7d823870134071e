//! Invariants 2 and 18: nobody reads or uses up the numbers of another's bucket.

use super::world::{World, mutation, told};
use crate::fixture::both;
use nizhal_tests::Kind;
use serde_json::{Value, json};

both![
    inv18_a_number_is_drawn_in_ones_own_bucket_alone,
    inv21_a_bucket_of_the_same_value_has_its_own_numbers,
    inv21_numbers_go_on_after_those_of_earlier_versions,
];

async fn inv18_a_number_is_drawn_in_ones_own_bucket_alone(kind: Kind) {
    let mut world = World::new(kind).await;
    let draw_so =
        |bucket: &str, tells: bool, goes_on: bool| json!({"bucket": bucket, "tells": tells, "goesOn": goes_on});
    assert_eq!(world.tried("draw", &draw_so("s1", false, false)).await, "applied 1");
    assert_eq!(world.tried("draw", &draw_so("s1", true, false)).await, "rejected: it is 2");
    for bucket in ["s2", "myShops:s2", "nowhere", "r2", "*", "", "myShops:", "@myShops:ann", "s1/s2"] {
        for (tells, goes_on) in [(false, false), (true, false), (false, true)] {
            let tried = world.tried("draw", &draw_so(bucket, tells, goes_on)).await;
            assert_eq!(tried, "forbidden", "{bucket} {tells} {goes_on}");
        }
    }
    for (bucket, wanted) in [("myShops:s1", "applied 2"), ("r1", "applied 1"), ("rooms:r1", "applied 2")] {
        assert_eq!(world.tried("draw", &draw_so(bucket, false, false)).await, wanted, "{bucket}: one series a bucket");
    }
    // One by one, and in a batch.
    let batch = ["s1", "s2", "s1"].map(|bucket| mutation("draw", &draw_so(bucket, false, false)));
    assert_eq!(told(&world.push_as("ann", &batch).await), ["applied 3", "forbidden", "applied 4"]);
    let foreign: Vec<Value> = vec![mutation("draw", &draw_so("s2", false, false))];
    assert_eq!(told(&world.push_as("ben", &foreign).await), ["applied 1"], "ben's are all there");
    assert_eq!(world.db.count("_nizhal_counters where bucket in ('nowhere', '*', '')").await, 0);
}

fn draw(bucket: &str) -> Value {
    json!({"bucket": bucket, "tells": false, "goesOn": false})
}

/// Whoever founds a bucket chooses its value: it may be that of another rule's bucket.
async fn inv21_a_bucket_of_the_same_value_has_its_own_numbers(kind: Kind) {
    let mut world = World::new(kind).await;
    for number in 1..=3 {
        assert_eq!(world.tried("draw", &draw("r1")).await, format!("applied {number}"));
    }
    let founds = [mutation("found", &json!({"shopId": "r1"})), mutation("draw", &draw("r1"))];
    assert_eq!(told(&world.push_as("eve", &founds).await), ["applied", "applied 1"], "nothing of ann's is seen");
    assert_eq!(told(&world.push_as("eve", &[mutation("draw", &draw("rooms:r1"))]).await), ["forbidden"]);
    assert_eq!(world.tried("draw", &draw("r1")).await, "applied 4", "nothing of ann's is used up");
    // Where a value names two of her own she must say which: else a stranger who lets her in would have them mixed up.
    world.db.execute("insert into shop_members (shop_id, user_id) values ('r1', 'ann')").await;
    let reply = world.push_as("ann", &[mutation("draw", &draw("r1"))]).await;
    let fault = reply.fault.as_ref().and_then(std::error::Error::source).map(ToString::to_string).unwrap_or_default();
    assert!(fault.contains("myShops:r1, rooms:r1"), "{fault}");
    assert_eq!(world.tried("draw", &draw("rooms:r1")).await, "applied 5");
    assert_eq!(world.tried("draw", &draw("myShops:r1")).await, "applied 2");
}

async fn inv21_numbers_go_on_after_those_of_earlier_versions(kind: Kind) {
    let mut world = World::new(kind).await;
    world
        .db
        .execute(
            "insert into _nizhal_counters (series, bucket, last) values ('receipt', 's1', 7), \
             ('receipt', 'myShops:s1', 3), ('receipt', 'rooms:r1', 4), ('other', 's1', 90)",
        )
        .await;
    for (bucket, number) in [("s1", 8), ("myShops:s1", 9), ("s1", 10), ("r1", 5), ("rooms:r1", 6)] {
        assert_eq!(world.tried("draw", &draw(bucket)).await, format!("applied {number}"), "{bucket}");
    }
}
