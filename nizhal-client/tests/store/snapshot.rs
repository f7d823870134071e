//! Pulls: what is shown when, and what lies over it.

use crate::app::{Device, Item, ItemColumn, Stock, Transfer, item, page};
use crate::run;
use nizhal::prelude::*;
use nizhal_client::store::{PullAnswer, Store as _};
use serde_json::json;

#[test]
fn inv05_the_answer_to_an_older_question_changes_nothing() {
    run(async {
        let device = Device::new().await;
        let older = device.store.begin_pull().await.unwrap();
        device.pull(page("c1", json!({"items": [item("a", "New")]}), json!({}))).await;
        let stale = page("c0", json!({"items": [item("a", "Old")]}), json!({})).to_string().into_bytes();
        device
            .store
            .store_pull(&older, PullAnswer { page: stale, ..PullAnswer::default() }, &crate::app::new_id)
            .await
            .unwrap();
        // It speaks of a sequence that is no more: its acknowledgement would drop another write.
        let before = device.store.begin_pull().await.unwrap();
        device.mutate("put", json!({"id": "b", "name": "Waits"})).await;
        device.store.rotate(&crate::app::new_id).await.unwrap();
        let covering = page("c2", json!({}), json!({"lastMutationId": 1})).to_string().into_bytes();
        device
            .store
            .store_pull(&before, PullAnswer { page: covering, ..PullAnswer::default() }, &crate::app::new_id)
            .await
            .unwrap();
        assert_eq!(device.names().await, "a=New b=Waits");
        assert_eq!(device.store.begin_pull().await.unwrap().cursor, "c1");
    });
}

#[test]
fn inv11_a_snapshot_is_shown_whole_or_not_at_all() {
    run(async {
        let device = Device::new().await;
        device.pull(page("c1", json!({"items": [item("a", "1")]}), json!({}))).await;
        let (stored, touched) = device
            .pull(page("c2", json!({"items": [item("b", "2")]}), json!({"hasMore": true, "complete": false})))
            .await;
        assert!(stored.moved && !stored.complete && stored.memory.staging && touched.is_empty());
        assert_eq!(device.names().await, "a=1");
        let gone = json!({"tombstoned": [{"table": "items", "id": "a"}]});
        let (stored, touched) = device.pull(page("c3", json!({"items": [item("b", "3")]}), gone)).await;
        assert!(stored.complete && !stored.memory.staging);
        assert_eq!(
            (device.names().await, touched.into_iter().collect::<Vec<_>>()),
            ("b=3".into(), vec!["items".into()])
        );
        assert_eq!(device.store.begin_pull().await.unwrap().cursor, "c3");
    });
}

#[test]
fn inv05_a_reset_in_the_middle_forgets_the_pages_before_it() {
    run(async {
        let device = Device::new().await;
        device.pull(page("c1", json!({"items": [item("a", "old")]}), json!({}))).await;
        let more = || json!({"hasMore": true, "complete": false});
        device.pull(page("c2", json!({"items": [item("b", "lost")]}), more())).await;
        let mut reset = page("d1", json!({"items": [item("c", "kept")]}), more());
        reset["cursorReset"] = json!(true);
        device.pull(reset).await;
        assert_eq!(device.names().await, "a=old");
        device.pull(page("d2", json!({"items": [item("d", "kept")]}), json!({}))).await;
        assert_eq!(device.names().await, "c=kept d=kept");
    });
}

#[test]
fn inv05_lines_that_were_cut_are_forgotten() {
    run(async {
        let device = Device::new().await;
        device.store.begin_pull().await.unwrap();
        let line = json!({"table": "items", "rows": [item("a", "cut")]}).to_string().into_bytes();
        device.store.spill(&[line]).await.unwrap();
        let asked = device.store.begin_pull().await.unwrap();
        let lines = |id: &str| vec![json!({"table": "items", "rows": [item(id, "whole")]}).to_string().into_bytes()];
        device.store.spill(&lines("b")).await.unwrap();
        let last = page("c1", json!({}), json!({})).to_string().into_bytes();
        let stored = device
            .store
            .store_pull(&asked, PullAnswer { images: Vec::new(), lines: lines("c"), page: last }, &crate::app::new_id)
            .await
            .unwrap()
            .0;
        assert!(stored.complete);
        assert_eq!(device.names().await, "b=whole c=whole");
    });
}

