//! What the server says of itself.

use crate::fixture::two_shops;
use nizhal_tests::{App, TempDir, both, verb};
use serde_json::{Value, json};

both![
    the_contract_describes_rows_and_inputs,
    the_contract_verb_prints_the_same,
    the_committed_contract_is_the_apps,
    inv34_a_contract_that_clients_would_not_survive_is_refused,
    the_server_says_how_it_is,
];

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

async fn the_committed_contract_is_the_apps(app: App) {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/nizhal.contract.json");
    let said = |args: &[&str]| {
        let output = verb(&app.set_up, args);
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).expect("text"))
    };
    let (fine, text) = said(&["contract", "--check", committed]);
    assert!(fine && text.contains("is the app's contract"), "write it with `contract --write`: {text}");

    let folder = TempDir::new("contract");
    let file = folder.path().join("other.json");
    let path = file.to_str().expect("text");
    let (fine, text) = said(&["contract", "--check", path]);
    assert!(!fine && text.contains("contract --write"), "{text}");
    assert!(said(&["contract", "--write", path]).0);
    let mut contract: Value = serde_json::from_slice(&std::fs::read(&file).expect("written")).expect("JSON");
    let mut check = |pointer: &str, name: &str, value: Option<Value>| {
        let map = contract.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
        match value {
            Some(value) => map.insert(name.to_owned(), value),
            None => map.remove(name),
        };
        std::fs::write(&file, contract.to_string()).expect("written");
        said(&["contract", "--check", path])
    };
    let (fine, text) = check("/x-nizhal/mutators", "recordPayment", None);
    assert!(fine && text.contains("record it"), "a new mutator is additive: {text}");
    let (fine, text) = check("/x-nizhal/mutators", "retired", Some(json!({"input": {}})));
    assert!(!fine && text.contains("mutator `retired` is gone") && text.contains(".min_client_version"), "{text}");
    std::fs::write(&file, "rubbish").expect("written");
    assert!(!said(&["contract", "--check", path]).0);
}

async fn inv34_a_contract_that_clients_would_not_survive_is_refused(mut app: App) {
    let mut db = app.sql().await;
    let mut kept: Value = serde_json::from_str(&db.text("select contract from _nizhal_control").await).expect("JSON");
    kept["x-nizhal"]["mutators"]["retired"] = json!({"input": {}});
    let keep = format!("update _nizhal_control set contract = '{}'", kept.to_string().replace('\'', "''"));
    db.execute(&keep).await;
    app.server.kill();
    for args in [&["migrate"][..], &["serve"][..]] {
        let refused = verb(&app.set_up, args);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && text.contains("mutator `retired` is gone"), "{text}");
    }
    assert!(
        db.text("select contract from _nizhal_control").await.contains("retired"),
        "it is kept until it is allowed"
    );
    let allowed = app.set_up.clone().env("NIZHAL_ALLOW_BREAKING", "on");
    assert!(verb(&allowed, &["migrate"]).status.success());
    app.restart();
    assert!(!db.text("select contract from _nizhal_control").await.contains("retired"));
}

async fn the_server_says_how_it_is(app: App) {
    app.get("/healthz", "").await.expect(200);
    app.get("/readyz", "").await.expect(200);
}
