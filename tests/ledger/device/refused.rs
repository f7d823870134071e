//! Invariant 16: what the server refuses is undone, kept as a dead letter, and a person decides.

use crate::fixture::{add, credit, device, entries, lend, names, reached, settled, setup, shop};
use credit_ledger::mutator::record_credit;
use nizhal::client::{Mode, MutateError};
use nizhal_tests::{App, both, until};

both![inv16_a_refusal_is_undone_and_parked_for_a_person, a_write_that_waits_for_the_server_hears_its_word,];

async fn inv16_a_refusal_is_undone_and_parked_for_a_person(app: App) {
    let mut db = shop(&app).await;
    let ana = device(&app, "ana").await;
    add(&ana, "c1").await;
    add(&ana, "c2").await;
    settled(&ana).await;
    ana.set_online(false);
    lend(&ana, "e1", "c1", 5).await;
    lend(&ana, "e2", "c2", 6).await;
    assert_eq!(entries(&ana).await.len(), 2);
    db.execute("delete from customers where id = 'c1'").await;
    ana.set_online(true);
    settled(&ana).await;
    until("the first is off the rows", async || entries(&ana).await.len() == 1).await;
    let dead_letters = ana.dead_letters().await.unwrap();
    assert_eq!((dead_letters.len(), &*dead_letters[0].name, &*dead_letters[0].code), (1, "recordCredit", "rejected"));
    assert!(dead_letters[0].error.contains("customer not found"), "{}", dead_letters[0].error);
    assert_eq!(ana.status().borrow().dead_letters, 1);
    // As it stands it is refused here already, and stays.
    assert!(matches!(ana.retry(&dead_letters[0].id).await, Err(MutateError::Rejected(_))));
    assert_eq!(ana.dead_letters().await.unwrap().len(), 1);
    db.execute("insert into customers (id, shop_id, name) values ('c1', 's1', 'Back')").await;
    until("she is back", async || names(&ana).await.len() == 2).await;
    assert!(ana.retry(&dead_letters[0].id).await.unwrap().is_some());
    settled(&ana).await;
    assert_eq!((ana.dead_letters().await.unwrap().len(), db.count("ledger_entries").await), (0, 2));
    // Another with other arguments, and one that is given up.
    for id in ["e3", "e4"] {
        ana.set_online(false);
        lend(&ana, id, "c1", 7).await;
        db.execute("delete from customers where id = 'c1'").await;
        ana.set_online(true);
        settled(&ana).await;
        db.execute("insert into customers (id, shop_id, name) values ('c1', 's1', 'Back')").await;
        until("she is back", async || names(&ana).await.len() == 2).await;
    }
    let dead_letters = ana.dead_letters().await.unwrap();
    ana.edit::<record_credit>(&dead_letters[0].id, credit("e3", "c2", 8)).await.unwrap();
    assert!(ana.discard(&dead_letters[1].id).await.unwrap());
    settled(&ana).await;
    reached(&ana, "nothing to be parked", |status| status.dead_letters == 0).await;
    assert_eq!(db.text("select customer_id from ledger_entries where id = 'e3'").await, "c2");
    assert_eq!(db.count("ledger_entries where id = 'e4'").await, 0);
}

async fn a_write_that_waits_for_the_server_hears_its_word(app: App) {
    let mut db = shop(&app).await;
    let setup = setup("ana").server(app.address.at(""), crate::fixture::bearer("ana")).mode(Mode::ServerAuthoritative);
    let ana = Box::pin(setup.open()).await.unwrap();
    add(&ana, "c1").await;
    assert_eq!(db.count("customers").await, 1, "it returned when the server had it");
    let refused = ana.mutate::<record_credit>(credit("e1", "nobody", 5)).await;
    assert!(matches!(refused, Err(MutateError::Rejected(reason)) if reason.contains("customer not found")));
    settled(&ana).await;
    assert_eq!(ana.dead_letters().await.unwrap(), [], "who waited has heard it");
    assert_eq!(names(&ana).await, ["Name of c1"]);
    ana.set_online(false);
    let ana = std::sync::Arc::new(ana);
    let waiting = tokio::spawn({
        let ana = ana.clone();
        async move { lend(&ana, "e2", "c1", 6).await }
    });
    reached(&ana, "one to wait", |status| status.pending == 1).await;
    assert!(entries(&ana).await.is_empty(), "nothing shows before the server has said yes");
    ana.set_online(true);
    waiting.await.unwrap();
    settled(&ana).await;
    assert_eq!(entries(&ana).await.len(), 1);
}
