//! Invariants 8 and 9: rows that move, go, and come back.

use crate::fixture::{add, customers, shop, two_shops};
use crate::oracle::assert_converged;
use nizhal_tests::{App, both};
use serde_json::json;

both![
    inv08_a_moved_row_leaves_one_shop_and_enters_the_other,
    inv08_a_row_moved_away_and_back_is_simply_there,
    inv08_a_row_moved_between_ones_own_shops_stays,
    inv09_a_delete_is_a_tombstone_with_the_clients_key,
    inv09_deleted_and_written_again_is_there,
    inv09_moved_then_deleted_is_gone_on_both_sides,
    a_bulk_move_carries_every_row,
];

fn gone(id: &str) -> Vec<(String, String)> {
    vec![("customers".to_owned(), id.to_owned())]
}

async fn inv08_a_moved_row_leaves_one_shop_and_enters_the_other(app: App) {
    let mut db = two_shops(&app).await;
    let (mut ana, mut cem) = (app.device("a", "ana", "s1"), app.device("c", "cem", "s2"));
    add(&mut ana, "c1").await;
    add(&mut ana, "c2").await;
    ana.pull().await;
    cem.pull().await;
    db.execute("update customers set shop_id = 's2' where id = 'c1'").await;
    let page = ana.page(None).await;
    assert_eq!((&page.removed, &page.tombstoned), (&gone("c1"), &vec![]), "{}", page.body);
    assert!(page.changed.is_empty() && !page.body.to_string().contains("\"s2\""), "{}", page.body);
    let page = cem.page(None).await;
    assert_eq!(page.changed.iter().map(|(_, key, _)| key.as_str()).collect::<Vec<_>>(), ["c1"]);
    assert_converged(&app, &ana, "ana").await;
    assert_converged(&app, &cem, "cem").await;
    assert_eq!(ana.ids("customers"), ["c2"]);
}

async fn inv08_a_row_moved_away_and_back_is_simply_there(app: App) {
    let mut db = two_shops(&app).await;
    let (mut ana, mut cem) = (app.device("a", "ana", "s1"), app.device("c", "cem", "s2"));
    add(&mut ana, "c1").await;
    ana.pull().await;
    cem.pull().await;
    for transaction in [["", ""], ["begin; ", "; commit"]] {
        let [begin, commit] = transaction;
        let away = "update customers set shop_id = 's2' where id = 'c1'";
        let back = "update customers set shop_id = 's1' where id = 'c1'";
        db.execute(&format!("{begin}{away}; {back}{commit}")).await;
        ana.pull().await;
        cem.pull().await;
        assert_eq!(ana.ids("customers"), ["c1"]);
        assert!(cem.rows.is_empty());
        assert!(app.device("fresh", "cem", "s2").page(None).await.changed.is_empty());
    }
}

async fn inv08_a_row_moved_between_ones_own_shops_stays(app: App) {
    let mut db = two_shops(&app).await;
    shop(&mut db, "s3", &["ana"]).await;
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    ana.pull().await;
    db.execute("update customers set shop_id = 's3' where id = 'c1'").await;
    let page = ana.page(None).await;
    assert!(page.removed.is_empty() && page.tombstoned.is_empty(), "{}", page.body);
    assert_eq!(ana.row("customers", "c1").expect("it stays")["shop_id"], "s3");
}

async fn inv09_a_delete_is_a_tombstone_with_the_clients_key(app: App) {
    let mut db = two_shops(&app).await;
    let mut ana = app.device("a", "ana", "s1");
    db.execute(
        "insert into customers (id, shop_id, name, client_id) values
         ('c1', 's1', 'A', 'k1'), ('c2', 's1', 'B', 'c2'), ('c3', 's1', 'C', null), ('c4', 's1', 'D', 'k4')",
    )
    .await;
    ana.pull().await;
    db.execute("delete from customers where id in ('c1', 'c2', 'c3')").await;
    ana.mutate("deleteCustomer", &json!({"customerId": "c4"})).await.expect(200);
    let page = ana.page(None).await;
    let mut tombstones = page.body["tombstoned"].as_array().expect("a list").clone();
    tombstones.sort_by_key(|gone| gone["id"].to_string());
    assert_eq!(
        json!(tombstones),
        json!([
            {"table": "customers", "id": "c1", "key": "k1"},
            {"table": "customers", "id": "c2"},
            {"table": "customers", "id": "c3"},
            {"table": "customers", "id": "c4", "key": "k4"},
        ])
    );
    assert!(page.removed.is_empty() && ana.rows.is_empty());
}

async fn inv09_deleted_and_written_again_is_there(app: App) {
    let mut db = two_shops(&app).await;
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    ana.pull().await;
    for begin_and_commit in [["", ""], ["begin; ", "; commit"]] {
        let [begin, commit] = begin_and_commit;
        let again = "insert into customers (id, shop_id, name) values ('c1', 's1', 'Again')";
        db.execute(&format!("{begin}delete from customers where id = 'c1'; {again}{commit}")).await;
        ana.pull().await;
        assert_eq!(ana.row("customers", "c1").expect("it is back")["name"], "Again");
    }
    db.execute("delete from customers where id = 'c1'").await;
    ana.pull().await;
    assert!(ana.rows.is_empty());
    assert!(app.device("fresh", "ana", "s1").page(None).await.changed.is_empty());
}

async fn inv09_moved_then_deleted_is_gone_on_both_sides(app: App) {
    let mut db = two_shops(&app).await;
    let (mut ana, mut cem) = (app.device("a", "ana", "s1"), app.device("c", "cem", "s2"));
    customers(&mut db, "s1", "c", 3).await;
    ana.pull().await;
    cem.pull().await;
    db.execute("update customers set shop_id = 's2' where id = 'c1'").await;
    cem.pull().await;
    db.execute("delete from customers where id = 'c1'").await;
    ana.pull().await;
    cem.pull().await;
    assert_eq!(ana.ids("customers"), ["c2", "c3"]);
    assert!(cem.rows.is_empty());
}

async fn a_bulk_move_carries_every_row(app: App) {
    let mut db = two_shops(&app).await;
    let (mut ana, mut cem) = (app.device("a", "ana", "s1"), app.device("c", "cem", "s2"));
    customers(&mut db, "s1", "a", 40).await;
    customers(&mut db, "s2", "b", 40).await;
    ana.pull().await;
    cem.pull().await;
    // The two shops swap their lists in one statement.
    db.execute("update customers set shop_id = case shop_id when 's1' then 's2' else 's1' end").await;
    ana.pull_by(7).await;
    cem.pull_by(7).await;
    assert_converged(&app, &ana, "ana").await;
    assert_converged(&app, &cem, "cem").await;
    assert_eq!(ana.ids("customers").len(), 40);
}
