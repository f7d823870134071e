//! What an actor can have stored has an end: answers that nobody acknowledges, reasons, ids.

use crate::fixture::{add, loose, two_shops};
use crate::servers::restarted;
use nizhal_tests::{App, Kind, both, until};
use serde_json::json;

both![
    inv12_answers_without_a_client_are_forgotten_at_last,
    inv12_an_actor_that_has_all_its_answers_may_go_on_and_repeats_nothing,
    inv13_an_actor_has_so_many_answers_that_nobody_acknowledged,
    inv13_an_actor_has_so_many_clients,
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

async fn inv13_an_actor_has_so_many_clients(mut app: App) {
    restarted(&mut app, &[("NIZHAL_MAX_CLIENTS_PER_ACTOR", "2")]);
    let mut db = two_shops(&app).await;
    let mut devices: Vec<_> = ["d0", "d1", "d2"].map(|name| app.device(name, "ana", "s1")).into();
    let mut third = devices.remove(2);
    for (at, device) in devices.iter_mut().enumerate() {
        add(device, &format!("c{at}")).await;
    }
    let several: Vec<_> =
        ["c2", "c3"].map(|id| third.mutation("addCustomer", &json!({"clientId": id, "name": id}))).into();
    for mutations in [&several[..1], &several[..]] {
        let reply = third.push(mutations).await.refused(429, "too_many_clients");
        assert!(reply.headers.contains_key("retry-after") && reply.text.contains("NIZHAL_MAX_CLIENTS_PER_ACTOR"));
    }
    assert_eq!((db.count("customers").await, db.count("_nizhal_clients").await), (2, 2));
    // Whoever is known goes on, and so does another actor.
    add(&mut devices[0], "c4").await;
    add(&mut app.device("b", "ben", "s1"), "c5").await;
    third.push(&several).await.refused(429, "too_many_clients");
    restarted(&mut app, &[("NIZHAL_MAX_CLIENTS_PER_ACTOR", "3")]);
    for _ in 0..2 {
        third.push(&several).await.expect(200);
    }
    assert_eq!(db.count("customers").await, 6, "what was refused is not lost, and runs once");
}

async fn inv12_an_actor_that_has_all_its_answers_may_go_on_and_repeats_nothing(mut app: App) {
    restarted(&mut app, &[("NIZHAL_MAX_ANSWERS_PER_ACTOR", "1000")]);
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let mut add = |n: usize| phone.mutation("addCustomer", &json!({"clientId": format!("c{n}"), "name": "N"}));
    let sent: Vec<_> = (0..2_500).map(&mut add).collect();
    for batch in sent.chunks(100) {
        phone.push(batch).await.expect(200);
        let stored = db.count("_nizhal_mutations").await;
        assert!(stored <= 1_000, "{stored}");
    }
    assert_eq!(db.count("customers").await, 2_500);
    db.execute("delete from customers").await;
    phone.push(&sent[..1]).await.refused(422, "expired");
    phone.push(&sent[2_400..]).await.expect(200);
    assert_eq!(db.count("customers").await, 0, "nothing ran again");
}

async fn inv13_an_actor_has_so_many_answers_that_nobody_acknowledged(mut app: App) {
    restarted(&mut app, &[("NIZHAL_MAX_ANSWERS_PER_ACTOR", "1000")]);
    let mut db = two_shops(&app).await;
    let phone = app.device("phone", "ana", "s1").wire_two();
    let add = |id: &str| loose("addCustomer", id, &json!({"clientId": id, "name": id}));
    let all: Vec<_> = (0..1_000).map(|n| add(&format!("c{n}"))).collect();
    for batch in all.chunks(250) {
        phone.push(batch).await.expect(200);
    }
    let nobodys = loose("noSuchMutator", "nobodys", &json!({}));
    for mutation in [add("more"), nobodys] {
        let reply = phone.push(&[all[0].clone(), mutation, all[1].clone()]).await.refused(429, "too_many_answers");
        assert!(reply.headers.contains_key("retry-after") && reply.text.contains("NIZHAL_MAX_ANSWERS_PER_ACTOR"));
        let results = reply.json()["results"].clone();
        assert_eq!(
            (results.as_array().map(Vec::len), &results[0]["status"]),
            (Some(1), &json!("duplicate")),
            "{results}"
        );
    }
    assert_eq!((db.count("customers").await, db.count("_nizhal_mutations").await), (1_000, 1_000));
    app.device("b", "ben", "s1").push(&[add("bens")]).await.expect(200);
    restarted(&mut app, &[("NIZHAL_MAX_ANSWERS_PER_ACTOR", "1001")]);
    phone.push(&[add("more")]).await.expect(200);
    assert_eq!(db.count("customers").await, 1_002, "what was refused is not lost");
}
