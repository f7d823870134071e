//! Invariants 12, 17 and 30: what plain SQL beside the server does to a push and to a pull.

use crate::fixture::{add, two_shops};
use crate::oracle::assert_converged;
use nizhal_tests::{App, Connection, Reply, on, until};
use serde_json::json;

on![postgres, Postgres: inv17_a_deadlock_is_retried_inside_the_server,
    inv17_a_serialization_failure_is_retried_inside_the_server,
    inv30_an_open_transaction_that_wrote_no_synced_row_delays_nothing,
    inv30_an_open_transaction_that_wrote_delays_until_it_ends,
    inv12_a_row_that_was_written_again_above_the_horizon_is_acknowledged_with_it];

/// Until the server waits for a row that a connection of ours holds.
async fn waits(db: &mut Connection) {
    let waiting = "pg_stat_activity where datname = current_database() and application_name = 'nizhal' \
                   and wait_event_type = 'Lock'";
    until("the mutation waits for the row", async || db.count(waiting).await > 0).await;
}

/// A setting of the server's sessions; it starts again to take it.
async fn set(app: &mut App, db: &mut Connection, setting: &str) {
    let name = db.text("select cast(current_database() as text)").await;
    db.execute(&format!("alter database {name} set {setting}")).await;
    app.restart();
}

async fn inv17_a_deadlock_is_retried_inside_the_server(mut app: App) {
    let mut db = two_shops(&app).await;
    // Long enough for us to close the circle before the server's session looks; ours looks much later still.
    set(&mut app, &mut db, "deadlock_timeout = '5s'").await;
    let mut other = app.sql().await;
    other.execute("set deadlock_timeout = '50s'").await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    let credit = json!({"clientId": "e1", "customerId": "c1", "amount": 5});
    phone.mutate("recordCredit", &credit).await.expect(200);
    let reminder = "insert into reminders (id, shop_id, customer_id, entry_id, scheduled_at) \
                    values ('e1-due', 's1', 'c1', 'e1', now())";
    db.execute(reminder).await;
    // The mutation takes the reminder and then the customer; we take the customer and then the reminder.
    other.execute("begin; update customers set note = 'held' where id = 'c1'").await;
    let mutation = phone.mutation("deleteCustomer", &json!({"customerId": "c1"}));
    let push = tokio::spawn(Reply::of(phone.push_request(std::slice::from_ref(&mutation))));
    waits(&mut db).await;
    // Goes on when the mutation was rolled back as the victim.
    other.execute("update reminders set channel = 'post' where id = 'e1-due'").await;
    other.execute("commit").await;
    let reply = push.await.expect("the push ends").expect(200);
    assert_eq!(reply.json(), json!({"applied": ["phone-3"], "lastMutationId": 3}));
    let deadlocks = "pg_stat_database where datname = current_database() and deadlocks > 0";
    // A retry may run into it again before we are through.
    until("the deadlock that this is about", async || db.count(deadlocks).await == 1).await;
    phone.pull().await;
    assert!(phone.ids("customers").is_empty() && phone.ids("reminders").is_empty());
    assert_eq!((phone.acknowledged, phone.push(&[mutation]).await.expect(200).text), (3, reply.text));
    assert_converged(&app, &phone, "ana").await;
}

async fn inv17_a_serialization_failure_is_retried_inside_the_server(mut app: App) {
    let mut db = two_shops(&app).await;
    let mut other = app.sql().await;
    set(&mut app, &mut db, "default_transaction_isolation = 'repeatable read'").await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    for round in 1..=3 {
        other.execute(&format!("begin; update customers set note = 'note {round}' where id = 'c1'")).await;
        let args = json!({"customerId": "c1", "value": format!("Name {round}")});
        let mutation = phone.mutation("updateCustomerName", &args);
        let push = tokio::spawn(Reply::of(phone.push_request(&[mutation])));
        waits(&mut db).await;
        // Now the row that the mutation waits for is newer than its snapshot.
        other.execute("commit").await;
        push.await.expect("the push ends").expect(200);
        phone.pull().await;
        let row = phone.row("customers", "c1").expect("the customer");
        assert_eq!((&row["name"], &row["note"]), (&json!(format!("Name {round}")), &json!(format!("note {round}"))));
        assert_eq!(phone.acknowledged, 1 + round);
    }
}

