//! Invariant 2: nothing outside an actor's scope reaches the actor, in any form.

use crate::fixture::{add, credit, customers, shop, two_shops};
use nizhal_tests::{App, Frame, both, token};
use serde_json::json;

both![
    inv02_another_shops_rows_never_arrive,
    inv02_another_shops_pings_never_arrive,
    inv02_who_is_member_of_nothing_gets_nothing,
    inv02_another_actors_cursor_opens_nothing,
    inv02_owners_and_claims_open_nothing,
];

async fn inv02_another_shops_rows_never_arrive(app: App) {
    let mut db = two_shops(&app).await;
    let mut spy = app.device("spy", "ana", "s1");
    let mut theirs = app.device("theirs", "cem", "s2");
    let mut seen = String::new();
    for step in 0..6 {
        match step {
            0 => drop(add(&mut theirs, "secret-1").await),
            1 => drop(credit(&mut theirs, "secret-e", "secret-1", "77.77").await),
            2 => drop(theirs.mutate("updateCustomerName", &json!({"customerId": "secret-1", "value": "X"})).await),
            3 => drop(theirs.mutate("deleteCustomer", &json!({"customerId": "secret-1"})).await.expect(200)),
            4 => customers(&mut db, "s2", "secret-", 30).await,
            _ => drop(db.execute("delete from customers where shop_id = 's2'").await),
        }
        seen += &spy.ask(None).await.expect(200).text;
        spy.page(Some(2)).await;
        seen += &app.device("fresh", "ana", "s1").ask(None).await.expect(200).text;
    }
    // The bucket with its quotes: a cursor is base64, and two letters may stand in it by chance.
    assert!(!seen.contains("secret") && !seen.contains("77.77") && !seen.contains("\"s2\""), "{seen}");
    assert!(spy.rows.is_empty());
}

async fn inv02_another_shops_pings_never_arrive(app: App) {
    two_shops(&app).await;
    let (mut ours, mut theirs) = (app.device("ours", "ana", "s1"), app.device("theirs", "cem", "s2"));
    let mut socket = app.stream("", Some(&ours.token)).await.expect("ana may listen");
    socket.ready().await;
    for round in 0..3 {
        add(&mut theirs, &format!("t{round}")).await;
        theirs.mutate("deleteCustomer", &json!({"customerId": format!("t{round}")})).await.expect(200);
        // Our own ping comes after theirs would have come.
        add(&mut ours, &format!("o{round}")).await;
        assert_eq!(socket.next().await, Frame::text("repull:s1"));
    }
}

async fn inv02_who_is_member_of_nothing_gets_nothing(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 3).await;
    let mut nobody = app.device("d", "zoe", "s1");
    nobody.pull().await;
    assert!(nobody.rows.is_empty());
    let reply = nobody.mutate("addCustomer", &json!({"clientId": "z", "name": "Z"})).await;
    reply.refused(403, "forbidden");
    assert_eq!(db.count("customers").await, 3);
}

async fn inv02_another_actors_cursor_opens_nothing(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "a", 5).await;
    customers(&mut db, "s2", "b", 5).await;
    for limit in [1, 3, 100] {
        let mut ana = app.device("phone", "ana", "s1");
        ana.page(Some(limit)).await;
        let mut cem = app.device("phone", "cem", "s2");
        cem.cursor.clone_from(&ana.cursor);
        cem.pull_by(2).await;
        assert_eq!(cem.ids("customers"), ["b1", "b2", "b3", "b4", "b5"]);
    }
}

async fn inv02_owners_and_claims_open_nothing(app: App) {
    let mut db = two_shops(&app).await;
    shop(&mut db, "s'3", &["o'neil"]).await;
    customers(&mut db, "s1", "a", 2).await;
    // The same owner and a claimed shop give no row; neither does a name that looks like SQL.
    for user in ["' or '1'='1", "%", "*", "ana\u{0000}", "ANA"] {
        let claims = json!({"userId": user, "ownerId": "o1", "shopId": "s1", "exp": token::expiry(600)});
        let reply = app.post("/sync/pull", &token::signed(&claims), "{}").await;
        assert!(reply.status < 500, "{} {}", reply.status, reply.text);
        assert!(!reply.text.contains("Name 1"), "{user}: {}", reply.text);
    }
    db.execute("insert into customers (id, shop_id, name) values ('q', 's''3', 'Quoted')").await;
    let mut oneil = app.device("d", "o'neil", "s'3");
    add(&mut oneil, "c'1").await;
    oneil.pull().await;
    assert_eq!(oneil.ids("customers"), ["c'1", "q"]);
}
