//! Invariant 3: devices end with what the server holds, whatever way they took there.

use crate::dice::Dice;
use crate::fixture::{add, credit, customers, join, leave, shop, two_shops};
use crate::oracle::assert_converged;
use nizhal_tests::{App, Connection, Device, both};
use serde_json::json;

both![inv03_two_devices_converge, inv03_devices_converge_after_a_random_walk, inv03_each_row_comes_once];

async fn inv03_two_devices_converge(app: App) {
    two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let mut tablet = app.device("tablet", "ben", "s1");
    tablet.pull().await;
    add(&mut phone, "c1").await;
    add(&mut tablet, "c2").await;
    phone.pull().await;
    tablet.pull().await;
    assert_eq!(phone.rows, tablet.rows);
    credit(&mut phone, "e1", "c2", "250.50").await;
    let paid = json!({"clientId": "e2", "customerId": "c2", "amount": 100, "reason": "cash", "ref": "R-7"});
    tablet.mutate("recordPayment", &paid).await.expect(200);
    phone.mutate("updateCustomerName", &json!({"customerId": "c1", "value": "Sunil"})).await.expect(200);
    tablet.mutate("updateCustomerPhone", &json!({"customerId": "c1", "value": "077"})).await.expect(200);
    tablet.pull().await;
    phone.pull().await;
    assert_eq!(phone.rows, tablet.rows);
    assert_converged(&app, &phone, "ana").await;
    let entry = phone.row("ledger_entries", "e2").expect("the payment arrived");
    assert_eq!((&entry["amount"], &entry["ref"], &entry["created_by"]), (&json!("-100"), &json!("R-7"), &json!("ben")));
    let customer = phone.row("customers", "c1").expect("the customer arrived");
    assert_eq!((&customer["name"], &customer["phone"]), (&json!("Sunil"), &json!("077")));
    phone.mutate("updateCustomerPhone", &json!({"customerId": "c1", "value": null})).await.expect(200);
    phone.mutate("deleteCustomer", &json!({"customerId": "c2"})).await.expect(200);
    tablet.pull().await;
    assert_eq!(tablet.ids("customers"), ["c1"]);
    assert_eq!(tablet.row("customers", "c1").expect("it is still there")["phone"], json!(null));
    // Money facts outlive the name.
    assert_eq!(tablet.ids("ledger_entries"), ["e1", "e2"]);
    assert_converged(&app, &tablet, "ben").await;
}

async fn inv03_each_row_comes_once(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 25).await;
    let mut phone = app.device("phone", "ana", "s1");
    assert_eq!(phone.pull_by(4).await.iter().map(|page| page.changed.len()).sum::<usize>(), 25);
    let again = phone.pull().await;
    assert!(again.len() == 1 && again[0].changed.is_empty(), "nothing is new: {again:?}");
    db.execute("update customers set note = 'x' where id = 'c7'").await;
    let page = phone.page(None).await;
    assert_eq!(page.changed.iter().map(|(_, key, _)| key.as_str()).collect::<Vec<_>>(), ["c7"]);
}

pub(crate) async fn inv03_devices_converge_after_a_random_walk(app: App) {
    let mut db = app.sql().await;
    shop(&mut db, "s1", &["ana", "ben"]).await;
    shop(&mut db, "s2", &["ana"]).await;
    shop(&mut db, "s3", &[]).await;
    for (of, prefix) in [("s1", "a"), ("s2", "b"), ("s3", "c")] {
        customers(&mut db, of, prefix, 9).await;
    }
    let mut devices = [("ana", app.device("d1", "ana", "s1")), ("ben", app.device("d2", "ben", "s1"))];
    let mut dice = Dice::of("random walk");
    for step in 0..nizhal_seeds::count(240) {
        let (user, device) = &mut devices[usize::from(dice.roll(2) == 0)];
        walk(&mut db, &mut dice, device, user, step).await;
    }
    for (user, device) in &mut devices {
        device.pull_by(3).await;
        assert_converged(&app, device, user).await;
        let mut fresh = app.device("fresh", user, "s1");
        fresh.pull_by(5).await;
        assert_eq!(fresh.rows, device.rows, "a fresh device holds something else than {user}'s");
    }
}

async fn walk(db: &mut Connection, dice: &mut Dice, device: &mut Device, user: &str, step: u64) {
    let shop = format!("s{}", 1 + dice.roll(3));
    let row = format!("{}{}", ["a", "b", "c"][usize::try_from(dice.roll(3)).expect("small")], 1 + dice.roll(9));
    match dice.roll(12) {
        0..=3 => drop(device.page(Some(i64::try_from(1 + dice.roll(6)).expect("small"))).await),
        // Ben may have been put out of shop s1 by then: 403 is a right answer too, and changes nothing.
        4 => {
            let args = json!({"clientId": format!("n{step}"), "name": "New"});
            let mutation = json!({"name": "addCustomer", "args": args, "clientMutationId": format!("m{step}")});
            let reply = device.push(&[mutation]).await;
            assert!([200, 403].contains(&reply.status), "{}", reply.text);
        }
        5 | 6 => drop(db.execute(&format!("update customers set shop_id = '{shop}' where id = '{row}'")).await),
        7 => drop(db.execute(&format!("update customers set note = 'n{step}' where id = '{row}'")).await),
        8 => drop(db.execute(&format!("delete from customers where id = '{row}'")).await),
        9 => {
            let values = format!("('{row}', '{shop}', 'Back')");
            db.execute(&format!(
                "insert into customers (id, shop_id, name) values {values} on conflict (id) do update set name = 'Back'"
            ))
            .await;
        }
        _ if db.count(&format!("shop_members where shop_id = '{shop}' and user_id = '{user}'")).await == 0 => {
            join(db, &shop, user).await;
        }
        _ => leave(db, &shop, user).await,
    }
}
