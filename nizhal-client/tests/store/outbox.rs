//! Writes: what is queued, refused, undone, kept as a dead letter.

use crate::app::{Device, item, page};
use crate::run;
use nizhal_client::store::Store as _;
use nizhal_client::{Effect, MutateError};
use serde_json::json;

#[test]
fn what_the_mutator_refuses_is_neither_written_nor_queued() {
    run(async {
        let device = Device::new().await;
        device.mutate("put", json!({"id": "a", "name": "A"})).await;
        let refused = device.try_mutate("put", json!({"id": "a", "name": "again"})).await;
        assert!(matches!(refused, Err(MutateError::Rejected(reason)) if reason == "there is one"));
        let unfit = device.try_mutate("put", json!({"id": 7})).await;
        assert!(matches!(unfit, Err(MutateError::InvalidArgs(reason)) if reason.starts_with("id: ")));
        assert!(matches!(device.try_mutate("faulty", json!({"id": "a"})).await, Err(MutateError::Failed(_))));
        assert!(matches!(device.try_mutate("unheard", json!({})).await, Err(MutateError::UnknownMutator(_))));
        assert_eq!((device.names().await, device.outbox().await.len()), ("a=A".to_owned(), 1));
        // No number was used up by those that came to nothing.
        device.mutate("put", json!({"id": "b", "name": "B"})).await;
        assert_eq!(device.outbox().await[1].mutation_id, Some(2));
    });
}

#[test]
fn what_only_the_server_can_run_is_queued_without_effect() {
    run(async {
        let device = Device::new().await;
        let written = device.try_mutate("careful", json!({"id": "s1", "name": "x"})).await.unwrap();
        assert_eq!(written.effect, Effect::ServerOnly);
        device.pull(page("c1", json!({"items": [item("a", "A")]}), json!({}))).await;
        assert_eq!((device.names().await, device.outbox().await.len()), ("a=A".to_owned(), 1));
    });
}

#[test]
fn what_changes_a_row_that_is_not_here_is_queued_without_effect() {
    run(async {
        let device = Device::new().await;
        let written = device.try_mutate("relabel", json!({"id": "unseen", "name": "new"})).await.unwrap();
        assert_eq!(
            (written.effect, device.names().await, device.outbox().await.len()),
            (Effect::RowAbsent, String::new(), 1)
        );
        // Whoever refuses is refused.
        let refused = device.try_mutate("rename", json!({"id": "unseen", "name": "new"})).await;
        assert!(matches!(refused, Err(MutateError::Rejected(_))), "{refused:?}");
        // When the row comes, the change shows over it.
        device.pull(page("c1", json!({"items": [item("unseen", "old")]}), json!({}))).await;
        assert_eq!(device.names().await, "unseen=new");
    });
}

#[test]
fn inv12_the_same_write_twice_is_one() {
    run(async {
        let device = Device::new().await;
        let draft = nizhal_client::store::Draft {
            id: "m-1".into(),
            name: "bump".into(),
            args: json!({"id": "a"}).to_string(),
            now: "2026-11-21T10:00:00Z".parse().unwrap(),
            local: true,
            depends_on: vec!["m-0".into()],
            replaces: None,
        };
        device.pull(page("c1", json!({"items": [item("a", "A")]}), json!({}))).await;
        device.store.mutate(draft.clone()).await.unwrap();
        device.store.mutate(draft).await.unwrap();
        assert_eq!((device.items().await[0].2, device.outbox().await.len()), (1, 1));
        assert_eq!(*device.outbox().await[0].depends_on, ["m-0"]);
    });
}

#[test]
fn inv16_a_refusal_is_undone_and_parked_and_the_rest_goes_on() {
    run(async {
        let device = Device::new().await;
        device.pull(page("c1", json!({"items": [item("a", "A")]}), json!({}))).await;
        device.mutate("put", json!({"id": "b", "name": "refused"})).await;
        device.mutate("rename", json!({"id": "a", "name": "kept"})).await;
        device.mutate("rename", json!({"id": "b", "name": "on sand"})).await;
        device.mutate("dropItem", json!({"id": "b"})).await;
        let outbox = device.outbox().await;
        let first = vec![outbox[0].client_mutation_id.clone()];
        let needs: Vec<_> = outbox.iter().map(|m| m.depends_on.to_vec()).collect();
        assert_eq!(needs, [vec![], vec![], first.clone(), first], "who writes to a row depends on who made it");
        device.answer(1, "rejected").await;
        assert_eq!(device.names().await, "a=kept");
        let dead_letters = device.store.dead_letters().await.unwrap();
        assert_eq!((dead_letters.len(), &*dead_letters[0].code, &*dead_letters[0].error), (1, "rejected", "no"));
        device.answer(3, "cancelled").await;
        let memory = device.store.memory().await.unwrap();
        assert_eq!((memory.waiting, memory.dead_letters, device.names().await), (0, 4, "a=A".to_owned()));
        assert!(device.store.discard(&dead_letters[0].id).await.unwrap());
        assert!(!device.store.discard(&dead_letters[0].id).await.unwrap());
        assert_eq!(device.store.memory().await.unwrap().dead_letters, 3);
    });
}

