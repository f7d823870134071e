//! Invariants 2 and 18: nobody reads or uses up the numbers of another's bucket.

use super::world::{World, mutation, told};
use crate::fixture::both;
use nizhal_tests::Kind;
use serde_json::{Value, json};

both![inv18_a_number_is_drawn_in_ones_own_bucket_alone];

async fn inv18_a_number_is_drawn_in_ones_own_bucket_alone(kind: Kind) {
    let mut world = World::new(kind).await;
    let draw = |bucket: &str, tells: bool, goes_on: bool| json!({"bucket": bucket, "tells": tells, "goesOn": goes_on});
    assert_eq!(world.tried("draw", &draw("s1", false, false)).await, "applied 1");
    assert_eq!(world.tried("draw", &draw("s1", true, false)).await, "rejected: it is 2");
    for bucket in ["s2", "myShops:s2", "nowhere", "r2", "*", "", "myShops:", "@myShops:ann", "s1/s2"] {
        for (tells, goes_on) in [(false, false), (true, false), (false, true)] {
            let tried = world.tried("draw", &draw(bucket, tells, goes_on)).await;
            assert_eq!(tried, "forbidden", "{bucket} {tells} {goes_on}");
        }
    }
    for bucket in ["myShops:s1", "r1", "rooms:r1"] {
        assert_eq!(world.tried("draw", &draw(bucket, false, false)).await, "applied 1", "{bucket}");
    }
    // One by one, and in a batch.
    let batch = ["s1", "s2", "s1"].map(|bucket| mutation("draw", &draw(bucket, false, false)));
    assert_eq!(told(&world.push_as("ann", &batch).await), ["applied 2", "forbidden", "applied 3"]);
    let foreign: Vec<Value> = vec![mutation("draw", &draw("s2", false, false))];
    assert_eq!(told(&world.push_as("ben", &foreign).await), ["applied 1"], "ben's are all there");
    assert_eq!(world.db.count("_nizhal_counters where bucket in ('nowhere', '*', '')").await, 0);
}
