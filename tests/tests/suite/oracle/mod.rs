//! The leak and convergence oracle: random lives of devices, checked against plain SQL written apart from the engine.
//!
//! A case is made from a seed alone. After every answer each delivered row must satisfy the actor's rules in the database as it
//! is; when a device has pulled to the end, its rows must be exactly those that plain SQL says the actor may see.

mod app;
mod device;
mod plain;
mod random;

use app::{App, Claims, Variant};
use device::Device;
use nizhal::Principal;
use nizhal_tests::{Connection, Database, Kind};
use random::Random;
use std::collections::BTreeSet;

/// How many steps a case has.
const STEPS: usize = 60;

#[test]
fn inv02_inv03_random_lives_on_sqlite() {
    cases(Kind::Sqlite, 0..400);
}

#[test]
fn inv02_inv03_random_lives_on_postgres() {
    cases(Kind::Postgres, 10_000..10_025);
}

fn cases(kind: Kind, seeds: std::ops::Range<u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for seed in seeds {
            // The seed goes first, so that a panic inside the case is found again.
            eprintln!("{kind:?} case {seed}");
            case(kind, seed).await;
        }
    });
}

async fn case(kind: Kind, seed: u64) {
    let mut random = Random::new(seed);
    let variant = *random.pick(&Variant::ALL);
    let database = Database::new(kind).await;
    let app = App::new(database.url(), variant).await;
    let mut db = database.connect().await;
    let mut devices: Vec<(String, Device)> = Vec::new();
    for user in plain::USERS {
        for _ in 0..2 {
            devices.push((user.to_owned(), Device::default()));
        }
    }
    for _ in 0..STEPS {
        match random.below(4) {
            0 | 1 => {
                let (user, device) = random.pick_mut(&mut devices);
                pull(&app, variant, &mut db, user, device, &mut random).await;
            }
            2 => {
                // A stranger's statement; a duplicate key is a change that did not happen.
                let _ = db.try_execute(&plain::change(&mut random, kind)).await;
            }
            _ => {
                let statements: Vec<String> = (0..=random.below(6)).map(|_| plain::change(&mut random, kind)).collect();
                app.write(&statements).await;
            }
        }
    }
    for (user, device) in &mut devices {
        let mut pages = 0;
        while pull(&app, variant, &mut db, user, device, &mut random).await {
            pages += 1;
            assert!(pages < 10_000, "inv04: the pull does not end");
        }
        let wanted = plain::visible(&mut db, variant, user).await;
        assert_eq!(device.rows(), wanted, "seed {seed}, {variant:?}: {user} does not converge");
    }
    app.close().await;
}

/// One pull, with its answer lost now and then; true while there is more.
async fn pull(
    app: &App,
    variant: Variant,
    db: &mut Connection,
    user: &str,
    device: &mut Device,
    random: &mut Random,
) -> bool {
    let principal = Principal::new(Claims { user_id: user.to_owned(), owner_id: "o".to_owned() }, None);
    let limit = *random.pick(&[1, 2, 3, 7, 1000]);
    let request = serde_json::json!({ "cursor": device.cursor(), "limit": limit }).to_string();
    let request = serde_json::from_str(&request).expect("a pull request");
    let page = app.engine.pull(&principal, nizhal::wire::Wire::One, request).await.expect("an answer");
    let page: serde_json::Value = serde_json::from_slice(&page.body).expect("JSON");
    let visible = plain::visible(db, variant, user).await;
    for row in device::changed(&page) {
        assert!(visible.contains(&row), "inv02: {user} was sent {row:?}");
    }
    let keys: BTreeSet<_> = visible.iter().map(|(table, row)| (table.clone(), device::key(table, row))).collect();
    for gone in device::gone(&page) {
        assert!(!keys.contains(&gone), "inv07: {user} was told that {gone:?} is gone, and may see it");
    }
    if random.one_in(5) {
        return true;
    }
    device.apply(variant, &page)
}
