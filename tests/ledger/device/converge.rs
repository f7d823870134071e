//! Devices write, apart and together, and end with the same rows as the server.

use crate::fixture::{add, device, entries, lend, names, settled, shop};
use nizhal_tests::{App, both, until};

both![inv03_what_is_written_offline_reaches_the_other_device];

async fn inv03_what_is_written_offline_reaches_the_other_device(app: App) {
    let mut db = shop(&app).await;
    let (ana, ben) = (device(&app, "ana").await, device(&app, "ben").await);
    settled(&ana).await;
    settled(&ben).await;
    ana.set_online(false);
    add(&ana, "c1").await;
    lend(&ana, "e1", "c1", 250).await;
    assert_eq!(names(&ana).await, ["Name of c1"], "a write shows at once");
    assert_eq!(entries(&ana).await, [("e1".to_owned(), "250".to_owned())]);
    assert_eq!(ana.status().borrow().pending, 2);
    assert_eq!(db.count("customers").await, 0);
    ana.set_online(true);
    settled(&ana).await;
    assert_eq!(db.count("ledger_entries where id = 'e1'").await, 1);
    until("ben has ana's rows", async || entries(&ben).await.len() == 1).await;
    assert_eq!(names(&ben).await, names(&ana).await);
    lend(&ben, "e2", "c1", 100).await;
    until("ana has ben's entry", async || entries(&ana).await.len() == 2).await;
    settled(&ben).await;
    assert_eq!(entries(&ben).await, entries(&ana).await);
}
