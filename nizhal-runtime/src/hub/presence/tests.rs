use super::*;
use crate::hub::outbox::bodies;
use serde_json::json;
use std::collections::BTreeSet;

fn bucket(rule: &str) -> Bucket {
    Bucket::new(rule, vec!["42".to_owned()])
}

fn limits() -> PresenceLimits {
    PresenceLimits { silence: Duration::from_secs(30), bytes_per_actor: 2_000, bytes_per_bucket: 3_000 }
}

fn presence_of(hub: Hub) -> Presence {
    Presence::new(hub, Uuid::from_u128(99), limits())
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
    let mut presence_handle = presence.presence_handle(7, "u1", "u1");
    let reference = Uuid::from_u128(1);
    presence_handle.track(&bucket("shops"), reference, &payload(&json!({"typing": true})), Instant::now()).unwrap();
    presence_handle.track(&bucket("channels"), reference, &Map::new(), Instant::now()).unwrap();
    let state = presence.state([&bucket("shops")]);
    assert_eq!(Value::Object(state), json!({"u1": [{"presence_ref": reference.to_string(), "typing": true}]}));
    drop(presence_handle);
    let diffs = watcher.take_batch().diffs;
    assert_eq!(diffs.len(), 2, "the other rule's bucket is not heard");
    assert!(diffs[0].leaves.is_empty() && diffs[1].joins.is_empty());
    assert_eq!(diffs[0].joins, diffs[1].leaves);
    assert!(presence.lock().by_bucket.is_empty());
}

#[test]
fn a_new_payload_replaces_the_old_and_cannot_forge_the_reference() {
    let hub = Hub::default();
    let presence = presence_of(hub);
    let mut presence_handle = presence.presence_handle(1, "u1", "u1");
    presence_handle.track(&bucket("a"), Uuid::from_u128(1), &Map::new(), Instant::now()).unwrap();
    presence_handle
        .track(&bucket("a"), Uuid::from_u128(2), &payload(&json!({"presence_ref": "mine"})), Instant::now())
        .unwrap();
    let state = presence.state([&bucket("a")]);
    assert_eq!(state["u1"], json!([{"presence_ref": Uuid::from_u128(2).to_string()}]));
}

#[test]
fn one_user_with_two_connections_has_two_entries() {
    let presence = presence_of(Hub::default());
    let mut handles = [presence.presence_handle(1, "u1", "u1"), presence.presence_handle(2, "u1", "u1")];
    for presence_handle in &mut handles {
        presence_handle.track(&bucket("a"), Uuid::new_v4(), &Map::new(), Instant::now()).unwrap();
    }
    assert_eq!(presence.state([&bucket("a")])["u1"].as_array().unwrap().len(), 2);
}

#[test]
fn silence_ends_an_entry_and_a_heartbeat_keeps_it() {
    let presence = presence_of(Hub::default());
    let mut presence_handle = presence.presence_handle(1, "u1", "u1");
    let start = Instant::now();
    presence_handle.track(&bucket("a"), Uuid::new_v4(), &Map::new(), start).unwrap();
    presence_handle.heartbeat(&bucket("a"), start + Duration::from_secs(20));
    presence_handle.heartbeat(&bucket("b"), start);
    presence_handle.expire(start + Duration::from_secs(49));
    assert_eq!(presence_handle.next_expiry(), Some(start + Duration::from_secs(50)));
    presence_handle.expire(start + Duration::from_secs(50));
    assert_eq!(presence_handle.next_expiry(), None);
    assert!(presence.state([&bucket("a")]).is_empty());
}

/// Servers that tell each other over a line that loses messages.
struct World {
    servers: Vec<(Hub, Presence, Uuid)>,
    dice: u64,
}

impl World {
    fn new(servers: u128, seed: u64) -> Self {
        let server = |number: u128| {
            let (hub, me) = (Hub::default(), Uuid::from_u128(number + 1));
            hub.outbox().open();
            (hub.clone(), Presence::new(hub, me, limits()), me)
        };
        Self { servers: (0..servers).map(server).collect(), dice: seed }
    }

    fn roll(&mut self, sides: u64) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.dice >> 33) % sides).unwrap()
    }

    /// What waits at this server reaches each other one, or is lost on its way to it.
    fn publish(&mut self, from: usize, loses: bool) {
        let (batch, present) = self.servers[from].1.take_outbox();
        let me = self.servers[from].2;
        let texts = message::write(me, bodies(&batch, present, 300), 300, &mut 0);
        for to in (0..self.servers.len()).filter(|to| *to != from) {
            let mut reader = message::Reader::default();
            for text in &texts {
                if loses && self.roll(4) == 0 {
                    continue;
                }
                let Some(message) = reader.read(text) else { continue };
                let (hub, presence, me) = &self.servers[to];
                let lacks = match message.body {
                    MessageBody::Want { of } if of == *me => {
                        hub.outbox().state();
                        false
                    }
                    body => presence.receive(message.from, body, Instant::now()),
                };
                if lacks {
                    hub.outbox().want(message.from);
                }
            }
        }
    }
}

