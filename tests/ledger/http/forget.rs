//! Invariants 12 and 19 when answers are forgotten: what comes again after that does not run again, and nobody is locked out.

use crate::fixture::{add, loose, two_shops};
use nizhal_tests::{App, Kind, Reply, both, until};
use serde_json::{Value, json};

both![
    inv12_a_forgotten_answer_is_not_given_twice,
    inv12_a_device_that_counts_anew_is_not_locked_out,
    inv12_a_silent_client_is_forgotten_and_runs_nothing_again,
];

/// Makes all answers and jobs a month old and lets the server forget what it may.
async fn a_month_later(app: &mut App, left: u64) {
    let mut db = app.sql().await;
    let ago = match app.database.kind() {
        Kind::Postgres => "now() - interval '30 days'",
        Kind::Sqlite => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days')",
    };
    db.execute(&format!("update _nizhal_mutations set at = {ago}")).await;
    let job = "insert into _nizhal_jobs (id, name, args, status, run_at) values";
    db.execute(&format!("{job} ('old', 'gone', '{{}}', 'dead', {ago}), ('late', 'gone', '{{}}', 'pending', {ago})"))
        .await;
    app.set_up = app.set_up.clone().env("NIZHAL_TOMBSTONE_DAYS", "7").env("NIZHAL_JOB_WORKERS", "0");
    app.restart();
    let forgotten = async || db.count("_nizhal_mutations").await == left && db.count("_nizhal_jobs").await == 1;
    until("what is old is forgotten", forgotten).await;
    assert_eq!(db.text("select id from _nizhal_jobs").await, "late", "only what is dead is forgotten");
}

async fn in_wire_two(app: &App, token: &str, mutation: &Value) -> Value {
    let request = app.request(reqwest::Method::POST, "/sync/push").bearer_auth(token).header("x-nizhal-wire", "2");
    let body = json!({"mutations": [mutation]}).to_string();
    Reply::of(request.header("content-type", "application/json").body(body)).await.expect(200).json()["results"][0]
        .clone()
}

async fn inv12_a_forgotten_answer_is_not_given_twice(mut app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let first = phone.mutation("addCustomer", &json!({"clientId": "c1", "name": "One"}));
    let refused = phone.mutation("recordCredit", &json!({"clientId": "e1", "customerId": "nobody", "amount": 5}));
    phone.push(std::slice::from_ref(&first)).await.expect(200);
    phone.push(std::slice::from_ref(&refused)).await.refused(422, "rejected");
    let batch = [
        phone.mutation("addCustomer", &json!({"clientId": "c3", "name": "Three"})),
        phone.mutation("addCustomer", &json!({"clientId": "c4", "name": "Four"})),
    ];
    phone.push(&batch).await.expect(200);
    let unnumbered = loose("addCustomer", "x1", &json!({"clientId": "c5", "name": "Five"}));
    phone.push(std::slice::from_ref(&unnumbered)).await.expect(200);
    // Those that the last request brought may be asked again, and those without a number at any time.
    a_month_later(&mut app, 3).await;
    db.execute("delete from customers where id = 'c1'").await;
    for _ in 0..2 {
        for again in [&first, &refused] {
            let reply = phone.push(std::slice::from_ref(again)).await.refused(422, "expired");
            assert_eq!((&reply.json()["applied"], &reply.json()["lastMutationId"]), (&json!([]), &json!(4)));
            let result = in_wire_two(&app, &phone.token, again).await;
            assert_eq!((&result["status"], &result["code"]), (&json!("rejected"), &json!("expired")));
        }
        phone.push(&batch).await.expect(200);
        phone.push(std::slice::from_ref(&unnumbered)).await.expect(200);
    }
    assert_eq!(db.count("customers").await, 3, "nothing ran again");
    assert_eq!(add(&mut phone, "c6").await.json()["lastMutationId"], 5);
    phone.pull().await;
    assert_eq!(phone.acknowledged, 5);
}

async fn inv12_a_device_that_counts_anew_is_not_locked_out(mut app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    for number in 1..=4 {
        add(&mut phone, &format!("c{number}")).await;
    }
    a_month_later(&mut app, 1).await;
    // A copy of the device that counts from the beginning, and writes today.
    let now = nizhal::DateTimeUtc::from(std::time::SystemTime::now()).format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let mut new = loose("addCustomer", "new", &json!({"clientId": "n1", "name": "New"}));
    new["clientID"] = json!("phone");
    new["hlc"] = json!(format!("{now}-0000-000000000000000000000000000000aa"));
    new["mutationID"] = json!(2);
    assert_eq!(phone.push(&[new.clone()]).await.expect(200).json(), json!({"applied": [], "lastMutationId": 4}));
    let result = in_wire_two(&app, &phone.token, &new).await;
    assert_eq!((&result["status"], &result["code"]), (&json!("rejected"), &json!("number_used")));
    new["mutationID"] = json!(5);
    phone.push(&[new]).await.expect(200);
    assert_eq!(db.count("customers").await, 5);
}

async fn inv12_a_silent_client_is_forgotten_and_runs_nothing_again(mut app: App) {
    let mut db = two_shops(&app).await;
    let phone = app.device("phone", "ana", "s1");
    let ago = |days: i64| {
        let then = nizhal::DateTimeUtc::from(std::time::SystemTime::now()) - nizhal::TimeDelta::days(days);
        format!("{}-0000-000000000000000000000000000000aa", then.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
    };
    let numbered = |client: &str, number: u32, id: &str, days: i64| {
        let mut mutation = loose("addCustomer", id, &json!({"clientId": id, "name": "N"}));
        (mutation["clientID"], mutation["mutationID"], mutation["hlc"]) =
            (json!(client), json!(number), json!(ago(days)));
        mutation
    };
    let old = numbered("phone", 1, "old", 100);
    phone.push(std::slice::from_ref(&old)).await.expect(200);
    phone.push(&[numbered("tablet", 1, "t1", 0)]).await.expect(200);
    let (then, month) = match app.database.kind() {
        Kind::Postgres => ("now() - interval '100 days'", "now() - interval '30 days'"),
        Kind::Sqlite => {
            ("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-100 days')", "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days')")
        }
    };
    db.execute(&format!("update _nizhal_clients set seen_at = {then} where client_id = 'phone'")).await;
    db.execute(&format!("update _nizhal_clients set seen_at = {month} where client_id = 'tablet'")).await;
    app.set_up = app.set_up.clone().env("NIZHAL_TOMBSTONE_DAYS", "7");
    app.restart();
    until("the silent client is forgotten", async || db.count("_nizhal_clients").await == 1).await;
    assert_eq!(db.text("select client_mutation_id from _nizhal_mutations").await, "t1");
    db.execute("delete from customers where id = 'old'").await;
    // It comes back with what it had, and with what it wrote since.
    for client in ["phone", "fresh"] {
        let again = numbered(client, 1, "old", 100);
        for _ in 0..2 {
            phone.push(std::slice::from_ref(&again)).await.refused(422, "expired");
        }
        let batch = [numbered(client, 2, &format!("{client}-2"), 1), numbered(client, 3, &format!("{client}-3"), 0)];
        phone.push(&batch).await.expect(200);
    }
    assert_eq!(db.count("customers").await, 5, "the old one did not run again");
}
