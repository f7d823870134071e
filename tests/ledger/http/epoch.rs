//! Invariants 9 and 10: forgotten deletes, clocks that went back, and databases made anew are noticed, and devices start again.

use crate::fixture::{add, customers, two_shops};
use crate::oracle::assert_converged;
use nizhal_tests::{App, Kind, both, until, verb};
use serde_json::json;

both![
    inv09_a_cursor_older_than_the_forgotten_deletes_resets,
    inv10_a_new_epoch_resets_every_device,
    inv10_a_clock_that_went_back_resets_every_device,
    inv10_a_reset_keeps_the_rows_and_starts_every_device_again,
    dropping_the_apps_tables_names_them_and_asks,
];

async fn inv09_a_cursor_older_than_the_forgotten_deletes_resets(mut app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 3).await;
    let (mut away, mut here) = (app.device("away", "ana", "s1"), app.device("here", "ben", "s1"));
    away.pull().await;
    here.pull().await;
    db.execute("delete from customers where id = 'c1'").await;
    here.pull().await;
    // The delete is old now, and a start collects.
    let long_ago = match app.database.kind() {
        Kind::Postgres => "now() - interval '40 days'",
        Kind::Sqlite => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-40 days')",
    };
    db.execute(&format!("update _nizhal_tombstones set at = {long_ago}")).await;
    app.restart();
    until("the tombstone is forgotten", async || app.sql().await.count("_nizhal_tombstones").await == 0).await;
    let pages = away.pull().await;
    assert!(pages[0].reset, "the delete cannot be told any more");
    assert_eq!(away.ids("customers"), ["c2", "c3"]);
    let pages = here.pull().await;
    assert!(!pages[0].reset, "a cursor that knows of the delete goes on");
    assert_eq!(here.ids("customers"), ["c2", "c3"]);
    add(&mut here, "c4").await;
    away.pull().await;
    assert_eq!(away.ids("customers"), ["c2", "c3", "c4"]);
}

pub(crate) async fn inv10_a_new_epoch_resets_every_device(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 3).await;
    let mut device = app.device("d", "ana", "s1");
    let before = device.pull().await[0].body["epoch"].clone();
    let ended = verb(&app.set_up, &["epoch", "new"]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let pages = device.pull().await;
    assert!(pages[0].reset);
    assert_ne!(pages[0].body["epoch"], before);
    assert_eq!(device.ids("customers"), ["c1", "c2", "c3"]);
    assert!(!device.pull().await[0].reset, "once is enough");
}

async fn inv10_a_clock_that_went_back_resets_every_device(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 1).await;
    let (mut ahead, mut behind) = (app.device("ahead", "ana", "s1"), app.device("behind", "ben", "s1"));
    behind.pull().await;
    for number in 2..9 {
        add(&mut ahead, &format!("c{number}")).await;
    }
    ahead.pull().await;
    // What a restored backup looks like: fewer rows, an earlier clock, the same everything else.
    db.execute("delete from customers where id <> 'c1'; delete from _nizhal_tombstones").await;
    match app.database.kind() {
        Kind::Postgres => db.execute("select setval('_nizhal_clock', 3, true)").await,
        Kind::Sqlite => db.execute("update _nizhal_control set clock = 3").await,
    };
    let pages = ahead.pull().await;
    assert!(pages[0].reset, "a cursor from the future");
    assert_eq!(ahead.ids("customers"), ["c1"]);
    // The one that was not ahead would skip the versions that are drawn a second time: it starts again as well.
    customers(&mut db, "s1", "n", 5).await;
    let pages = behind.pull().await;
    assert!(pages[0].reset);
    ahead.pull().await;
    for device in [&ahead, &behind] {
        assert_eq!(device.ids("customers"), ["c1", "n1", "n2", "n3", "n4", "n5"]);
    }
}

async fn inv10_a_reset_keeps_the_rows_and_starts_every_device_again(mut app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 3).await;
    let mut device = app.device("d", "ana", "s1");
    device.pull().await;
    let pending = device.mutation("addCustomer", &json!({"clientId": "n1", "name": "New"}));
    device.push(std::slice::from_ref(&pending)).await.expect(200);
    // What stands beside the app's tables is nobody's to drop.
    db.execute("create table others (id text primary key)").await;
    db.execute("create view seen as select id, name from customers").await;
    let rows = db.rows("select * from customers order by id").await;
    app.server.kill();
    drop(db);
    let refused = verb(&app.set_up, &["reset"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("reset --yes"));
    let ended = verb(&app.set_up, &["reset", "--yes"]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    app.restart();
    let mut db = app.sql().await;
    assert_eq!(db.rows("select * from customers order by id").await, rows, "rows are as they were");
    assert_eq!((db.count("others").await, db.count("seen").await), (0, 4));
    let pages = device.pull().await;
    assert!(pages[0].reset);
    assert_eq!(device.ids("customers"), ["c1", "c2", "c3", "n1"]);
    // What was answered stays answered, and what comes next is seen.
    assert_eq!(device.push(&[pending]).await.expect(200).json()["lastMutationId"], 1);
    add(&mut device, "n2").await;
    db.execute("delete from customers where id = 'c1'").await;
    assert!(device.pull().await.iter().all(|page| !page.reset));
    assert_eq!(device.ids("customers"), ["c2", "c3", "n1", "n2"]);
    assert_converged(&app, &device, "ana").await;
}

async fn dropping_the_apps_tables_names_them_and_asks(mut app: App) {
    let mut db = two_shops(&app).await;
    app.server.kill();
    for args in [&["drop-tables"][..], &["drop-tables", "--confirm", "another"]] {
        let refused = verb(&app.set_up, args);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success());
        assert!(said.contains("`customers`") && said.contains("--confirm credit-ledger"), "{said}");
    }
    assert_eq!(db.count("shops").await, 2);
    if app.database.kind() == Kind::Postgres {
        db.execute("create view seen as select id from customers").await;
        let refused = verb(&app.set_up, &["drop-tables", "--confirm", "credit-ledger"]);
        assert!(!refused.status.success(), "something else depends on it");
        db.execute("drop view seen").await;
    }
    drop(db);
    let ended = verb(&app.set_up, &["drop-tables", "--confirm", "credit-ledger"]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let mut db = app.sql().await;
    db.try_execute("select 1 from customers").await.expect_err("it is gone");
    assert!(verb(&app.set_up, &["migrate"]).status.success());
    assert_eq!(db.count("shops").await, 0);
}
