//! What the server says of itself.

use crate::fixture::two_shops;
use nizhal_tests::{App, both, verb};
use serde_json::Value;

both![the_contract_describes_rows_and_inputs, the_contract_verb_prints_the_same, the_server_says_how_it_is];

async fn the_contract_describes_rows_and_inputs(app: App) {
    two_shops(&app).await;
    let token = app.device("d", "ana", "s1").token;
    let reply = app.get("/nizhal/contract", &token).await.expect(200);
    let contract = reply.json();
    assert!(contract["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", contract["openapi"]);
    assert!(contract["info"]["version"].is_string());
    assert!(contract["x-nizhal"]["hash"].as_str().is_some_and(|hash| hash.len() >= 16));
    let has = |place: &Value, name: &str| match place {
        Value::Object(entries) => entries.contains_key(name),
        Value::Array(entries) => entries.iter().any(|entry| entry["name"] == name),
        _ => false,
    };
    let nizhal = &contract["x-nizhal"];
    for table in ["customers", "ledger_entries", "reminders"] {
        assert!(has(&nizhal["tables"], table), "no table {table}: {nizhal}");
    }
    for mutator in
        ["addCustomer", "recordCredit", "recordPayment", "updateCustomerName", "updateCustomerPhone", "deleteCustomer"]
    {
        assert!(has(&nizhal["mutators"], mutator), "no mutator {mutator}: {nizhal}");
    }
    assert!(has(&nizhal["rules"], "myShops"), "no rule: {nizhal}");
    let schemas = contract["components"]["schemas"].as_object().expect("schemas by name");
    let with = |property: &str| schemas.values().filter(|schema| schema["properties"].get(property).is_some()).count();
    for (property, schemas) in [("scheduled_at", 1), ("amount", 3), ("dueDate", 1), ("phone", 2), ("updated_at", 3)] {
        assert_eq!(with(property), schemas, "schemas with {property}");
    }
    // Not so much as the names of what stays on the server.
    for secret in ["owner_id", "currency", "_nizhal", "role"] {
        assert!(!reply.text.contains(&format!("\"{secret}\"")), "the contract tells of {secret}");
    }
    assert!(!has(&nizhal["tables"], "shops") && !has(&nizhal["tables"], "shop_members"));
}

async fn the_contract_verb_prints_the_same(app: App) {
    let served = app.get("/nizhal/contract", &app.device("d", "ana", "s1").token).await.expect(200).json();
    let printed = verb(&app.set_up, &["contract"]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let printed: Value = serde_json::from_slice(&printed.stdout).expect("nothing but the contract is on stdout");
    assert_eq!(printed, served);
}

async fn the_server_says_how_it_is(app: App) {
    app.get("/healthz", "").await.expect(200);
    app.get("/readyz", "").await.expect(200);
}
