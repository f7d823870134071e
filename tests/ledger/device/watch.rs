//! Queries that are run again when their tables change, and only then.

use crate::fixture::{add, device, lend, settled, shop};
use credit_ledger::table::{Customer, LedgerEntry};
use futures_util::{FutureExt as _, StreamExt as _};
use nizhal::prelude::*;
use nizhal_tests::{App, both};

both![a_watched_query_follows_its_tables_alone];

async fn a_watched_query_follows_its_tables_alone(app: App) {
    let mut db = shop(&app).await;
    let ana = device(&app, "ana").await;
    settled(&ana).await;
    let mut customers = ana.watch(Customer::find());
    let mut sums = ana.watch_with(&["ledger_entries"], |db| async move {
        let entries = LedgerEntry::find().all(&db).await.unwrap();
        entries.iter().fold(Decimal::ZERO, |sum, entry| sum + entry.amount)
    });
    assert_eq!(customers.next().await.unwrap().unwrap().len(), 0);
    assert_eq!(sums.next().await.unwrap(), Decimal::ZERO);
    add(&ana, "c1").await;
    assert_eq!(customers.next().await.unwrap().unwrap().len(), 1);
    assert!(sums.next().now_or_never().is_none(), "a customer is no entry");
    settled(&ana).await;
    // What the server confirmed is written once more; whoever looks next sees it once.
    lend(&ana, "e1", "c1", 5).await;
    assert_eq!(sums.next().await.unwrap().to_string(), "5");
    db.execute("insert into customers (id, shop_id, name) values ('c2', 's1', 'Pulled')").await;
    loop {
        let rows = customers.next().await.unwrap().unwrap();
        if rows.len() == 2 {
            break;
        }
        assert_eq!(rows.len(), 1);
    }
}
