//! Invariants 1 and 28: pages of any size skip nothing, and none grows without bound.

use crate::fixture::{customers, shop, two_shops};
use crate::oracle::assert_converged;
use nizhal_tests::{App, both};
use std::collections::BTreeSet;

both![
    inv01_ties_of_one_transaction_are_paged_whole,
    inv01_deletes_of_one_transaction_are_paged_whole,
    inv09_a_first_sync_tells_what_happened_between_its_pages,
    inv04_a_first_sync_ends_with_its_last_row,
    a_limit_is_clamped,
    inv28_a_page_ends_at_4_mib,
    inv04_a_row_larger_than_a_page_still_arrives,
];

const MIB: usize = 1024 * 1024;

/// Rows of three tables and two shops, all written by one transaction, so that they share one version.
const ONE_TRANSACTION: &str = "begin;
    insert into ledger_entries (id, shop_id, customer_id, amount, at, created_by)
        select 'e' || id, shop_id, id, '1', created_at, 'ana' from customers;
    insert into reminders (id, shop_id, customer_id, entry_id, scheduled_at)
        select 'r' || id, shop_id, id, 'e' || id, created_at from customers;
    update customers set note = 'tied';
    commit";

async fn inv01_ties_of_one_transaction_are_paged_whole(app: App) {
    let mut db = app.sql().await;
    shop(&mut db, "s1", &["ana"]).await;
    shop(&mut db, "s2", &["ana"]).await;
    let mut old = Vec::new();
    customers(&mut db, "s1", "a", 7).await;
    customers(&mut db, "s2", "b", 6).await;
    for limit in 1..=7 {
        let mut device = app.device(&format!("d{limit}"), "ana", "s1");
        device.pull_by(limit).await;
        old.push((limit, device));
    }
    db.execute(ONE_TRANSACTION).await;
    for (limit, mut device) in old {
        for (device, what) in [(&mut device, "known"), (&mut app.device("fresh", "ana", "s1"), "fresh")] {
            let pages = device.pull_by(limit).await;
            let came: Vec<_> =
                pages.iter().flat_map(|page| &page.changed).map(|(table, key, _)| (table, key)).collect();
            assert_eq!(came.len(), 39, "{what} device, limit {limit}");
            assert_eq!(
                came.iter().collect::<BTreeSet<_>>().len(),
                39,
                "{what} device, limit {limit}: a row came twice"
            );
            assert_converged(&app, device, "ana").await;
        }
    }
}

async fn inv01_deletes_of_one_transaction_are_paged_whole(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "a", 20).await;
    let mut devices = Vec::new();
    for limit in 1..=7 {
        let mut device = app.device(&format!("d{limit}"), "ana", "s1");
        device.pull().await;
        devices.push((limit, device));
    }
    db.execute(
        "begin;
         delete from customers where id in ('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8', 'a9');
         update customers set shop_id = 's2' where id in ('a10', 'a11', 'a12');
         update customers set note = 'kept';
         commit",
    )
    .await;
    for (limit, mut device) in devices {
        device.pull_by(limit).await;
        assert_eq!(device.ids("customers").len(), 8);
        assert_converged(&app, &device, "ana").await;
    }
}

/// Of rows that the device has, and of rows that it is yet to get: deletes, moves away and back, new names, and rows of other tables.
async fn inv09_a_first_sync_tells_what_happened_between_its_pages(app: App) {
    let mut db = two_shops(&app).await;
    for number in 0..12 {
        customers(&mut db, "s1", &format!("a{number}-"), 2).await;
    }
    let moves = |id: &str, shop: &str| format!("update customers set shop_id = '{shop}' where id = '{id}'");
    for limit in [3, 4, 9] {
        let mut device = app.device(&format!("d{limit}"), "ana", "s1");
        assert!(device.page(Some(limit)).await.has_more);
        let key = |number: i64| format!("a{}-{}", number % 12, 1 + number / 12);
        for number in [0, 8] {
            let (gone, moved, back) = (key(number + limit % 3), key(number + 12), key(number + 3));
            db.execute(&format!("delete from customers where id = '{gone}'")).await;
            db.execute(&moves(&moved, "s2")).await;
            db.execute(&moves(&back, "s2")).await;
            db.execute(&moves(&back, "s1")).await;
            db.execute(&format!("update customers set name = 'New {limit}' where id = '{}'", key(number + 2))).await;
            db.execute(&format!(
                "insert into ledger_entries (id, shop_id, customer_id, amount, at, created_by) values \
                 ('e{limit}-{number}', 's1', '{back}', '1', '2026-01-01T00:00:00.000000Z', 'ana')"
            ))
            .await;
            device.page(Some(limit)).await;
        }
        device.pull_by(limit).await;
        assert_converged(&app, &device, "ana").await;
        db.execute(&moves(&key(12), "s1")).await;
        db.execute(&moves(&key(20), "s1")).await;
    }
}

/// No page comes for nothing, and none is left out: also where somebody wrote since the first one.
async fn inv04_a_first_sync_ends_with_its_last_row(app: App) {
    let mut db = two_shops(&app).await;
    for number in 0..6 {
        customers(&mut db, "s1", &format!("a{number}-"), 1).await;
    }
    let mut device = app.device("d", "ana", "s1");
    assert_eq!(device.pull_by(6).await.len(), 1);
    let mut device = app.device("e", "ana", "s1");
    assert!(device.page(Some(3)).await.has_more);
    customers(&mut db, "s1", "late", 1).await;
    let page = device.page(Some(4)).await;
    assert_eq!((page.changed.len(), page.has_more), (4, false), "what was there, and what came since");
    assert_converged(&app, &device, "ana").await;
}

async fn a_limit_is_clamped(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 10_050).await;
    for (limit, rows) in [
        (Some(0), 1),
        (Some(-5), 1),
        (Some(i64::MIN), 1),
        (Some(3), 3),
        (None, 1000),
        (Some(1_000_000), 10_000),
        (Some(i64::MAX), 10_000),
    ] {
        let page = app.device("d", "ana", "s1").page(limit).await;
        assert_eq!((page.changed.len(), page.has_more), (rows, true), "limit {limit:?}");
    }
    let mut device = app.device("d", "ana", "s1");
    assert_eq!(device.pull().await.len(), 11);
    assert_eq!(device.ids("customers").len(), 10_050);
}

async fn inv28_a_page_ends_at_4_mib(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 10).await;
    let mib = "x".repeat(MIB);
    db.execute(&format!("update customers set note = '{mib}'")).await;
    let mut device = app.device("d", "ana", "s1");
    let mut pages = 0;
    loop {
        let reply = device.ask(None).await.expect(200);
        assert!(reply.text.len() < 5 * MIB + MIB / 2, "a page of {} bytes", reply.text.len());
        pages += 1;
        if !device.apply(&reply.json()).has_more {
            break;
        }
    }
    assert!((3..=10).contains(&pages), "{pages} pages");
    assert_converged(&app, &device, "ana").await;
}

async fn inv04_a_row_larger_than_a_page_still_arrives(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 3).await;
    db.execute(&format!("update customers set note = '{}' where id = 'c2'", "y".repeat(5 * MIB))).await;
    let mut device = app.device("d", "ana", "s1");
    device.pull().await;
    assert_converged(&app, &device, "ana").await;
}
