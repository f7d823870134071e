//! Invariants 3 to 5: a network that cuts connections at any byte changes nothing but time.

use crate::fixture::{add, bearer, entries, lend, names, settled, setup, shop};
use nizhal::client::{Client, Phase};
use nizhal_tests::{App, Proxy, Weather, both, until};

both![
    inv05_connections_cut_at_any_byte,
    inv05_a_first_sync_that_is_cut_goes_on_in_pages,
    inv10_a_new_epoch_is_recognised_and_the_outbox_replayed,
];

async fn behind(proxy: &Proxy, user: &str) -> Client {
    Box::pin(setup(user).server(proxy.address().at(""), bearer(user)).open()).await.unwrap()
}

async fn inv05_connections_cut_at_any_byte(app: App) {
    let mut db = shop(&app).await;
    let proxy = Proxy::start(&app.address, nizhal_seeds::state("cuts")).await;
    let (ana, ben) = (behind(&proxy, "ana").await, behind(&proxy, "ben").await);
    add(&ana, "c1").await;
    until("ben knows the customer", async || names(&ben).await.len() == 1).await;
    proxy.set(Weather::Cuts(1_500));
    for number in 0..60 {
        lend(&ana, &format!("a{number:02}"), "c1", 2).await;
        lend(&ben, &format!("b{number:02}"), "c1", 3).await;
        if number % 20 == 19 {
            proxy.set(Weather::Down);
            let cuts = proxy.cuts();
            until("it was tried in vain", async || proxy.cuts() > cuts + 2).await;
            proxy.set(Weather::Cuts(4_000));
            until("more was cut", async || proxy.cuts() > cuts + 8).await;
        }
    }
    proxy.set(Weather::Fair);
    settled(&ana).await;
    settled(&ben).await;
    until("both have all", async || entries(&ana).await.len() == 120 && entries(&ben).await.len() == 120).await;
    assert_eq!(entries(&ana).await, entries(&ben).await);
    let sum = db.text("select cast(cast(sum(amount) as integer) as text) from ledger_entries").await;
    assert_eq!(sum, "300", "nothing lost, nothing doubled");
    assert_eq!(db.count("_nizhal_mutations").await, 121);
}

async fn inv05_a_first_sync_that_is_cut_goes_on_in_pages(app: App) {
    let mut db = shop(&app).await;
    let count = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000)";
    // So much that the rows are more than a device holds in memory.
    let note = "long ".repeat(220);
    db.execute(&format!(
        "{count} insert into customers (id, shop_id, name, note) select 'c' || i, 's1', 'Name ' || i, '{note}' from n"
    ))
    .await;
    let proxy = Proxy::start(&app.address, nizhal_seeds::state("first sync")).await;
    proxy.set(Weather::Cuts(8_000_000));
    let ana = behind(&proxy, "ana").await;
    until("some of it was cut", async || proxy.cuts() > 3).await;
    assert!(names(&ana).await.is_empty(), "nothing is shown before all is there");
    proxy.set(Weather::Fair);
    settled(&ana).await;
    assert_eq!(names(&ana).await.len(), 30_000);
    // Put aside in pieces, when nothing cuts it.
    let ben = behind(&proxy, "ben").await;
    settled(&ben).await;
    assert_eq!(names(&ben).await.len(), 30_000);
}

async fn inv10_a_new_epoch_is_recognised_and_the_outbox_replayed(app: App) {
    let mut db = shop(&app).await;
    let proxy = Proxy::start(&app.address, nizhal_seeds::state("new epoch")).await;
    let ana = behind(&proxy, "ana").await;
    add(&ana, "c1").await;
    settled(&ana).await;
    proxy.set(Weather::Down);
    lend(&ana, "e1", "c1", 5).await;
    // The server was restored from before the customer came: it knows neither her nor our sequence.
    for table in ["customers", "_nizhal_mutations", "_nizhal_clients", "_nizhal_tombstones"] {
        db.execute(&format!("delete from {table}")).await;
    }
    db.execute("insert into customers (id, shop_id, name) values ('c1', 's1', 'Restored')").await;
    let ended = nizhal_tests::verb(&app.set_up, &["epoch", "new"]);
    assert!(ended.status.success());
    proxy.set(Weather::Fair);
    settled(&ana).await;
    assert_eq!(names(&ana).await, ["Restored"]);
    assert_eq!(entries(&ana).await, [("e1".to_owned(), "5".to_owned())]);
    assert_eq!(db.count("ledger_entries").await, 1);
    assert!(matches!(ana.status().borrow().phase, Phase::Live));
}