async fn inv30_an_open_transaction_that_wrote_no_synced_row_delays_nothing(app: App) {
    let mut db = two_shops(&app).await;
    let (mut phone, mut tablet) = (app.device("phone", "ana", "s1"), app.device("tablet", "ben", "s1"));
    add(&mut phone, "c0").await;
    let (mut writes, mut reads, mut regrets) = (app.sql().await, app.sql().await, app.sql().await);
    // One with a transaction id and rows of a table that does not sync, one with an old snapshot, and one whose only synced
    // row went with its savepoint.
    writes.execute("begin; insert into shops (id, name, owner_id) values ('s9', 'Open', 'o1')").await;
    reads.execute("begin isolation level repeatable read").await;
    reads.count("customers").await;
    regrets.execute("begin; savepoint s; insert into customers (id, shop_id, name) values ('no', 's1', 'No')").await;
    regrets.execute("rollback to savepoint s").await;
    for number in 1..=3 {
        add(&mut phone, &format!("c{number}")).await;
        db.execute(&format!("insert into customers (id, shop_id, name) values ('p{number}', 's1', 'Plain')")).await;
        tablet.pull().await;
        phone.pull().await;
        assert_eq!(tablet.ids("customers").len(), 1 + 2 * number, "delayed by a transaction that wrote nothing synced");
        assert_eq!(phone.acknowledged, 1 + i64::try_from(number).expect("small"));
    }
    for open in [&mut writes, &mut reads, &mut regrets] {
        open.execute("commit").await;
    }
    tablet.pull().await;
    assert_converged(&app, &tablet, "ben").await;
}

async fn inv30_an_open_transaction_that_wrote_delays_until_it_ends(app: App) {
    two_shops(&app).await;
    let mut other = app.sql().await;
    for (end, arrives) in [("commit", true), ("rollback", false)] {
        let (mut phone, mut tablet) =
            (app.device(&format!("phone {end}"), "ana", "s1"), app.device("tablet", "ben", "s1"));
        let (before, open, after) = (format!("before {end}"), format!("open {end}"), format!("after {end}"));
        add(&mut phone, &before).await;
        // While it is open nothing more is acknowledged: what it holds back may be the row of any mutation.
        phone.pull().await;
        other
            .execute(&format!("begin; insert into customers (id, shop_id, name) values ('{open}', 's1', 'Open')"))
            .await;
        // Writers do not wait for it, nor do readers; what came later is delivered later.
        add(&mut phone, &after).await;
        for _ in 0..3 {
            tablet.pull().await;
            phone.pull().await;
            assert!(tablet.row("customers", &before).is_some());
            assert!(tablet.row("customers", &open).is_none() && tablet.row("customers", &after).is_none());
            assert_eq!(phone.acknowledged, 1, "acknowledged before its row could be delivered");
        }
        other.execute(end).await;
        tablet.pull().await;
        phone.pull().await;
        assert_eq!(tablet.row("customers", &open).is_some(), arrives);
        assert!(tablet.row("customers", &after).is_some());
        assert_eq!(phone.acknowledged, 2);
        assert_converged(&app, &tablet, "ben").await;
        assert_converged(&app, &phone, "ana").await;
    }
}

async fn inv12_a_row_that_was_written_again_above_the_horizon_is_acknowledged_with_it(app: App) {
    let mut db = two_shops(&app).await;
    let mut other = app.sql().await;
    let mut phone = app.device("phone", "ana", "s1");
    phone.pull().await;
    add(&mut phone, "c1").await;
    other.execute("begin; insert into customers (id, shop_id, name) values ('open', 's1', 'Open')").await;
    db.execute("update customers set name = 'Again' where id = 'c1'").await;
    // It holds all up to the horizon after the first of them, and not the row that its mutation wrote.
    for _ in 0..4 {
        phone.pull().await;
        assert_eq!((phone.ids("customers").len(), phone.acknowledged), (0, 0));
    }
    other.execute("rollback").await;
    phone.pull().await;
    assert_eq!(phone.row("customers", "c1").expect("it is shown")["name"], "Again");
    assert_eq!(phone.acknowledged, 1);
}
