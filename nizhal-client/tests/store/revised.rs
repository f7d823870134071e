//! Results that the server changes after it gave them: mutations are parked and unparked, and the app is told.

use crate::app::{Device, Seat, SeatColumn, page};
use crate::run;
use nizhal::prelude::*;
use nizhal_client::store::{Location, OtherUser, Store as _};
use nizhal_client::{Effect, MutateError};
use serde_json::{Value, json};

fn sit(seat: &str, holder: &str) -> Value {
    json!({"shop": "s1", "seat": seat, "holder": holder})
}

/// What the server says of a mutation now.
fn now(id: &str, status: &str) -> Value {
    let error = (status != "applied").then_some("the seat is taken");
    json!({"clientMutationId": id, "status": status, "code": error.map(|_| status), "error": error})
}

async fn seats(device: &Device) -> String {
    let seats = Seat::find().order_by_asc(SeatColumn::Seat).all(device.store.reads()).await.expect("seats are read");
    seats.into_iter().map(|seat| format!("{}={}", seat.seat, seat.holder)).collect::<Vec<_>>().join(" ")
}

/// The dead letters, and what the app is to be told.
async fn lists(device: &Device) -> (String, String) {
    let dead_letters = device.store.dead_letters().await.expect("dead letters are read").into_iter();
    let revised = device.store.revised().await.expect("revised ones are read").into_iter();
    let dead_letters = dead_letters.map(|one| format!("{} {} {}: {}", one.id, one.name, one.status, one.error));
    let name = |name: Option<String>| name.unwrap_or_else(|| "?".to_owned());
    let revised = revised.map(|one| format!("{} {} {}", one.id, name(one.name), one.status));
    (dead_letters.collect::<Vec<_>>().join(", "), revised.collect::<Vec<_>>().join(", "))
}

/// A device whose mutation `m1` took the seat, was applied, and is in the rows of `c1`.
async fn seated() -> Device {
    let device = Device::new().await;
    device.try_mutate_as("m1", "sit", sit("a", "me")).await.expect("it is written");
    device.answer(1, "applied").await;
    let row = json!({"shop": "s1", "seat": "a", "holder": "me"});
    device.pull(page("c1", json!({"seats": [row]}), json!({"lastMutationId": 1}))).await;
    device
}

fn is(dead_letters: &str, revised: &str) -> (String, String) {
    (dead_letters.to_owned(), revised.to_owned())
}

#[test]
fn inv37_an_answered_mutation_is_parked_with_its_arguments_and_unparked() {
    run(async {
        let device = seated().await;
        assert_eq!(lists(&device).await, is("", ""));
        let row = json!({"shop": "s1", "seat": "a", "holder": "eve"});
        let taken = page("c2", json!({"seats": [row]}), json!({"revised": [now("m1", "rejected")]}));
        let (stored, changed) = device.pull(taken).await;
        assert_eq!(lists(&device).await, is("m1 sit rejected: the seat is taken", "m1 sit rejected"));
        assert_eq!((seats(&device).await, stored.memory.dead_letters), ("a=eve".to_owned(), 1));
        assert!(changed.contains("_nizhal_revised"), "whoever watches the list is woken: {changed:?}");
        let dead_letters = device.store.dead_letters().await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&dead_letters[0].args).unwrap(), sit("a", "me"));

        // The same again, as after a cursor that was lost.
        let (_, changed) = device.pull(page("c3", json!({}), json!({"revised": [now("m1", "rejected")]}))).await;
        assert_eq!(lists(&device).await, is("m1 sit rejected: the seat is taken", "m1 sit rejected"));
        assert!(!changed.contains("_nizhal_revised"), "{changed:?}");

        let told = device.store.revised().await.unwrap().remove(0);
        device.pull(page("c4", json!({}), json!({"revised": [now("m1", "applied")]}))).await;
        assert!(!device.store.confirm_revised(&told).await.unwrap(), "it has yet another result");
        assert_eq!(lists(&device).await, is("", "m1 sit applied"));
        let told = device.store.revised().await.unwrap().remove(0);
        assert!(device.store.confirm_revised(&told).await.unwrap());
        device.pull(page("c5", json!({}), json!({"revised": [now("m1", "applied")]}))).await;
        assert_eq!(lists(&device).await, is("", ""));
        // And back: it is still here.
        device.pull(page("c6", json!({}), json!({"revised": [now("m1", "forbidden")]}))).await;
        assert_eq!(lists(&device).await, is("m1 sit forbidden: the seat is taken", "m1 sit forbidden"));
    });
}

#[test]
fn inv37_one_that_the_rows_do_not_show_yet_is_parked_and_one_that_waits_hears_its_answer() {
    run(async {
        let device = Device::new().await;
        for (id, seat) in [("m1", "a"), ("m2", "b")] {
            device.try_mutate_as(id, "sit", sit(seat, "me")).await.unwrap();
        }
        device.answer(1, "applied").await;
        assert_eq!(seats(&device).await, "a=me b=me");
        let both = [now("m1", "rejected"), now("m2", "rejected")];
        device.pull(page("c1", json!({}), json!({"revised": both}))).await;
        assert_eq!((seats(&device).await, device.outbox().await.len()), ("b=me".to_owned(), 1));
        assert_eq!(lists(&device).await, is("m1 sit rejected: the seat is taken", "m1 sit rejected"));
    });
}

