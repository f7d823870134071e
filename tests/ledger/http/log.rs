//! The log as JSON: one object a line, whatever a device sent.

use crate::fixture::shop;
use nizhal_tests::{App, both, until, verb};
use serde_json::{Value, json};

both![inv32_each_event_is_one_object_of_json];

async fn inv32_each_event_is_one_object_of_json(mut app: App) {
    app.set_up = app.set_up.clone().env("NIZHAL_LOG_FORMAT", "json");
    app.restart();
    shop(&mut app.sql().await, "s1", &["ana"]).await;
    // What is ahead of the clock is logged with the device's own text.
    let mut phone = app.device("phone", "ana", "s1");
    let sent = "m1\n{\"level\":\"ERROR\"}\u{1b}[2J\u{9b}\u{202e}\"";
    let mut mutation = phone.mutation("addCustomer", &json!({"clientId": "c1", "name": "Sunil"}));
    mutation["clientMutationId"] = sent.into();
    mutation["hlc"] = "2200-01-01T00:00:00.000Z-0000-000000000000000000000000000000aa".into();
    phone.push(&[mutation]).await.expect(200);
    until("the entry", async || app.server.output().contains("its stamp was clamped")).await;
    let output = app.server.output();
    let entries: Vec<Value> = output
        .lines()
        // What is said on stdout.
        .filter(|line| !["credit-ledger (", "database: ", "listening on "].iter().any(|said| line.starts_with(said)))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}")))
        .collect();
    assert!(!output.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{output:?}");
    let told = |entry: &&Value| entry["fields"]["mutation"] == sent;
    let entry = entries.iter().find(told).unwrap_or_else(|| panic!("no entry tells of it: {output}"));
    assert_eq!((&entry["level"], entry["timestamp"].is_string()), (&"WARN".into(), true), "{entry}");

    let wrong = verb(&app.set_up.clone().env("NIZHAL_LOG_FORMAT", "xml"), &["serve"]);
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success() && said.contains("NIZHAL_LOG_FORMAT"), "{said}");
}
