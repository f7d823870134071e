//! Buckets on demand: a device gets those that it asks for and holds, loses those that it asks for no more, and may write to all.

use super::{World, counts, device};
use crate::fixture::both;
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_tests::Kind;
use serde_json::{Value, json};

async fn inv02_inv07_a_device_gets_what_it_asks_for_and_loses_it_again(kind: Kind) {
    let world = World::new(kind).await;
    let mut device = device();
    let asks = [
        (vec![], vec![], vec![]),
        (vec!["steps:p1"], vec!["p1s1", "p1s2", "p1s3"], vec![]),
        (vec!["steps:p2", "steps:p1"], vec!["p1s1", "p1s2", "p1s3", "p2s1", "p2s2", "p2s3"], vec![]),
        (vec!["steps:p2"], vec!["p2s1", "p2s2", "p2s3"], vec!["steps:p1"]),
        (vec!["steps:p2", "mine:ann", "projects:p1"], vec!["p2s1", "p2s2", "p2s3"], vec![]),
        (vec![], vec![], vec!["steps:p2"]),
    ];
    for (asked, steps, removed) in asks {
        let bodies = world.pull(&mut device, Some(&asked)).await;
        assert_eq!(device.ids("steps"), steps, "{asked:?}");
        let lost: Vec<Value> =
            bodies.iter().flat_map(|body| body["removedBuckets"].as_array().cloned().unwrap_or_default()).collect();
        assert_eq!(json!(lost), json!(removed));
        assert!(bodies.iter().all(|body| body.get("cursorReset").is_none()), "nobody starts again");
        assert_eq!((counts(&device)[0], counts(&device)[1], counts(&device)[3]), (3, 2, 3), "the others stay");
    }
    assert_eq!(world.pull(&mut device, None).await[0]["removedBuckets"], json!([]));
    assert_eq!(device.ids("steps").len(), 6, "a client that cannot ask gets all");
}

async fn inv02_a_bucket_of_others_is_as_one_that_there_is_not(kind: Kind) {
    let mut world = World::new(kind).await;
    let mut device = device();
    world.pull(&mut device, Some(&["steps:p1"])).await;
    let told = |body: &Value| {
        let mut body = body.clone();
        // Sealed, so that the same one reads differently each time.
        body["cursor"] = Value::Null;
        body
    };
    let others = told(&world.page(&device, Wire::Two, Some(&["steps:p1", "steps:p3"])).await);
    for name in ["steps:p9", "steps:", "steps", "", ":", "steps:p1/p3", "nothing:p3", "catalog:p3", "%"] {
        assert_eq!(told(&world.page(&device, Wire::Two, Some(&["steps:p1", name])).await), others, "{name}");
    }
    // What is another's when it is asked for comes when it is one's own.
    world.db.execute("insert into members (id, \"user\", project) values ('m3', 'ann', 'p3')").await;
    world.pull(&mut device, Some(&["steps:p1", "steps:p3"])).await;
    assert_eq!(device.ids("steps").len(), 6);
    world.db.execute("delete from members where id = 'm3'").await;
    let bodies = world.pull(&mut device, Some(&["steps:p1", "steps:p3"])).await;
    assert_eq!(bodies[0]["removedBuckets"], json!(["projects:p3", "steps:p3"]));
    assert_eq!(device.ids("steps"), ["p1s1", "p1s2", "p1s3"]);
}

async fn inv18_a_write_needs_no_subscription(kind: Kind) {
    let world = World::new(kind).await;
    let mut device = device();
    world.pull(&mut device, Some(&[])).await;
    let pushed = world.push(&mut device, "own", "p1").await;
    assert!(pushed.contains("Applied"), "{pushed}");
    let refused = world.push(&mut device, "others", "p3").await;
    assert!(refused.contains("Forbidden"), "{refused}");
    world.pull(&mut device, Some(&[])).await;
    assert_eq!((device.acknowledged, counts(&device)[2]), (2, 0), "applied, and not to be shown");
    world.pull(&mut device, Some(&["steps:p1"])).await;
    assert!(device.ids("steps").contains(&"own"));
}

/// A change in a bucket that was asked for later than others comes, whatever the device was told before.
async fn inv01_what_was_asked_for_goes_on_to_change(kind: Kind) {
    let mut world = World::new(kind).await;
    let mut device = device();
    world.pull(&mut device, Some(&[])).await;
    // Nothing is new, which the server then expects.
    world.pull(&mut device, Some(&[])).await;
    world.pull(&mut device, Some(&["steps:p1"])).await;
    assert_eq!(device.ids("steps").len(), 3, "although nobody wrote since");
    world.db.execute("delete from steps where id = 'p1s1'").await;
    world.db.execute("insert into steps (id, project) values ('new', 'p1')").await;
    world.pull(&mut device, Some(&["steps:p1"])).await;
    assert_eq!(device.ids("steps"), ["new", "p1s2", "p1s3"]);
    // Deleted while nobody asked for it.
    world.pull(&mut device, Some(&[])).await;
    world.db.execute("delete from steps where id = 'new'").await;
    world.pull(&mut device, Some(&["steps:p1"])).await;
    assert_eq!(device.ids("steps"), ["p1s2", "p1s3"]);
}

both!(
    inv02_inv07_a_device_gets_what_it_asks_for_and_loses_it_again,
    inv02_a_bucket_of_others_is_as_one_that_there_is_not,
    inv18_a_write_needs_no_subscription,
    inv01_what_was_asked_for_goes_on_to_change,
);

#[test]
fn inv32_too_many_names_and_names_too_long_are_refused() {
    let request = |names: Vec<String>| serde_json::from_value::<PullRequest>(json!({"buckets": names}));
    assert!(request(vec!["r:v".to_owned(); 1_000]).is_ok());
    assert!(request(vec!["r:v".to_owned(); 1_001]).is_err());
    assert!(request(vec!["v".repeat(2_048)]).is_ok());
    assert!(request(vec!["v".repeat(2_049)]).is_err());
    assert!(serde_json::from_value::<PullRequest>(json!({"buckets": "r:v"})).is_err());
    assert!(
        serde_json::from_value::<PullRequest>(json!({"buckets": null})).is_ok_and(|request| request.buckets.is_none())
    );
}