#[test]
fn inv37_one_that_was_given_up_and_applies_after_all_is_told_of() {
    run(async {
        let device = Device::new().await;
        device.try_mutate_as("m1", "sit", sit("a", "me")).await.unwrap();
        device.answer(1, "rejected").await;
        assert!(device.store.discard("m1").await.unwrap());
        device.pull(page("c1", json!({}), json!({"revised": [now("m1", "rejected")]}))).await;
        assert_eq!(lists(&device).await, is("", ""), "that is no news");
        device.pull(page("c2", json!({}), json!({"revised": [now("m1", "applied")]}))).await;
        assert_eq!(lists(&device).await, is("", "m1 sit applied"));
        device.pull(page("c3", json!({}), json!({"revised": [now("m1", "rejected")]}))).await;
        assert_eq!(lists(&device).await, is("m1 sit rejected: the seat is taken", "m1 sit rejected"));
    });
}

#[test]
fn inv37_one_that_is_not_here_any_more_is_told_of_by_its_id() {
    run(async {
        let device = seated().await;
        let unheard = json!({"revised": [now("old", "rejected"), now("older", "applied")]});
        device.pull(page("c2", json!({}), unheard.clone())).await;
        assert_eq!(lists(&device).await, is("", "old ? rejected"));
        let told = device.store.revised().await.unwrap().remove(0);
        assert!(device.store.confirm_revised(&told).await.unwrap());
        device.pull(page("c3", json!({}), unheard)).await;
        assert_eq!(lists(&device).await, is("", ""), "once");
    });
}

#[test]
fn answered_mutations_are_kept_to_a_bound() {
    run(async {
        let device = Device::new().await;
        device.try_mutate_as("plain", "put", json!({"id": "x", "name": "X"})).await.unwrap();
        for number in 0..1_001 {
            device.try_mutate_as(&format!("m{number}"), "sit", sit(&format!("s{number}"), "me")).await.unwrap();
        }
        device.answer(1_000, "applied").await;
        device.answer(2, "applied").await;
        device.pull(page("c1", json!({}), json!({"lastMutationId": 1_002}))).await;
        let revised: Vec<Value> = ["plain", "m0", "m1"].map(|id| now(id, "rejected")).into();
        device.pull(page("c2", json!({}), json!({"revised": revised}))).await;
        let told = "plain ? rejected, m0 ? rejected, m1 sit rejected";
        assert_eq!(lists(&device).await, is("m1 sit rejected: the seat is taken", told));
    });
}

#[test]
fn what_is_told_lasts_and_goes_with_its_user() {
    run(async {
        let folder = nizhal_tests::TempDir::new("device");
        let place = Location::File(folder.path().join("app.db"));
        let open = |user| Device::open(&place, OtherUser::Wipe, user);
        let device = open("ana").await.unwrap();
        device.pull(page("c1", json!({}), json!({"revised": [now("m1", "rejected")]}))).await;
        device.store.close().await;
        let device = open("ana").await.unwrap();
        assert_eq!(lists(&device).await, is("", "m1 ? rejected"));
        device.store.close().await;
        let device = open("ben").await.unwrap();
        assert_eq!(lists(&device).await, is("", ""));
    });
}

#[test]
fn a_replayed_mutation_that_fails_here_is_queued_and_tried_again() {
    run(async {
        let device = Device::new().await;
        let row = |holder: &str| json!({"shop": "s1", "seat": "a", "holder": holder});
        device.pull(page("c1", json!({"seats": [row("eve")]}), json!({}))).await;
        let written = device.try_mutate("sit", sit("a", "me")).await.unwrap();
        assert_eq!(written.effect, Effect::Undecided { reason: "the seat is taken".to_owned() });
        let written = device.try_mutate("inspect", sit("b", "me")).await.unwrap();
        assert!(matches!(written.effect, Effect::Undecided { .. }), "{:?}", written.effect);
        assert_eq!((seats(&device).await, device.outbox().await.len()), ("a=eve".to_owned(), 2));
        // Arguments that do not fit never will.
        let unfit = device.try_mutate("sit", json!({"shop": 7})).await;
        assert!(matches!(unfit, Err(MutateError::InvalidArgs(_))), "{unfit:?}");
        assert_eq!(device.outbox().await.len(), 2);
        let gone = json!({"tombstoned": [{"table": "seats", "id": "[\"s1\",\"a\"]"}]});
        device.pull(page("c2", json!({}), gone)).await;
        assert_eq!(seats(&device).await, "a=me");
    });
}

#[test]
fn pending_mutations_show_in_the_order_of_their_stamps() {
    run(async {
        let device = Device::new().await;
        for id in ["z", "a", "m"] {
            // The device's clock stands still.
            device.try_mutate_as(id, "sit", sit("a", id)).await.unwrap();
        }
        let outbox = device.outbox().await;
        let stamps: Vec<String> = outbox.iter().map(|one| one.hlc.expect("a stamp").to_string()).collect();
        assert!(stamps.is_sorted() && outbox[0].client_mutation_id == "z", "{outbox:?}");
        assert_eq!(seats(&device).await, "a=z");
        device.pull(page("c1", json!({"seats": [{"shop": "s1", "seat": "b", "holder": "eve"}]}), json!({}))).await;
        assert_eq!(seats(&device).await, "a=z b=eve", "again, over new rows");
    });
}
