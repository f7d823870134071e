//! Priorities: each is whole when it is shown, the next ones come behind it, and nothing is acknowledged before the last.

use super::{World, counts, device};
use crate::fixture::both;
use nizhal_core::wire::Wire;
use nizhal_tests::Kind;
use serde_json::{Value, json};

const STEPS: &[&str] = &["steps:p1", "steps:p2"];

async fn inv11_each_priority_is_whole_when_it_shows(kind: Kind) {
    let world = World::new(kind).await;
    let (mut paged, mut shown, mut streamed) = (device(), device(), device());
    let mut wanted = [
        ([3, 0, 0, 0], json!(["catalog", "projects", "steps"])),
        ([3, 2, 6, 0], json!(["catalog"])),
        ([3, 2, 6, 3], Value::Null),
    ]
    .into_iter();
    for body in world.pull(&mut paged, Some(STEPS)).await {
        shown.apply(&body);
        if body["complete"] == true {
            let (rows, later) = wanted.next().expect("three priorities");
            assert_eq!((counts(&shown), &body["laterRules"]), (rows, &later));
        }
    }
    assert_eq!(wanted.len(), 0);
    for rows in [[3, 0, 0, 0], [3, 2, 6, 0], [3, 2, 6, 3]] {
        let body = world.stream(&streamed, STEPS).await;
        assert_eq!(body["complete"], true);
        streamed.apply(&body);
        assert_eq!(counts(&streamed), rows);
    }
    let body = world.stream(&streamed, STEPS).await;
    assert_eq!((body["hasMore"].as_bool(), body["changed"].as_array().map(Vec::len)), (None, Some(0)));
}

async fn inv11_a_write_is_acknowledged_when_its_bucket_may_be_there(kind: Kind) {
    let world = World::new(kind).await;
    let mut device = device();
    let pushed = world.push(&mut device, "own", "p1").await;
    assert!(pushed.contains("Applied"), "{pushed}");
    let mut is_there = false;
    for body in world.pull(&mut device, Some(STEPS)).await {
        is_there |= body.to_string().contains("\"own\"");
        assert!(body.get("lastMutationId").is_none() || is_there, "{body}");
    }
    assert!(is_there && device.acknowledged == 1);
}

/// What happens between the pages of a first sync shows in its end, and where it can, at once.
async fn inv01_inv06_inv07_what_changes_meanwhile_comes_too(kind: Kind) {
    let mut world = World::new(kind).await;
    let mut device = device();
    let mut writes = [
        "update settings set owner = 'ben' where id = 'a1'",
        "insert into members (id, \"user\", project) values ('m3', 'ann', 'p3')",
        "delete from members where id = 'm1'",
        "insert into settings (id, owner) values ('a4', 'ann')",
        "update projects set project = 'p1' where id = 'p2'",
        "delete from products where id = 'x1'",
        "update projects set project = 'p2' where id = 'p2'",
    ]
    .into_iter();
    let steps: &[&str] = &["steps:p1", "steps:p2", "steps:p3"];
    loop {
        let body = world.page(&device, Wire::Two, Some(steps)).await;
        if !device.apply(&body).has_more {
            break;
        }
        if let Some(write) = writes.next() {
            world.db.execute(write).await;
        }
    }
    assert_eq!(writes.len(), 0, "there were pages enough");
    world.pull(&mut device, Some(steps)).await;
    assert_eq!((device.ids("settings"), device.ids("projects")), (vec!["a2", "a3", "a4"], vec!["p2", "p3"]));
    assert_eq!((device.ids("steps").len(), device.ids("products")), (6, vec!["x2", "x3"]));
    // A bucket that is gained when all others are there.
    world.db.execute("insert into members (id, \"user\", project) values ('m1', 'ann', 'p1')").await;
    world.pull(&mut device, Some(steps)).await;
    assert_eq!((device.ids("projects").len(), device.ids("steps").len()), (3, 9));
}