#[test]
fn inv22_a_page_that_breaks_half_way_changes_nothing() {
    run(async {
        let device = Device::new().await;
        device.pull(page("c1", json!({"items": [item("a", "1")]}), json!({}))).await;
        device.mutate("put", json!({"id": "m", "name": "mine"})).await;
        let broken = json!({"shop": "s1", "name": "3", "count": "3"});
        let wrong = page("c2", json!({"items": [item("b", "2"), broken]}), json!({"lastMutationId": 1}));
        assert!(device.try_pull(wrong).await.is_err());
        assert_eq!(device.names().await, "a=1 m=mine");
        assert_eq!(device.store.begin_pull().await.unwrap().cursor, "c1");
        assert_eq!(device.outbox().await.len(), 1);
        // And the store is as good as before.
        device.pull(page("c2", json!({"items": [item("b", "2")]}), json!({}))).await;
        assert_eq!(device.names().await, "a=1 b=2 m=mine");
    });
}

#[test]
fn inv07_a_lost_bucket_takes_its_rows_along() {
    run(async {
        let device = Device::new().await;
        let other = json!({"id": "b", "shop": "s/2", "name": "B", "count": "0"});
        let stock = json!([{"shop": "s1", "number": 1, "amount": "5"}, {"shop": "s/2", "number": 1, "amount": "6"}]);
        device.pull(page("c1", json!({"items": [item("a", "A"), other], "stock": stock}), json!({}))).await;
        // A row that moved to a bucket that is held comes with it.
        let moved = page("c2", json!({"items": [item("b", "moved")]}), json!({"removedBuckets": ["shops:s/2"]}));
        device.pull(moved).await;
        assert_eq!(device.names().await, "a=A b=moved");
        let left: Vec<_> = Stock::find().all(device.store.reads()).await.unwrap().into_iter().map(|s| s.shop).collect();
        assert_eq!(left, ["s1"]);
        let (stored, _) = device.pull(page("c3", json!({}), json!({"removedBuckets": ["unheard:s1"]}))).await;
        assert!(stored.complete, "a rule that the app does not know showed it nothing");
    });
}

#[test]
fn inv07_what_another_held_bucket_may_show_is_asked_for_again() {
    run(async {
        let device = Device::new().await;
        let transfers =
            json!([{"id": "t", "from_shop": "s1", "to_shop": "s2"}, {"id": "u", "from_shop": "s2", "to_shop": "s2"}]);
        let ids = async || {
            let found = Transfer::find().all(device.store.reads()).await.unwrap();
            found.into_iter().map(|transfer| transfer.id).collect::<Vec<_>>()
        };
        device.pull(page("c1", json!({"transfers": transfers}), json!({}))).await;
        let (stored, _) = device.pull(page("c2", json!({}), json!({"removedBuckets": ["sent:s1"]}))).await;
        assert!(!stored.complete && stored.moved && !stored.memory.has_cursor);
        // Until all is known again, what was shown is shown.
        assert_eq!(ids().await, ["t", "u"]);
        device.pull(page("c3", json!({"transfers": [transfers[0].clone()]}), json!({}))).await;
        assert_eq!(ids().await, ["t"]);
    });
}

#[test]
fn inv09_a_pending_change_does_not_raise_a_deleted_row() {
    run(async {
        let device = Device::new().await;
        device.pull(page("c1", json!({"items": [item("a", "Here")]}), json!({}))).await;
        device.mutate("rename", json!({"id": "a", "name": "Renamed"})).await;
        let gone = json!({"tombstoned": [{"table": "items", "id": "a"}]});
        device.pull(page("c2", json!({}), gone)).await;
        assert_eq!(device.names().await, "");
        assert_eq!(device.outbox().await.len(), 1, "the server decides");
        // Its effect shows again when the row is there again.
        device.pull(page("c3", json!({"items": [item("a", "Back")]}), json!({}))).await;
        assert_eq!(device.names().await, "a=Renamed");
    });
}

