//! Wire 2's push: each mutation is answered by itself, and a refused one stops nobody but its dependants.

use crate::fixture::{add, loose, shop, two_shops};
use nizhal_tests::{App, Device, Reply, both};
use reqwest::Method;
use serde_json::{Value, json};

both![
    inv16_a_rejection_stops_nobody,
    inv16_dependants_are_cancelled_for_good,
    inv16_an_unknown_mutator_is_final,
    inv12_a_replay_gets_its_first_answer,
    inv15_a_gap_stops_its_client_alone,
    inv18_a_foreign_write_is_forbidden,
    inv13_a_number_of_anothers_is_not_called_a_duplicate,
    inv17_a_fault_lists_what_came_before,
    both_wires_share_one_memory,
    inv32_a_wire_of_no_kind_is_refused,
];

/// What each result says, apart from ids and texts.
fn told(reply: &Reply) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let body = reply.json();
    body["results"].as_array().expect("results").iter().map(|it| (text(&it["status"]), text(&it["code"]))).collect()
}

fn pair(status: &str, code: &str) -> (String, String) {
    (status.to_owned(), code.to_owned())
}

fn ana(app: &App) -> Device {
    app.device("phone", "ana", "s1").wire_two()
}

fn customer(phone: &mut Device, id: &str) -> Value {
    phone.mutation("addCustomer", &json!({"clientId": id, "name": "Sunil"}))
}

/// A mutation that no server would take.
fn poison(phone: &mut Device) -> Value {
    phone.mutation("deleteCustomer", &json!({"customerId": "nobody"}))
}

fn on(mut mutation: Value, on: &[&str]) -> Value {
    mutation["dependsOn"] = json!(on);
    mutation
}

pub(crate) async fn inv16_a_rejection_stops_nobody(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = ana(&app);
    let batch = [customer(&mut phone, "c1"), poison(&mut phone), customer(&mut phone, "c2")];
    let reply = phone.push(&batch).await.expect(200);
    assert_eq!(
        reply.json(),
        json!({"results": [
            {"clientMutationId": "phone-1", "status": "applied", "clientId": "c1", "serverId": "c1", "lastMutationId": 1},
            {"clientMutationId": "phone-2", "status": "rejected", "code": "rejected",
             "error": "customer not found in the actor's shop", "lastMutationId": 2},
            {"clientMutationId": "phone-3", "status": "applied", "clientId": "c2", "serverId": "c2", "lastMutationId": 3},
        ]})
    );
    assert_eq!(db.count("customers").await, 2);
    phone.pull().await;
    assert_eq!(phone.acknowledged, 3);
}

async fn inv16_dependants_are_cancelled_for_good(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = ana(&app);
    let batch = [
        poison(&mut phone),
        on(customer(&mut phone, "c2"), &["phone-1"]),
        on(customer(&mut phone, "c3"), &["elsewhere", "phone-2"]),
        on(customer(&mut phone, "c4"), &["elsewhere\0"]),
    ];
    let wanted = [pair("rejected", "rejected"), pair("cancelled", "cancelled"), pair("cancelled", "cancelled")];
    for last in ["applied", "duplicate"] {
        let reply = phone.push(&batch).await.expect(200);
        assert_eq!(told(&reply), [&wanted[..], &[pair(last, "")]].concat(), "{}", reply.text);
        assert!(reply.json()["results"][2]["error"].as_str().is_some_and(|text| text.contains("phone-2")));
    }
    // In a later push, and from another client of the same actor, it counts as well.
    let late = on(customer(&mut phone, "c5"), &["phone-3"]);
    let mut tablet = app.device("tablet", "ana", "s1").wire_two();
    let other = on(customer(&mut tablet, "c6"), &["phone-1"]);
    let free = customer(&mut phone, "c7");
    let reply = phone.push(&[late, other, free]).await.expect(200);
    assert_eq!(told(&reply), [pair("cancelled", "cancelled"), pair("cancelled", "cancelled"), pair("applied", "")]);
    // Another actor's refusals are another's.
    let mut ben = app.device("ben", "ben", "s1").wire_two();
    let theirs = on(customer(&mut ben, "c8"), &["phone-1"]);
    let reply = ben.push(&[theirs]).await.expect(200);
    assert_eq!(told(&reply), [pair("applied", "")]);
    let found = db.rows("select id from customers order by id").await;
    assert_eq!(found.concat().into_iter().flatten().collect::<Vec<_>>(), ["c4", "c7", "c8"]);
}

