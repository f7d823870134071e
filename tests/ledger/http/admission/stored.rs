//! What an actor can have stored has an end: answers that nobody acknowledges, reasons, ids.

use crate::fixture::{loose, two_shops};
use crate::servers::restarted;
use nizhal_tests::{App, Kind, both, until};
use serde_json::json;

both![
    inv12_answers_without_a_client_are_forgotten_at_last,
    inv28_reasons_and_ids_are_stored_up_to_their_bounds,
    inv28_a_row_is_stored_up_to_its_bound,
];

async fn inv12_answers_without_a_client_are_forgotten_at_last(mut app: App) {
    let mut db = two_shops(&app).await;
    let phone = app.device("phone", "ana", "s1");
    let long_ago =
        nizhal::DateTimeUtc::from(std::time::SystemTime::now() - std::time::Duration::from_secs(30 * 86_400));
    let stamp = format!("{}-0000-{}", long_ago.format("%Y-%m-%dT%H:%M:%S%.3fZ"), "ab".repeat(16));
    let add = |id: &str| loose("addCustomer", id, &json!({"clientId": id, "name": id}));
    let mut stamped = add("stamped");
    stamped["hlc"] = json!(stamp);
    let old: Vec<_> = (0..1_500).map(|n| add(&format!("c{n}"))).collect();
    for part in old.chunks(500) {
        phone.push(part).await.expect(200);
    }
    phone.push(std::slice::from_ref(&stamped)).await.expect(200);
    let ago = match app.database.kind() {
        Kind::Postgres => "now() - interval '30 days'",
        Kind::Sqlite => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days')",
    };
    db.execute(&format!("update _nizhal_mutations set at = {ago}")).await;
    phone.push(&[add("young")]).await.expect(200);
    app.set_up = app.set_up.clone().env("NIZHAL_TOMBSTONE_DAYS", "1");
    app.restart();
    until("the old ones are forgotten", async || db.count("_nizhal_mutations").await == 1).await;
    db.execute("delete from customers").await;
    for _ in 0..2 {
        phone.push(std::slice::from_ref(&stamped)).await.refused(422, "expired");
        phone.push(&[add("young")]).await.expect(200);
    }
    assert_eq!(db.count("customers").await, 0, "nothing ran again");
    phone.push(&[add("new")]).await.expect(200);
    assert_eq!(db.count("customers").await, 1);
}

async fn inv28_reasons_and_ids_are_stored_up_to_their_bounds(app: App) {
    let mut db = two_shops(&app).await;
    let phone = app.device("phone", "ana", "s1");
    let long = "x".repeat(500_000);
    for (id, args) in [
        ("nobody", json!({"clientId": "e", "customerId": long, "amount": 5})),
        ("misfit", json!({"clientId": "e", "customerId": "c", "amount": long})),
        ("long", json!({"clientId": long, "customerId": "c", "amount": 5})),
    ] {
        let refused = phone.push(&[loose("recordCredit", id, &args)]).await.expect(422);
        let again = phone.push(&[loose("recordCredit", id, &args)]).await.expect(422);
        assert_eq!(refused.text, again.text, "a replay is answered as the first was");
    }
    let stored = db.text("select cast(coalesce(max(length(reason)), 0) as text) from _nizhal_mutations").await;
    assert!(stored.parse::<usize>().expect("a length") < 3_000, "{stored}");
}

async fn inv28_a_row_is_stored_up_to_its_bound(mut app: App) {
    restarted(&mut app, &[("NIZHAL_MAX_ROW_BYTES", "65536")]);
    let mut db = two_shops(&app).await;
    let phone = app.device("phone", "ana", "s1");
    let named =
        |id: &str, length: usize| loose("addCustomer", id, &json!({"clientId": id, "name": "n".repeat(length)}));
    for _ in 0..2 {
        let reply = phone.push(&[named("large", 70_000)]).await.refused(422, "row_too_large");
        assert!(reply.text.contains("`customers`") && reply.text.contains("65536"), "{}", reply.text);
    }
    phone.push(&[named("fits", 60_000)]).await.expect(200);
    let two = phone.wire_two();
    let results = two.push(&[named("two", 70_000), named("small", 10)]).await.expect(200).json()["results"].clone();
    assert_eq!((&results[0]["status"], &results[0]["code"]), (&json!("rejected"), &json!("row_too_large")));
    assert_eq!(results[1]["status"], "applied");
    assert_eq!(db.count("customers").await, 2);
}