#[test]
fn inv03_presence_converges_whatever_messages_are_lost() {
    for seed in nizhal_seeds::range(100) {
        let mut world = World::new(3, seed);
        let by_bucket = ["a", "b"].map(bucket);
        let mut watcher = world.servers[0].0.listen();
        watcher.listen_to(BTreeSet::from(by_bucket.clone()));
        let mut handles: Vec<(usize, PresenceHandle)> = (0..9)
            .map(|n| {
                (n % 3, world.servers[n % 3].1.presence_handle(n as u64, ["u1", "u2"][n % 2], ["u1", "u2"][n % 2]))
            })
            .collect();
        let mut shown: BTreeSet<String> = BTreeSet::new();
        let mut watch = |watcher: &crate::hub::Listener| {
            for diff in watcher.take_batch().diffs {
                let entries = |state: &PresenceState| -> Vec<String> {
                    let all = state.iter().flat_map(|(user, entries)| {
                        entries.as_array().unwrap().iter().map(move |entry| format!("{user} {entry}"))
                    });
                    all.map(|entry| format!("{} {entry}", diff.bucket.rule)).collect()
                };
                entries(&diff.leaves).iter().for_each(|left| assert!(shown.remove(left), "{left} left and never came"));
                entries(&diff.joins).into_iter().for_each(|came| assert!(shown.insert(came)));
            }
        };
        for _ in 0..60 {
            let (handle, bucket) = (world.roll(9), by_bucket[world.roll(2)].clone());
            match world.roll(4) {
                0 => handles[handle].1.untrack(&bucket),
                1 => world.publish(handle % 3, true),
                _ => {
                    let shown = payload(&json!({"n": handle, "long": "x".repeat(world.roll(400))}));
                    handles[handle].1.track(&bucket, Uuid::new_v4(), &shown, Instant::now()).unwrap();
                }
            }
            watch(&watcher);
        }
        // The line heals; beats show what is lacking.
        for _ in 0..4 {
            for server in 0..3 {
                world.servers[server].0.outbox().send_heartbeats();
                world.publish(server, false);
            }
        }
        watch(&watcher);
        let states: Vec<String> = (world.servers.iter())
            .map(|(_, presence, _)| {
                let mut entries: Vec<String> = Vec::new();
                for bucket in &by_bucket {
                    for (user, list) in presence.state([bucket]) {
                        entries.extend(list.as_array().unwrap().iter().map(|e| format!("{} {user} {e}", bucket.rule)));
                    }
                }
                entries.sort();
                entries.join("\n")
            })
            .collect();
        assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "{states:#?}; {}", nizhal_seeds::again(seed));
        let mut shown_users: Vec<String> = shown.into_iter().collect();
        shown_users.sort();
        assert_eq!(shown_users.join("\n"), states[0], "the diffs add up to the state; {}", nizhal_seeds::again(seed));
    }
}

#[test]
fn a_silent_server_is_forgotten_and_a_living_one_is_not() {
    let mut world = World::new(2, 1);
    let now = Instant::now();
    let mut presence_handle = world.servers[1].1.presence_handle(1, "u1", "u1");
    presence_handle.track(&bucket("a"), Uuid::new_v4(), &Map::new(), now).unwrap();
    world.servers[1].0.outbox().state();
    world.publish(1, false);
    let presence = world.servers[0].1.clone();
    assert_eq!(presence.state([&bucket("a")]).len(), 1);
    assert!(presence.sweep(now).is_empty());
    assert_eq!(presence.sweep(Instant::now() + Duration::from_secs(1)), [Uuid::from_u128(2)]);
    assert!(presence.state([&bucket("a")]).is_empty());
    // It was only slow: its next beat is answered with a question, and that with all.
    world.servers[1].0.outbox().send_heartbeats();
    world.publish(1, false);
    world.publish(0, false);
    world.publish(1, false);
    assert_eq!(presence.state([&bucket("a")]).len(), 1);
}

#[test]
fn inv28_an_actor_shows_no_more_than_it_may_however_many_connections_it_has() {
    let presence = presence_of(Hub::default());
    let mut handles = [presence.presence_handle(1, "u1", "u1"), presence.presence_handle(2, "u1", "u1")];
    let half = payload(&json!({"long": "x".repeat(800)}));
    let now = Instant::now();
    handles[0].track(&bucket("a"), Uuid::nil(), &half, now).unwrap();
    handles[1].track(&bucket("b"), Uuid::nil(), &half, now).unwrap();
    assert_eq!(handles[1].track(&bucket("c"), Uuid::nil(), &half, now), Err(PresenceFull::Actor));
    handles[0].untrack(&bucket("a"));
    handles[1].track(&bucket("c"), Uuid::nil(), &half, now).unwrap();
    presence.presence_handle(3, "u2", "u2").track(&bucket("d"), Uuid::nil(), &half, now).unwrap();
    drop(handles);
    assert_eq!(presence.shown.taken(), 0);
    let whole = payload(&json!({"long": "x".repeat(2_000)}));
    let mut presence_handle = presence.presence_handle(4, "u1", "u1");
    assert_eq!(presence_handle.track(&bucket("a"), Uuid::nil(), &whole, now), Err(PresenceFull::Actor));
}

#[test]
fn inv28_a_bucket_holds_no_more_than_whoever_comes_may_be_sent() {
    let presence = presence_of(Hub::default());
    let (long, now) = (payload(&json!({"long": "x".repeat(1_200)})), Instant::now());
    let mut handles: Vec<PresenceHandle> =
        (1..4).map(|n| presence.presence_handle(n, &n.to_string(), &n.to_string())).collect();
    for presence_handle in &mut handles[..2] {
        presence_handle.track(&bucket("a"), Uuid::nil(), &long, now).unwrap();
        presence_handle
            .track(&bucket("a"), Uuid::new_v4(), &long, now)
            .unwrap_or_else(|full| panic!("in its own place: {full}"));
    }
    assert_eq!(handles[2].track(&bucket("a"), Uuid::nil(), &long, now), Err(PresenceFull::Bucket));
    handles[2].track(&bucket("b"), Uuid::nil(), &long, now).unwrap();
    handles.remove(0);
    handles[1].untrack(&bucket("b"));
    handles[1].track(&bucket("a"), Uuid::nil(), &long, now).unwrap();
    drop(handles);
    assert!(presence.lock().by_bucket.is_empty());
}
