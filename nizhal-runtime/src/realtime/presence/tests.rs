use super::*;
use serde_json::json;
use std::collections::BTreeSet;

fn bucket(rule: &str) -> Bucket {
    Bucket::new(rule, vec!["42".to_owned()])
}

fn presence_of(hub: Hub) -> Presence {
    Presence::new(hub, Uuid::from_u128(99), Duration::from_secs(30))
}

fn payload(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn joins_and_leaves_reach_the_bucket() {
    let hub = Hub::default();
    let presence = presence_of(hub.clone());
    let mut watcher = hub.listen();
    watcher.listen_to(BTreeSet::from([bucket("shops")]));
    let mut seat = presence.seat(7, "u1");
    let reference = Uuid::from_u128(1);
    seat.track(&bucket("shops"), reference, &payload(&json!({"typing": true})), Instant::now());
    seat.track(&bucket("channels"), reference, &Map::new(), Instant::now());
    let state = presence.state([&bucket("shops")]);
    assert_eq!(Value::Object(state), json!({"u1": [{"presence_ref": reference.to_string(), "typing": true}]}));
    drop(seat);
    let diffs = watcher.take().diffs;
    assert_eq!(diffs.len(), 2, "the other rule's bucket is not heard");
    assert!(diffs[0].leaves.is_empty() && diffs[1].joins.is_empty());
    assert_eq!(diffs[0].joins, diffs[1].leaves);
    assert!(presence.lock().rooms.is_empty());
}

#[test]
fn a_new_payload_replaces_the_old_and_cannot_forge_the_reference() {
    let hub = Hub::default();
    let presence = presence_of(hub);
    let mut seat = presence.seat(1, "u1");
    seat.track(&bucket("a"), Uuid::from_u128(1), &Map::new(), Instant::now());
    seat.track(&bucket("a"), Uuid::from_u128(2), &payload(&json!({"presence_ref": "mine"})), Instant::now());
    let state = presence.state([&bucket("a")]);
    assert_eq!(state["u1"], json!([{"presence_ref": Uuid::from_u128(2).to_string()}]));
}

#[test]
fn one_user_with_two_connections_has_two_entries() {
    let presence = presence_of(Hub::default());
    let mut seats = [presence.seat(1, "u1"), presence.seat(2, "u1")];
    for seat in &mut seats {
        seat.track(&bucket("a"), Uuid::new_v4(), &Map::new(), Instant::now());
    }
    assert_eq!(presence.state([&bucket("a")])["u1"].as_array().unwrap().len(), 2);
}

#[test]
fn silence_ends_an_entry_and_a_heartbeat_keeps_it() {
    let presence = presence_of(Hub::default());
    let mut seat = presence.seat(1, "u1");
    let start = Instant::now();
    seat.track(&bucket("a"), Uuid::new_v4(), &Map::new(), start);
    seat.heartbeat(&bucket("a"), start + Duration::from_secs(20));
    seat.heartbeat(&bucket("b"), start);
    seat.expire(start + Duration::from_secs(49));
    assert_eq!(seat.next_expiry(), Some(start + Duration::from_secs(50)));
    seat.expire(start + Duration::from_secs(50));
    assert_eq!(seat.next_expiry(), None);
    assert!(presence.state([&bucket("a")]).is_empty());
}