async fn inv16_an_unknown_mutator_is_final(app: App) {
    two_shops(&app).await;
    let mut phone = ana(&app);
    let batch = [phone.mutation("fly", &json!({})), customer(&mut phone, "c1")];
    let first = phone.push(&batch).await.expect(200);
    assert_eq!(told(&first), [pair("rejected", "unknown_mutator"), pair("applied", "")]);
    assert_eq!(first.json()["results"][0]["lastMutationId"], 1);
    let again = phone.push(&batch).await.expect(200);
    assert_eq!(told(&again), [pair("rejected", "unknown_mutator"), pair("duplicate", "")]);
}

async fn inv12_a_replay_gets_its_first_answer(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = ana(&app);
    let unfit = phone.mutation("addCustomer", &json!({"clientId": "c1", "name": ""}));
    let batch = [unfit, poison(&mut phone), customer(&mut phone, "c3"), loose("addCustomer", "x", &json!({}))];
    let first = phone.push(&batch).await.expect(200).json();
    for _ in 0..2 {
        let again = phone.push(&batch).await.expect(200).json();
        for at in [0, 1, 3] {
            assert_eq!(again["results"][at]["error"], first["results"][at]["error"]);
            assert_eq!(again["results"][at]["status"], "rejected");
        }
        let third = json!({"clientMutationId": "phone-3", "status": "duplicate", "clientId": "c3", "serverId": "c3", "lastMutationId": 3});
        assert_eq!(again["results"][2], third);
    }
    assert_eq!(db.count("customers").await, 1);
}

pub(crate) async fn inv15_a_gap_stops_its_client_alone(app: App) {
    let mut db = two_shops(&app).await;
    let (mut phone, mut tablet) = (ana(&app), app.device("tablet", "ana", "s1").wire_two());
    let (first, second, third) = (customer(&mut phone, "c1"), customer(&mut phone, "c2"), customer(&mut phone, "c3"));
    let batch = [
        second.clone(),
        first.clone(),
        customer(&mut tablet, "t1"),
        on(customer(&mut tablet, "t2"), &["phone-2"]),
        customer(&mut tablet, "t3"),
        loose("addCustomer", "x", &json!({"clientId": "x1", "name": "X"})),
    ];
    let reply = phone.push(&batch).await.expect(200);
    let late = || pair("outOfOrder", "out_of_order");
    assert_eq!(told(&reply), [late(), late(), pair("applied", ""), late(), late(), pair("applied", "")]);
    assert_eq!(reply.json()["results"][0]["lastMutationId"], 0);
    assert_eq!(db.count("customers").await, 2);
    // Nothing was used up.
    let reply = phone.push(&[first, second, third, batch[3].clone(), batch[4].clone()]).await.expect(200);
    assert!(told(&reply).iter().all(|it| *it == pair("applied", "")), "{}", reply.text);
    assert_eq!(db.count("customers").await, 7);
}

async fn inv18_a_foreign_write_is_forbidden(app: App) {
    let mut db = two_shops(&app).await;
    // Signed in to shop s2, says the token; but ana is no member of it.
    let mut intruder = app.device("phone", "ana", "s2").wire_two();
    let batch = [customer(&mut intruder, "c1")];
    for _ in 0..2 {
        assert_eq!(told(&intruder.push(&batch).await.expect(200)), [pair("forbidden", "forbidden")]);
    }
    let mut thief = app.device("phone", "ben", "s1").wire_two();
    let theirs = [customer(&mut thief, "c2"), loose("addCustomer", "x", &json!({"clientId": "c3", "name": "X"}))];
    let reply = thief.push(&theirs).await.expect(200);
    assert_eq!(told(&reply), [pair("forbidden", "client_id_taken"), pair("applied", "")]);
    assert!(reply.json()["results"][0].get("lastMutationId").is_none(), "it tells of the owner: {}", reply.text);
    assert_eq!(db.text("select id from customers").await, "c3");
}

