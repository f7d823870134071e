//! Invariant 1: overlapping transactions that commit in another order than they began skip nothing (Postgres).

use crate::fixture::{add, customers, two_shops};
use crate::oracle::assert_converged;
use nizhal_tests::{App, Connection, Device, on};
use serde_json::json;

on![postgres, Postgres: inv01_the_first_to_write_commits_last, inv01_across_tables_savepoints_and_rollbacks,
    inv01_every_order_of_three, inv01_a_move_and_a_delete_held_open, inv30_an_idle_transaction_delays_nothing,
    inv11_a_mutation_whose_row_was_written_again_is_acknowledged_with_it,
    inv01_a_session_that_found_all_there_reads_the_locks_when_somebody_drew];

async fn begin(app: &App) -> Connection {
    let mut db = app.sql().await;
    db.execute("begin").await;
    db
}

async fn insert(db: &mut Connection, id: &str) {
    db.execute(&format!("insert into customers (id, shop_id, name) values ('{id}', 's1', '{id}')")).await;
}

/// A device that pulled after every step, and one that begins now, agree with the database.
async fn settle(app: &App, device: &mut Device) {
    device.pull_by(1).await;
    assert_converged(app, device, "ana").await;
    let mut fresh = app.device("fresh", "ana", "s1");
    fresh.pull_by(2).await;
    assert_converged(app, &fresh, "ana").await;
}

async fn inv11_a_mutation_whose_row_was_written_again_is_acknowledged_with_it(app: App) {
    let mut db = two_shops(&app).await;
    let mut device = app.device("d", "ana", "s1");
    add(&mut device, "c1").await;
    device.pull().await;
    assert_eq!(device.acknowledged, 1);
    device.mutate("updateCustomerPhone", &json!({"customerId": "c1", "value": "1"})).await.expect(200);
    // Held open in another shop; what is written after it stays above the horizon, the mutation's row with it.
    let mut held = begin(&app).await;
    held.execute("insert into customers (id, shop_id, name) values ('x', 's2', 'x')").await;
    db.execute("update customers set name = 'Again' where id = 'c1'").await;
    device.pull().await;
    let phone = |device: &Device| device.row("customers", "c1").expect("there")["phone"].clone();
    assert!(phone(&device).is_null() && device.acknowledged == 1, "{} without its row", device.acknowledged);
    held.execute("rollback").await;
    device.pull().await;
    assert_eq!((phone(&device), device.acknowledged), (json!("1"), 2));
    settle(&app, &mut device).await;
}

async fn horizon(db: &mut Connection) -> [u64; 2] {
    let row = db.rows("select clock, horizon from _nizhal_horizon()").await.remove(0);
    [0, 1].map(|at| row[at].as_deref().and_then(|text| text.parse().ok()).expect("a number"))
}

async fn inv01_a_session_that_found_all_there_reads_the_locks_when_somebody_drew(app: App) {
    let mut db = two_shops(&app).await;
    let (mut reader, mut stranger, mut writer) = (app.sql().await, app.sql().await, begin(&app).await);
    let [clock, whole] = horizon(&mut reader).await;
    assert_eq!(clock, whole);
    // A lock that no writer has, lower than all that was drawn: who reads the locks shows by it.
    writer.execute("select pg_advisory_xact_lock_shared(20058::bigint << 48)").await;
    assert_eq!(horizon(&mut reader).await, [clock, clock], "nobody drew since, so all is there");
    assert_eq!(horizon(&mut stranger).await, [clock, 0], "this one has found nothing there yet");
    customers(&mut db, "s1", "c", 1).await;
    for _ in 0..2 {
        assert_eq!(horizon(&mut reader).await, [clock + 1, 0], "not all is there, and that is not remembered");
    }
    writer.execute("rollback").await;
    assert_eq!(horizon(&mut reader).await, [clock + 1, clock + 1]);
}

