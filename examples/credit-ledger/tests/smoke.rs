//! The ledger's real server, on both databases: a payment on one phone reaches the other, once.

use nizhal_tests::{App, both};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_credit-ledger");

both![inv03_inv12_a_payment_reaches_the_other_phone_once];

async fn inv03_inv12_a_payment_reaches_the_other_phone_once(app: App) {
    let mut db = app.sql().await;
    db.execute("insert into shops (id, name, owner_id) values ('s1', 'One', 'o1')").await;
    for (user, role) in [("kamala", "owner"), ("nimal", "staff")] {
        let member = format!("insert into shop_members (shop_id, user_id, role) values ('s1', '{user}', '{role}')");
        db.execute(&member).await;
    }
    db.execute("insert into customers (id, shop_id, name) values ('c1', 's1', 'Sunil')").await;
    let (kamala, mut nimal) = (app.device("phone-1", "kamala", "s1"), app.device("phone-2", "nimal", "s1"));

    let payment = json!({
        "name": "recordPayment",
        "args": {"clientId": "p1", "customerId": "c1", "amount": "250.50"},
        "clientMutationId": "m1", "clientID": "phone-1", "mutationID": 1,
    });
    let first = app.push(&kamala.token, std::slice::from_ref(&payment)).await.expect(200).json();
    let second = app.push(&kamala.token, &[payment]).await.expect(200).json();
    assert_eq!(first["applied"].as_array().map(Vec::len), Some(1), "{first}");
    assert_eq!(second, first, "a delivery that comes again has the first one's answer");

    nimal.pull().await;
    let amounts: Vec<&Value> =
        nimal.rows.iter().filter(|((table, _), _)| table == "ledger_entries").map(|(_, row)| &row["amount"]).collect();
    assert_eq!(amounts, [&json!("-250.50")]);
}
