//! A mutation held in the middle of its transaction by a lock, on Postgres, where that can be seen from outside.

use crate::fixture::{add, two_shops};
use nizhal_tests::{App, Connection, Reply, on, until};
use serde_json::json;
use std::net::TcpStream;

on![postgres, Postgres: inv13_killed_in_the_middle_of_a_transaction, inv33_sigterm_finishes_what_it_took_on,
    inv17_a_broken_connection_is_not_a_rejection, inv30_a_held_mutation_stops_no_other];

const WAITING: &str = "pg_locks where not granted and relation = 'ledger_entries'::regclass";

/// Holds every write to the ledger until the transaction of `lock` ends.
async fn hold(lock: &mut Connection) {
    lock.execute("begin; lock table ledger_entries in share row exclusive mode").await;
}

async fn waits(db: &mut Connection) {
    until("the mutation waits for the lock", async || db.count(WAITING).await > 0).await;
}

async fn inv13_killed_in_the_middle_of_a_transaction(mut app: App) {
    let mut db = two_shops(&app).await;
    let mut lock = app.sql().await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    hold(&mut lock).await;
    let mutation = phone.mutation("recordCredit", &json!({"clientId": "e1", "customerId": "c1", "amount": 5}));
    let push = tokio::spawn(Reply::try_of(phone.push_request(std::slice::from_ref(&mutation))));
    waits(&mut db).await;
    app.server.kill();
    assert!(push.await.expect("the push ends").is_err(), "an answer from a dead server");
    lock.execute("rollback").await;
    app.restart();
    phone.push(&[mutation]).await.expect(200);
    phone.pull().await;
    assert_eq!((phone.ids("ledger_entries"), phone.acknowledged), (vec!["e1"], 2));
    assert_eq!(db.count("ledger_entries").await, 1);
}

async fn inv33_sigterm_finishes_what_it_took_on(mut app: App) {
    let mut db = two_shops(&app).await;
    let mut lock = app.sql().await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    hold(&mut lock).await;
    let mutation = phone.mutation("recordCredit", &json!({"clientId": "e1", "customerId": "c1", "amount": 5}));
    let push = tokio::spawn(Reply::try_of(phone.push_request(&[mutation])));
    waits(&mut db).await;
    app.server.terminate();
    let address = app.address.host();
    until("the server takes no more", async || TcpStream::connect(&address).is_err()).await;
    lock.execute("rollback").await;
    push.await.expect("the push ends").expect("it is answered").expect(200);
    let status = app.server.ended().await;
    assert!(status.success(), "{status}");
    assert_eq!(db.count("ledger_entries").await, 1);
}

pub(crate) async fn inv17_a_broken_connection_is_not_a_rejection(app: App) {
    let mut db = two_shops(&app).await;
    let mut lock = app.sql().await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    hold(&mut lock).await;
    let mutation = phone.mutation("recordCredit", &json!({"clientId": "e1", "customerId": "c1", "amount": 5}));
    let push = tokio::spawn(Reply::of(phone.push_request(std::slice::from_ref(&mutation))));
    waits(&mut db).await;
    db.rows(&format!("select cast(pg_terminate_backend(pid) as text) from {WAITING}")).await;
    lock.execute("rollback").await;
    let reply = push.await.expect("the push ends");
    assert!([200, 503].contains(&reply.status), "{} {}", reply.status, reply.text);
    phone.push(&[mutation]).await.expect(200);
    assert_eq!(db.count("ledger_entries").await, 1);
}

async fn inv30_a_held_mutation_stops_no_other(app: App) {
    let mut db = two_shops(&app).await;
    let mut lock = app.sql().await;
    let (mut held, mut free) = (app.device("held", "ana", "s1"), app.device("free", "ben", "s1"));
    add(&mut held, "c1").await;
    hold(&mut lock).await;
    let mutation = held.mutation("recordCredit", &json!({"clientId": "e1", "customerId": "c1", "amount": 5}));
    let push = tokio::spawn(Reply::of(held.push_request(&[mutation])));
    waits(&mut db).await;
    // It has written no synced row yet, so neither writers nor readers wait for it.
    add(&mut free, "c2").await;
    free.pull().await;
    assert_eq!(free.ids("customers"), ["c1", "c2"]);
    lock.execute("rollback").await;
    push.await.expect("the push ends").expect(200);
    free.pull().await;
    assert_eq!(free.ids("ledger_entries"), ["e1"]);
}
