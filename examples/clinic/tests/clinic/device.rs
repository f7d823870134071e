//! Two phones in Rust: a booking that was made first, offline, wins when it arrives, and the other phone hears why it lost.

use crate::{open, token};
use clinic::claims::Claims;
use clinic::mutator::{BookSlot, ReserveDose, book_slot, reserve_dose};
use clinic::rule::clinic_rules;
use clinic::table::{Slot, Stock};
use futures_util::StreamExt;
use nizhal::client::{Client, Effect, Phase, Settings, Status};
use nizhal::prelude::*;
use nizhal_tests::{App, both, within};

both![inv37_the_phone_that_lost_hears_why];

async fn phone(app: &App, user: &str, name: &str) -> Client {
    let claims = Claims { user_id: user.to_owned(), owner_id: "service-1".to_owned(), name: name.to_owned() };
    let quick = |settings: &mut Settings| (settings.first_wait_ms, settings.longest_wait_ms) = (10, 200);
    let setup = Client::setup(claims).tables(clinic::tables()).mutators(clinic::mutators()).rules(clinic_rules());
    let setup = setup.settings(quick).server(app.address.at(""), token(user));
    Box::pin(setup.open()).await.expect("the phone opens")
}

async fn reached(phone: &Client, what: &str, wanted: impl FnMut(&Status) -> bool) {
    let now = || format!("{:?}", *phone.status().borrow());
    within(what, phone.until(wanted), now).await.expect("the client was not closed");
}

async fn synced(phone: &Client) {
    reached(phone, "all to be synced", |status| status.pending == 0 && status.phase == Phase::Live).await;
}

fn book(patient: &str) -> BookSlot {
    let args = serde_json::json!({"clinicId": "c1", "time": "09:00", "patient": patient});
    serde_json::from_value(args).expect("arguments")
}

fn reserve(patient: &str) -> ReserveDose {
    let id = Uuid::now_v7();
    let args = serde_json::json!({"clientId": id, "clinicId": "c1", "vaccine": "measles", "patient": patient});
    serde_json::from_value(args).expect("arguments")
}

async fn inv37_the_phone_that_lost_hears_why(app: App) {
    open(&app).await;
    let (kamala, nimal) = (phone(&app, "kamala", "Kamala").await, phone(&app, "nimal", "Nimal").await);
    synced(&kamala).await;
    synced(&nimal).await;
    kamala.set_online(false);
    reached(&kamala, "no network", |status| status.phase == Phase::Offline).await;

    // Kamala is first, and nobody hears her. The slot and the last dose are hers on her phone, and Nimal's on his and on the server.
    kamala.mutate::<book_slot>(book("Arul")).await.expect("it is written");
    kamala.mutate::<reserve_dose>(reserve("Arul")).await.expect("it is written");
    let booked = nimal.mutate::<book_slot>(book("Sunil")).await.expect("it is written");
    let reserved = nimal.mutate::<reserve_dose>(reserve("Sunil")).await.expect("it is written");
    synced(&nimal).await;
    assert!(nimal.dead_letters().await.expect("dead letters").is_empty(), "his booking was good so far");
    // Whom his own phone would refuse, it leaves to the server.
    let again = nimal.mutate::<book_slot>(book("Fathima")).await.expect("it is written");
    let Effect::Undecided { reason } = &again.effect else { panic!("{again:?}") };
    assert!(reason.starts_with("this slot was taken by Nimal at "), "{reason}");

    let mut revised = nimal.watch_revised();
    assert_eq!(revised.next().await.expect("a list").expect("it is read"), []);
    kamala.set_online(true);
    synced(&kamala).await;
    let mut news = Vec::new();
    // A pull may come between the two.
    while news.len() < 2 {
        let next = within("the news", revised.next(), || format!("{news:?}")).await;
        news = next.expect("a list").expect("it is read");
    }
    let told: Vec<_> = news.iter().map(|one| (&*one.id, &*one.status)).collect();
    assert_eq!(told, [(&*booked.id, "rejected"), (&*reserved.id, "rejected")]);
    for one in &news {
        nimal.confirm_revised(one).await.expect("it is stored");
    }
    let dead_letters = nimal.dead_letters().await.expect("dead letters");
    let reason = |id: &str| &*dead_letters.iter().find(|one| one.id == id).expect("a dead letter").error;
    assert!(reason(&booked.id).starts_with("this slot was taken by Kamala at "), "{dead_letters:?}");
    assert!(
        reason(&reserved.id).starts_with("no dose of measles is left: Kamala reserved the last one at "),
        "{dead_letters:?}"
    );

    for phone in [&kamala, &nimal] {
        let slots = Slot::find().all(phone.db()).await.expect("slots");
        let booked: Vec<_> = slots.iter().filter_map(|slot| Some((&*slot.time, slot.patient.as_deref()?))).collect();
        assert_eq!(booked, [("09:00", "Arul")]);
        let stock = Stock::find().all(phone.db()).await.expect("stock");
        assert_eq!(stock.iter().map(|stock| stock.doses).collect::<Vec<_>>(), [0]);
    }
    assert!(kamala.dead_letters().await.expect("dead letters").is_empty(), "she was first");
    kamala.close().await;
    nimal.close().await;
}