pub(crate) async fn inv01_the_first_to_write_commits_last(app: App) {
    two_shops(&app).await;
    let mut device = app.device("d", "ana", "s1");
    device.pull().await;
    let (mut first, mut second) = (begin(&app).await, begin(&app).await);
    insert(&mut first, "slow").await;
    insert(&mut second, "quick").await;
    device.pull().await;
    assert!(device.rows.is_empty(), "nothing is committed");
    second.execute("commit").await;
    device.pull().await;
    device.pull().await;
    assert!(!device.ids("customers").contains(&"slow"), "an uncommitted row was delivered");
    first.execute("commit").await;
    device.pull().await;
    assert_eq!(device.ids("customers"), ["quick", "slow"]);
    settle(&app, &mut device).await;
}

async fn inv01_across_tables_savepoints_and_rollbacks(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 2).await;
    let mut device = app.device("d", "ana", "s1");
    device.pull().await;
    let (mut one, mut two, mut three) = (begin(&app).await, begin(&app).await, begin(&app).await);
    let entry = "insert into ledger_entries (id, shop_id, customer_id, amount, at, created_by) values";
    one.execute(&format!("savepoint a; {entry} ('undone', 's1', 'c1', 1, now(), 'ana'); rollback to a")).await;
    two.execute(&format!("{entry} ('kept', 's1', 'c1', 2, now(), 'ana')")).await;
    insert(&mut three, "never").await;
    device.pull().await;
    two.execute("commit").await;
    device.pull().await;
    one.execute("update customers set note = 'late' where id = 'c1'").await;
    device.pull().await;
    three.execute("rollback").await;
    device.pull().await;
    one.execute("commit").await;
    device.pull().await;
    assert_eq!(device.row("customers", "c1").expect("it is there")["note"], "late");
    assert_eq!(device.ids("ledger_entries"), ["kept"]);
    settle(&app, &mut device).await;
}

async fn inv01_every_order_of_three(app: App) {
    two_shops(&app).await;
    let mut device = app.device("d", "ana", "s1");
    for (round, order) in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].into_iter().enumerate() {
        let mut open = [begin(&app).await, begin(&app).await, begin(&app).await];
        for (at, db) in open.iter_mut().enumerate() {
            insert(db, &format!("r{round}-{at}")).await;
            device.pull_by(1).await;
        }
        for at in order {
            // A second write keeps the version that the first one drew.
            insert(&mut open[at], &format!("r{round}-{at}-again")).await;
            device.pull_by(1).await;
            open[at].execute("commit").await;
            device.pull_by(1).await;
        }
        assert_eq!(device.ids("customers").len(), (round + 1) * 6);
    }
    settle(&app, &mut device).await;
}

async fn inv01_a_move_and_a_delete_held_open(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 6).await;
    let (mut ana, mut cem) = (app.device("a", "ana", "s1"), app.device("c", "cem", "s2"));
    ana.pull().await;
    cem.pull().await;
    let (mut moving, mut deleting) = (begin(&app).await, begin(&app).await);
    moving.execute("update customers set shop_id = 's2' where id = 'c1'").await;
    deleting.execute("delete from customers where id = 'c2'").await;
    db.execute("update customers set note = 'between' where id = 'c3'").await;
    ana.pull().await;
    cem.pull().await;
    deleting.execute("commit").await;
    ana.pull().await;
    cem.pull().await;
    moving.execute("commit").await;
    cem.pull().await;
    settle(&app, &mut ana).await;
    assert_converged(&app, &cem, "cem").await;
    assert_eq!((ana.ids("customers").len(), cem.ids("customers")), (4, vec!["c1"]));
}

pub(crate) async fn inv30_an_idle_transaction_delays_nothing(app: App) {
    let mut db = two_shops(&app).await;
    db.execute("create table unrelated (id int)").await;
    let mut idle = begin(&app).await;
    idle.execute("insert into unrelated values (1); select count(*) from customers").await;
    let mut device = app.device("d", "ana", "s1");
    for round in 1..=3 {
        insert(&mut db, &format!("c{round}")).await;
        device.pull().await;
        assert_eq!(device.ids("customers").len(), round);
    }
    idle.execute("commit").await;
}