#[test]
fn inv11_an_effect_is_dropped_only_when_the_rows_show_it() {
    run(async {
        let device = Device::new().await;
        device.pull(page("c1", json!({"items": [item("a", "A")]}), json!({}))).await;
        device.mutate("bump", json!({"id": "a"})).await;
        device.mutate("bump", json!({"id": "a"})).await;
        device.answer(2, "applied").await;
        let counts = async || device.items().await[0].2;
        assert_eq!(counts().await, 2, "answered, and the rows do not show it yet");
        let mut row = item("a", "A");
        row["count"] = json!("11");
        device.pull(page("c2", json!({"items": [row.clone()]}), json!({"lastMutationId": 1}))).await;
        assert_eq!(counts().await, 12, "the first is in the row, the second is not");
        row["count"] = json!("12");
        device.pull(page("c3", json!({"items": [row]}), json!({"lastMutationId": 2}))).await;
        assert_eq!(counts().await, 12);
        assert_eq!(device.store.memory().await.unwrap().waiting, 0);
    });
}

#[test]
fn inv23_rows_that_show_it_are_no_answer() {
    run(async {
        let device = Device::new().await;
        device.pull(page("c1", json!({}), json!({}))).await;
        device.mutate("put", json!({"id": "a", "name": "Mine"})).await;
        device.pull(page("c2", json!({"items": [item("a", "Mine")]}), json!({"lastMutationId": 1}))).await;
        assert_eq!(device.outbox().await.len(), 1, "it is asked for until there is an answer");
        device.answer(1, "duplicate").await;
        assert_eq!((device.outbox().await.len(), device.names().await), (0, "a=Mine".to_owned()));
    });
}

#[test]
fn inv10_another_epoch_sends_again_what_the_rows_do_not_show() {
    run(async {
        let device = Device::new().await;
        device.pull(page("c1", json!({"items": [item("a", "A")]}), json!({}))).await;
        device.mutate("put", json!({"id": "lost", "name": "acknowledged"})).await;
        device.mutate("put", json!({"id": "w", "name": "waits"})).await;
        let before = device.outbox().await;
        device.answer(1, "applied").await;
        let mut restored =
            page("d1", json!({"items": [item("a", "older")]}), json!({"epoch": "e2", "cursorReset": true}));
        restored["lastMutationId"] = json!(9);
        let (stored, _) = device.pull(restored).await;
        assert!(stored.rotated);
        let again = device.outbox().await;
        let ids = |batch: &[nizhal_core::wire::Mutation]| {
            batch.iter().map(|m| m.client_mutation_id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&again), ids(&before));
        assert_ne!(again[0].client_id, before[0].client_id);
        assert_eq!(again.iter().map(|m| m.mutation_id).collect::<Vec<_>>(), [Some(1), Some(2)]);
        assert_eq!(device.names().await, "a=older lost=acknowledged w=waits");
    });
}

#[test]
fn inv22_unique_values_may_change_hands() {
    run(async {
        let device = Device::new().await;
        let coded = |id: &str, code: &str| {
            let mut row = item(id, id);
            row["code"] = json!(code);
            row
        };
        device.pull(page("c1", json!({"items": [coded("a", "1"), coded("b", "2")]}), json!({}))).await;
        device.mutate("put", json!({"id": "m", "name": "mine", "code": "3"})).await;
        device.pull(page("c2", json!({"items": [coded("a", "2"), coded("b", "1"), coded("c", "3")]}), json!({}))).await;
        let codes: Vec<_> = Item::find().order_by_asc(ItemColumn::Id).all(device.store.reads()).await.unwrap();
        let codes: Vec<_> = codes.into_iter().map(|item| (item.id, item.code.unwrap_or_default())).collect();
        // The server will refuse `m`; until then it has no effect here.
        assert_eq!(codes, [("a".into(), "2".into()), ("b".into(), "1".into()), ("c".into(), "3".into())]);
        assert_eq!(device.outbox().await.len(), 1);
    });
}

#[test]
fn composite_keys_are_found_by_their_text() {
    run(async {
        let device = Device::new().await;
        let stock = json!([{"shop": "s,1", "number": 1, "amount": "5"}, {"shop": "s,1", "number": 2, "amount": "9007199254740993"}]);
        device.pull(page("c1", json!({"stock": stock}), json!({}))).await;
        let gone = json!({"removed": [{"table": "stock", "id": "[\"s,1\",\"1\"]"}]});
        device.pull(page("c2", json!({}), gone)).await;
        let left = Stock::find().all(device.store.reads()).await.unwrap();
        assert_eq!(left.iter().map(|s| (s.number, s.amount)).collect::<Vec<_>>(), [(2, 9_007_199_254_740_993)]);
    });
}
