//! Two devices of one shop and a real server: what arrives late changes what the other was told.

use super::app;
use crate::fixture::both;
use actix_web::{App, HttpServer};
use futures_util::StreamExt as _;
use nizhal::client::{Client, Effect, Phase, Status};
use nizhal::prelude::*;
use nizhal_tests::{Database, Kind, token, within};
use serde_json::{Value, json};

both![inv37_a_device_hears_that_its_results_changed];

async fn device(url: &str) -> Client {
    let token = token::signed(&json!({"userId": "ann", "ownerId": "o", "exp": token::expiry(600)}));
    let quick = |settings: &mut nizhal::client::Settings| {
        (settings.first_wait_ms, settings.longest_wait_ms) = (10, 200);
    };
    let setup = Client::setup(app::claims("ann")).tables(app::tables()).mutators(app::mutators());
    Box::pin(setup.rules(app::rules()).settings(quick).server(url, token).open()).await.expect("the device opens")
}

/// Waits until the device's status is as wanted.
async fn reached(device: &Client, what: &str, wanted: impl FnMut(&Status) -> bool) {
    let now = || format!("{:?}", *device.status().borrow());
    within(what, device.until(wanted), now).await.expect("the client was not closed");
}

async fn synced(device: &Client) {
    reached(device, "all to be synced", |status| status.pending == 0 && status.phase == Phase::Live).await;
}

fn args<T: nizhal_core::Args>(args: Value) -> T {
    serde_json::from_value(args).expect("arguments")
}

fn take(holder: &str) -> app::Take {
    args(json!({"shop": "s", "slot": "p", "holder": holder}))
}

fn goods(id: &str) -> app::Goods {
    args(json!({"shop": "s", "id": id, "item": "x", "quantity": 1}))
}

async fn inv37_a_device_hears_that_its_results_changed(kind: Kind) {
    let database = Database::new(kind).await;
    let server = Nizhal::app("shops")
        .tables(app::tables())
        .mutators(app::mutators())
        .rules(app::rules())
        .database_url(database.url())
        .auth_secret(token::SECRET)
        .server()
        .await
        .expect("it starts");
    let routes = server.routes();
    let http = HttpServer::new(move || App::new().configure(routes.clone()));
    let http = http.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("a free port");
    let url = format!("http://{}", http.addrs()[0]);
    let running = http.run();
    let handle = running.handle();
    tokio::spawn(running);
    database.connect().await.execute("insert into members (shop, user_id) values ('s', 'ann')").await;

    let (here, away) = (device(&url).await, device(&url).await);
    synced(&here).await;
    synced(&away).await;
    away.set_online(false);
    reached(&away, "no network", |status| status.phase == Phase::Offline).await;
    // Made first, and away: a seat for ben, and something to sell.
    away.mutate::<app::take>(take("ben")).await.expect("it is written");
    away.mutate::<app::restock>(goods("r")).await.expect("it is written");
    let taken = here.mutate::<app::take>(take("cem")).await.expect("it is written");
    let bought = here.mutate::<app::buy>(goods("b")).await.expect("it is written");
    assert_eq!(bought.effect, Effect::Undecided { reason: "sold out".to_owned() });
    synced(&here).await;
    let dead_letters = here.dead_letters().await.expect("dead letters");
    assert_eq!(dead_letters.iter().map(|one| &*one.id).collect::<Vec<_>>(), [&*bought.id], "there is nothing to sell");
    let mut revised = here.watch_revised();
    assert_eq!(revised.next().await.expect("a list").expect("it is read"), []);

    away.set_online(true);
    synced(&away).await;
    let mut news = Vec::new();
    // A pull may come between the two.
    while news.len() < 2 {
        let next = within("the news", revised.next(), || format!("{news:?}")).await;
        news = next.expect("a list").expect("it is read");
    }
    let told: Vec<_> = news.iter().map(|one| (&*one.id, &*one.status, one.name.as_deref())).collect();
    assert_eq!(told, [(&*taken.id, "rejected", Some("take")), (&*bought.id, "applied", Some("buy"))]);
    let dead_letters = here.dead_letters().await.expect("dead letters");
    let [parked] = &dead_letters[..] else { panic!("{dead_letters:?}") };
    assert_eq!((&*parked.id, &*parked.error), (&*taken.id, "the slot is taken"));
    let parked: Value = serde_json::from_str(&parked.args).expect("JSON");
    assert_eq!(parked["holder"], "cem");
    let slots = app::Slot::find().all(here.db()).await.expect("slots");
    assert_eq!(slots.iter().map(|slot| slot.holder.as_deref()).collect::<Vec<_>>(), [Some("ben")]);
    assert_eq!(app::Order::find().all(here.db()).await.expect("orders").len(), 1);
    for one in &news {
        assert!(here.confirm_revised(one).await.expect("it is stored"));
    }
    assert_eq!(here.revised().await.expect("a list"), []);
    assert_eq!(
        (away.revised().await.expect("a list"), away.dead_letters().await.expect("dead letters")),
        (vec![], vec![])
    );

    here.close().await;
    away.close().await;
    handle.stop(true).await;
    server.shutdown().await;
}
