//! Priorities and buckets on demand: what shows when, what is asked for, and until when.

use crate::app::{Claims, Device, item, mutators, page, rules, tables};
use crate::client::told;
use crate::run;
use nizhal::DateTimeUtc;
use nizhal_client::environment::{Clock, SystemClock};
use nizhal_client::store::{Location, OtherUser, Store as _};
use nizhal_client::{Client, SubscribeError};
use nizhal_core::__private::BoxFuture;
use nizhal_tests::TempDir;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

#[test]
fn inv11_a_priority_shows_when_it_is_complete_and_a_reset_takes_nothing_away() {
    run(async {
        let device = Device::new().await;
        let part = |more: Value| {
            let mut fields = json!({"hasMore": true, "complete": true, "laterRules": ["sent"]});
            fields.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            fields
        };
        let (stored, changed) = device.pull(page("c1", json!({"items": [item("a", "A")]}), part(json!({})))).await;
        assert!(!stored.complete && stored.partly && stored.moved && changed.contains("items"));
        assert_eq!(
            (device.names().await.as_str(), stored.memory.incomplete, stored.memory.complete),
            ("a=A", 1, false)
        );
        assert_eq!(device.store.later_rules().await.unwrap(), ["sent"]);
        let (stored, _) = device.pull(page("c2", json!({"items": [item("b", "B")]}), json!({}))).await;
        assert!(stored.complete && stored.memory.complete && stored.memory.incomplete == 0);
        assert_eq!(device.names().await, "a=A b=B");

        let reset = part(json!({"cursorReset": true}));
        let (stored, _) = device.pull(page("c3", json!({"items": [item("c", "C")]}), reset)).await;
        assert!(!stored.complete && !stored.partly);
        device.pull(page("c4", json!({"items": [item("d", "D")]}), part(json!({})))).await;
        assert_eq!(device.names().await, "a=A b=B", "all of it shows until all of the new is there");
        device.pull(page("c5", json!({"items": [item("e", "E")]}), json!({}))).await;
        assert_eq!(device.names().await, "c=C d=D e=E");
    });
}

#[test]
fn inv22_what_is_subscribed_to_is_asked_for_until_its_time_is_over() {
    run(async {
        let dir = TempDir::new("device");
        let location = Location::File(dir.path().join("app.db"));
        let device = Device::open(&location, OtherUser::Apart, "ana").await.unwrap();
        let asked = async |device: &Device| device.store.begin_pull().await.unwrap().buckets.unwrap();
        let complete = async |device: &Device| -> Vec<bool> {
            device.store.subscribed().await.unwrap().iter().map(|one| one.complete).collect()
        };
        assert_eq!(asked(&device).await, [""; 0]);
        assert!(device.store.subscribe("received:s1", 1_000, 2).await.unwrap());
        assert!(device.store.subscribe("received:s2", 2_000, 2).await.unwrap());
        assert!(!device.store.subscribe("received:s3", 2_000, 2).await.unwrap(), "there are two");
        assert!(device.store.subscribe("received:s1", 1_500, 2).await.unwrap(), "one of them goes on");
        let later = json!({"hasMore": true, "complete": true, "laterRules": ["received"]});
        device.pull(page("c1", json!({}), later)).await;
        assert_eq!(complete(&device).await, [false, false]);
        device.pull(page("c2", json!({}), json!({}))).await;
        assert_eq!(complete(&device).await, [true, true]);

        let again = Device::open(&location, OtherUser::Apart, "ana").await.unwrap();
        again.store.end_subscriptions(1_499).await.unwrap();
        assert_eq!(asked(&again).await, ["received:s1", "received:s2"]);
        again.store.end_subscriptions(1_500).await.unwrap();
        assert_eq!((asked(&again).await, complete(&again).await), (vec!["received:s2".to_owned()], vec![true]));
    });
}

/// A wall clock that stands where the test puts it.
#[derive(Clone)]
struct Wall(Arc<AtomicI64>, SystemClock);

impl Clock for Wall {
    fn now(&self) -> DateTimeUtc {
        DateTimeUtc::from_timestamp_millis(self.0.load(SeqCst)).unwrap()
    }
    fn steady_ms(&self) -> i64 {
        self.1.steady_ms()
    }
    fn sleep_until(&self, at_ms: i64) -> BoxFuture<'static, ()> {
        self.1.sleep_until(at_ms)
    }
}

#[test]
fn inv07_a_subscription_that_was_dropped_is_kept_for_its_time() {
    run(async {
        let (asked, wall) = (Arc::new(Mutex::new(Vec::new())), Wall(Arc::default(), SystemClock::default()));
        let said = asked.clone();
        let server = told(move |path, body| {
            if path == "/sync/pull" {
                said.lock().unwrap().push(body["buckets"].clone());
            }
            Some((200, page(&format!("c{}", said.lock().unwrap().len()), json!({}), json!({}))))
        });
        let claims = Claims { user_id: "ana".to_owned(), owner_id: "o1".to_owned() };
        let setup = Client::setup(claims).tables(tables()).mutators(mutators()).rules(rules()).clock(wall.clone());
        let client = Box::pin(setup.transport(server, "t".to_owned()).open()).await.unwrap();
        let refused = async |rule: &str, params: Vec<&str>| client.subscribe(rule, params).await.unwrap_err();
        assert!(matches!(refused("nothing", vec!["s1"]).await, SubscribeError::UnknownRule(_)));
        assert!(matches!(refused("sent", vec!["s1"]).await, SubscribeError::NotOnDemand(_)));
        assert!(matches!(refused("received", vec![]).await, SubscribeError::Parameters { wanted: 1, given: 0, .. }));
        assert!(matches!(refused("received", vec![&"s".repeat(3_000)]).await, SubscribeError::TooLong));

        let (one, two) =
            (client.subscribe("received", ["s1"]).await.unwrap(), client.subscribe("received", ["s1"]).await.unwrap());
        nizhal_tests::within("the bucket", one.ready(), || format!("{:?}", asked.lock().unwrap())).await.unwrap();
        assert_eq!(asked.lock().unwrap().last(), Some(&json!(["received:s1"])));
        let next = async |at_ms: i64| {
            wall.0.store(at_ms, SeqCst);
            let before = asked.lock().unwrap().len();
            client.sync_now();
            let pulled = async {
                while asked.lock().unwrap().len() == before {
                    tokio::task::yield_now().await
                }
            };
            nizhal_tests::within("a pull", pulled, || "none".to_owned()).await;
            asked.lock().unwrap().last().cloned().unwrap()
        };
        const HOUR_MS: i64 = 60 * 60 * 1_000;
        drop(one);
        assert_eq!(next(10 * HOUR_MS).await, json!(["received:s1"]), "somebody is still subscribed");
        drop(two);
        assert_eq!(next(11 * HOUR_MS - 1).await, json!(["received:s1"]), "its time is not over");
        assert_eq!(next(11 * HOUR_MS).await, json!([]));
        client.close().await;
    });
}
