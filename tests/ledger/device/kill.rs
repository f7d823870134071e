//! Invariants 13 and 22: kill -9 of an app at random instants, and of the server under devices.

use crate::fixture::{add, device, entries, lend, names, settled, setup, shop};
use crate::process::Process;
use nizhal_tests::{App, Connection, TempDir, both, until};
use std::collections::BTreeSet;

both![inv22_an_app_killed_many_times_loses_and_doubles_nothing, inv13_a_server_killed_under_two_devices];

async fn inv22_an_app_killed_many_times_loses_and_doubles_nothing(app: App) {
    let mut db = shop(&app).await;
    db.execute("insert into customers (id, shop_id, name) values ('c1', 's1', 'Sunil')").await;
    let dir = TempDir::in_memory("device");
    let file = dir.path().join("app.db");
    let url = app.address.at("");
    let kills = nizhal_seeds::count(20);
    let mut random = nizhal_core::Random::of(&format!("kills {}", nizhal_seeds::first()));
    let mut written = BTreeSet::new();
    // Its first rows, so that mutators find the customer.
    let first =
        Box::pin(setup("ana").file(&file).server(url.clone(), crate::fixture::bearer("ana")).open()).await.unwrap();
    settled(&first).await;
    first.close().await;
    for round in 0..kills {
        let mut process = Process::start(&file, &url, round);
        // Some are killed before they wrote anything, some in the middle of a pull or push; when, is the machine's chance.
        for _ in 0..random.below(6) {
            process.writes();
        }
        let spin = random.below(40_000);
        std::hint::black_box((0..spin).fold(0_u64, |sum, n| sum ^ n.wrapping_mul(sum | 1)));
        // What it said before it died counts too.
        written.extend(process.kill());
    }
    let last = Box::pin(setup("ana").file(&file).server(url, crate::fixture::bearer("ana")).open()).await.unwrap();
    assert!(last.notices().is_empty(), "{:?}", last.notices());
    settled(&last).await;
    let here: Vec<(String, String)> = entries(&last).await;
    assert_eq!(here, on_server(&mut db).await, "device and server have the same ledger");
    let ids: BTreeSet<String> = here.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids.len(), here.len());
    let lost: Vec<_> = written.difference(&ids).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    // Too few kills say nothing of how often it was killed early.
    assert!(
        written.len() as u64 > kills || kills < 20,
        "the app was killed too early to have written anything: {}",
        written.len()
    );
    assert_eq!(last.dead_letters().await.unwrap(), [], "nothing was sent twice under two names");
}

pub(crate) async fn on_server(db: &mut Connection) -> Vec<(String, String)> {
    let sql = "select id, cast(amount as text) from ledger_entries";
    let mut rows: Vec<_> =
        db.rows(sql).await.into_iter().map(|row| (row[0].clone().unwrap(), row[1].clone().unwrap())).collect();
    rows.sort();
    rows
}

async fn inv13_a_server_killed_under_two_devices(mut app: App) {
    let mut db = shop(&app).await;
    // Where it listens must outlive it.
    let proxy = nizhal_tests::Proxy::start(&app.address, nizhal_seeds::state("server kills")).await;
    let open = async |user: &str| {
        let setup = setup(user).server(proxy.address().at(""), crate::fixture::bearer(user));
        Box::pin(setup.open()).await.unwrap()
    };
    let (ana, ben) = (open("ana").await, open("ben").await);
    add(&ana, "c1").await;
    until("ben knows the customer", async || names(&ben).await.len() == 1).await;
    for round in 0..8 {
        for number in 0..15 {
            lend(&ana, &format!("a{round}-{number}"), "c1", 2).await;
            lend(&ben, &format!("b{round}-{number}"), "c1", 3).await;
        }
        app.restart();
    }
    settled(&ana).await;
    settled(&ben).await;
    until("both have all", async || entries(&ana).await.len() == 240 && entries(&ben).await.len() == 240).await;
    assert_eq!(entries(&ana).await, on_server(&mut db).await);
    assert_eq!(entries(&ben).await, on_server(&mut db).await);
    let fresh = device(&app, "ana").await;
    settled(&fresh).await;
    assert_eq!(entries(&fresh).await, entries(&ana).await);
}