/// A row that moves into a bucket which the device has yet to get is gone from it until then.
async fn inv08_a_row_moves_into_a_bucket_that_comes_later(kind: Kind) {
    let mut world = World::new(kind).await;
    let mut device = device();
    let body = loop {
        let body = world.page(&device, Wire::Two, Some(&["steps:p1"])).await;
        device.apply(&body);
        if device.ids("steps").len() == 3 && body["complete"] == true {
            break body;
        }
    };
    assert_eq!(body["laterRules"], json!(["catalog"]));
    world.db.execute("update steps set project = 'p2' where id = 'p1s1'").await;
    world.pull(&mut device, Some(&["steps:p1"])).await;
    assert_eq!(device.ids("steps"), ["p1s2", "p1s3"]);
    world.pull(&mut device, Some(&["steps:p1", "steps:p2"])).await;
    assert_eq!(device.ids("steps").len(), 6);
    world.db.execute("update steps set project = 'p1' where id in ('p1s1', 'p2s1')").await;
    world.pull(&mut device, Some(&["steps:p1"])).await;
    assert_eq!(device.ids("steps"), ["p1s1", "p1s2", "p1s3", "p2s1"]);
}

/// Existing clients go on while the server says that more waits, and get all in the order of the priorities.
async fn wire_one_gets_all_in_the_order_of_the_priorities(kind: Kind) {
    let world = World::new(kind).await;
    let mut device = super::Device::new(&super::Address::default(), "d", "t").bucket_column("project");
    let mut before = [0; 4];
    loop {
        let body = world.page(&device, Wire::One, None).await;
        let has_more = device.apply(&body).has_more;
        let now = counts(&device);
        assert!(now[3] == 0 || now[..3] == [3, 2, 6], "{now:?}");
        assert!(now[1] + now[2] == 0 || now[0] == 3, "{now:?}");
        assert!(now > before || has_more, "{now:?}");
        before = now;
        if !has_more {
            break;
        }
    }
    assert_eq!(before, [3, 2, 6, 3]);
}

/// The total is known with the first rows, and is what comes: of all priorities, and of what is on demand as far as it is asked for.
async fn the_total_is_known_with_the_first_rows(kind: Kind) {
    let mut world = World::new(kind).await;
    world.db.execute("delete from settings where id = 'a3'").await;
    // In a transaction of its own, so that the first page ends before it.
    world.db.execute("insert into settings (id, owner) values ('a4', 'ann')").await;
    let request = |total: bool| json!({"cursor": "", "limit": 2, "total": total, "buckets": ["steps:p1", "steps:p3"]});
    let page = async |request: Value| -> Value {
        let request = serde_json::from_value(request).expect("a request");
        let page = world.engine.pull(&super::ann(), Wire::Two, request).await.expect("an answer");
        serde_json::from_slice(&page.body).expect("JSON")
    };
    // Three settings, two projects, three steps, three products.
    assert_eq!(page(request(true)).await["total"], 11);
    assert_eq!(page(request(false)).await.get("total"), None);
    let mut device = device();
    let bodies = world.pull(&mut device, Some(&["steps:p1", "steps:p3"])).await;
    assert!(bodies.iter().all(|body| body.get("total").is_none()));
    assert_eq!(device.rows.len(), 11);
    let (to, mut from) = tokio::sync::mpsc::channel(1_000);
    let lines = nizhal_runtime::Lines::new(to, std::time::Duration::from_secs(60));
    let request = serde_json::from_value(request(true)).expect("a pull");
    world.engine.pull_lines(&super::ann(), &request, &lines).await;
    let Some(Ok(nizhal_runtime::engine::Line::Rows(line))) = from.recv().await else { panic!("no line") };
    let line: Value = serde_json::from_slice(&line).expect("JSON");
    assert_eq!((&line["table"], &line["total"]), (&json!("settings"), &json!(11)));
}

both!(
    the_total_is_known_with_the_first_rows,
    inv11_each_priority_is_whole_when_it_shows,
    inv11_a_write_is_acknowledged_when_its_bucket_may_be_there,
    inv01_inv06_inv07_what_changes_meanwhile_comes_too,
    inv08_a_row_moves_into_a_bucket_that_comes_later,
    wire_one_gets_all_in_the_order_of_the_priorities,
);