async fn inv13_a_number_of_anothers_is_not_called_a_duplicate(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = ana(&app);
    add(&mut phone, "c1").await;
    let mut other = customer(&mut phone, "c2");
    other["mutationID"] = json!(1);
    let reply = phone.push(&[other]).await.expect(200);
    assert_eq!(told(&reply), [pair("rejected", "number_used")]);
    assert_eq!(reply.json()["results"][0]["lastMutationId"], 1);
    assert_eq!(db.count("customers").await, 1);
}

async fn inv17_a_fault_lists_what_came_before(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = ana(&app);
    let credit = json!({"clientId": "e1", "customerId": "c2", "amount": 5});
    let batch = [
        poison(&mut phone),
        customer(&mut phone, "c2"),
        phone.mutation("recordCredit", &credit),
        customer(&mut phone, "c4"),
    ];
    db.execute("alter table ledger_entries rename column reason to reason_away").await;
    let reply = phone.push(&batch).await.refused(500, "internal");
    assert_eq!(told(&reply), [pair("rejected", "rejected"), pair("applied", "")]);
    db.execute("alter table ledger_entries rename column reason_away to reason").await;
    let reply = phone.push(&batch).await.expect(200);
    let wanted = [pair("rejected", "rejected"), pair("duplicate", ""), pair("applied", ""), pair("applied", "")];
    assert_eq!(told(&reply), wanted, "{}", reply.text);
}

async fn both_wires_share_one_memory(app: App) {
    let mut db = app.sql().await;
    shop(&mut db, "s1", &["ana"]).await;
    let mut new = ana(&app);
    let old = app.device("phone", "ana", "s1");
    let bad = poison(&mut new);
    let cancelled = on(customer(&mut new, "c2"), &["phone-1"]);
    let fine = on(customer(&mut new, "c3"), &["elsewhere"]);
    new.push(&[bad.clone(), cancelled.clone(), fine.clone()]).await.expect(200);
    old.push(&[bad]).await.refused(422, "rejected");
    let reply = old.push(std::slice::from_ref(&cancelled)).await.refused(422, "rejected");
    assert_eq!((&reply.json()["applied"], &reply.json()["lastMutationId"]), (&json!([]), &json!(3)));
    assert_eq!(old.push(&[fine]).await.expect(200).json(), json!({"applied": ["phone-3"], "lastMutationId": 3}));
    // Wire 1 knows no dependencies, and what it applied stays applied.
    let loose = on(loose("addCustomer", "x", &json!({"clientId": "x1", "name": "X"})), &["phone-1"]);
    old.push(std::slice::from_ref(&loose)).await.expect(200);
    assert_eq!(told(&new.push(&[loose]).await.expect(200)), [pair("duplicate", "")]);
}

async fn inv32_a_wire_of_no_kind_is_refused(app: App) {
    two_shops(&app).await;
    let token = app.device("d", "ana", "s1").token;
    for wire in ["0", "3", "two", ""] {
        for path in ["/sync/pull", "/sync/push"] {
            let request = app.request(Method::POST, path).bearer_auth(&token).header("x-nizhal-wire", wire);
            Reply::of(request.body(r#"{"mutations": []}"#)).await.refused(400, "bad_request");
        }
    }
    let explicit = app.request(Method::POST, "/sync/push").bearer_auth(&token).header("x-nizhal-wire", "1");
    assert_eq!(Reply::of(explicit.body(r#"{"mutations": []}"#)).await.expect(200).text, r#"{"applied":[]}"#);
}