#[test]
fn inv16_what_no_request_can_carry_is_parked_with_what_depends_on_it() {
    run(async {
        let device = Device::new().await;
        device.mutate("put", json!({"id": "big", "name": "x"})).await;
        device.mutate("rename", json!({"id": "big", "name": "y"})).await;
        device.mutate("put", json!({"id": "small", "name": "z"})).await;
        device.store.park("too_large", "it is", &crate::app::new_id).await.unwrap();
        let dead_letters = device.store.dead_letters().await.unwrap();
        let told: Vec<_> = dead_letters.iter().map(|p| (&*p.status, &*p.code)).collect();
        assert_eq!(told, [("rejected", "too_large"), ("cancelled", "cancelled")]);
        assert_eq!(device.names().await, "small=z");
        assert_eq!(device.outbox().await[0].mutation_id, Some(1), "its number was never used");
    });
}

#[test]
fn inv15_stamps_and_order_survive_a_clock_that_goes_back() {
    run(async {
        let device = Device::new().await;
        for (id, now) in [("a", "2026-11-21T10:00:00Z"), ("b", "2019-01-01T00:00:00Z"), ("c", "2026-11-21T10:00:01Z")] {
            let draft = nizhal_client::store::Draft {
                id: id.into(),
                name: "put".into(),
                args: json!({"id": id, "name": id}).to_string(),
                now: now.parse().unwrap(),
                local: true,
                depends_on: vec![],
                replaces: None,
            };
            device.store.mutate(draft).await.unwrap();
        }
        let outbox = device.outbox().await;
        let stamps: Vec<_> = outbox.iter().map(|m| m.hlc.unwrap()).collect();
        assert!(stamps.is_sorted() && stamps[0] < stamps[1], "{stamps:?}");
        assert_eq!(outbox.iter().map(|m| &*m.client_mutation_id).collect::<Vec<_>>(), ["a", "b", "c"]);
    });
}

#[test]
fn inv23_answers_about_others_settle_nothing() {
    run(async {
        let device = Device::new().await;
        device.mutate("put", json!({"id": "a", "name": "Mine"})).await;
        let other = json!([{"clientMutationId": "someone-else", "status": "applied"}]);
        let results: Vec<_> = serde_json::from_value(other).unwrap();
        let (stored, _) = device.store.store_push(&results).await.unwrap();
        assert_eq!((stored.answered, stored.parted, stored.memory.waiting), (0, false, 1));
    });
}

#[test]
fn inv19_a_sequence_that_is_anothers_is_left_and_nothing_is_refused() {
    run(async {
        let device = Device::new().await;
        device.mutate("put", json!({"id": "a", "name": "Mine"})).await;
        let id = device.outbox().await[0].client_mutation_id.clone();
        for (status, code, last) in
            [("forbidden", Some("client_id_taken"), 0), ("rejected", Some("number_used"), 0), ("outOfOrder", None, -1)]
        {
            let result = json!([{"clientMutationId": id, "status": status, "code": code, "lastMutationId": last}]);
            let (stored, _) =
                device.store.store_push(&serde_json::from_value::<Vec<_>>(result).unwrap()).await.unwrap();
            assert_eq!((stored.parted, stored.memory.dead_letters), (true, 0), "{status}");
        }
        device.store.rotate(&crate::app::new_id).await.unwrap();
        assert_eq!(device.outbox().await[0].client_mutation_id, id);
    });
}

#[test]
fn a_run_again_makes_the_same_rows() {
    run(async {
        let device = Device::new().await;
        device.mutate("make", json!({})).await;
        let before = device.items().await;
        device.pull(page("c1", json!({"items": [item("z", "Z")]}), json!({}))).await;
        device.pull(page("c2", json!({"items": [item("z", "ZZ")]}), json!({}))).await;
        assert_eq!(device.items().await[..1], before[..]);
        assert!(before[0].1.ends_with("2026-11-21 10:00:00.123 UTC"), "{before:?}");
    });
}

#[test]
fn inv22_writes_that_share_a_commit_succeed_and_fail_apart() {
    run(async {
        let device = Device::new().await;
        let ids = ["a", "b", "b", "c", "a", "d"];
        let writes = ids.map(|id| device.try_mutate("put", json!({"id": id, "name": id})));
        let done = futures_util::future::join_all(writes).await;
        let refused: Vec<bool> = done.iter().map(|done| matches!(done, Err(MutateError::Rejected(_)))).collect();
        assert_eq!(refused, [false, false, true, false, true, false]);
        assert_eq!(device.names().await, "a=a b=b c=c d=d");
        let numbers: Vec<_> = device.outbox().await.iter().map(|mutation| mutation.mutation_id.unwrap()).collect();
        assert_eq!(numbers, [1, 2, 3, 4], "what was refused left no gap");
        assert_eq!(device.store.memory().await.unwrap().waiting, 4);
    });
}
