//! Every list and text of the wire has an end, refused at the door with a sentence that says which.

use crate::fixture::{loose, two_shops};
use crate::servers::restarted;
use nizhal_tests::{App, Reply, both, token};
use serde_json::{Value, json};

both![inv32_lists_and_names_beyond_their_bounds_are_refused, inv32_what_is_at_its_bound_passes];

async fn push_two(app: &App, token: &str, mutations: &[Value]) -> Reply {
    let request = app.request(reqwest::Method::POST, "/sync/push").bearer_auth(token).header("x-nizhal-wire", "2");
    let body = json!({"mutations": mutations}).to_string();
    Reply::of(request.header("content-type", "application/json").body(body)).await
}

fn adds(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| loose("addCustomer", &format!("m{n}"), &json!({"clientId": format!("c{n}"), "name": "N"})))
        .collect()
}

fn with(field: &str, value: Value) -> Value {
    let mut mutation = adds(1).remove(0);
    mutation[field] = value;
    mutation
}

async fn inv32_lists_and_names_beyond_their_bounds_are_refused(mut app: App) {
    restarted(&mut app, &[]);
    let mut db = two_shops(&app).await;
    let ana = token::signed(&token::claims("ana", Some("s1")));
    let long = "x".repeat(3_000);
    for mutations in [
        adds(1_001),
        vec![with("name", json!("n".repeat(256)))],
        vec![with("name", json!("n\u{0}"))],
        vec![with("clientMutationId", json!(long))],
        vec![with("clientID", json!(long))],
    ] {
        push_two(&app, &ana, &mutations).await.refused(400, "bad_request");
        app.push(&ana, &mutations).await.refused(400, "bad_request");
    }
    let many = with("dependsOn", json!(vec!["a"; 100_000]));
    let reply = push_two(&app, &ana, &[many]).await.refused(400, "bad_request");
    assert!(reply.text.contains("dependsOn"), "{}", reply.text);
    app.post("/sync/pull", &ana, json!({"deviceId": long}).to_string()).await.refused(400, "bad_request");
    let named = "bucket=s1&".repeat(1_001);
    let too_long = format!("bucket={long}");
    for query in [&named, &too_long] {
        assert_eq!(app.stream(query, Some(&ana)).await.err(), Some(400));
        app.get(&format!("/sync/realtime/authorize?{query}"), &ana).await.refused(400, "bad_request");
    }
    app.get(&format!("/nizhal/audit?actor={}", "x".repeat(40_000)), token::ADMIN).await.refused(400, "bad_request");
    // A cursor is never refused: what cannot be read begins anew.
    let reply = app.post("/sync/pull", &ana, json!({"cursor": "x".repeat(500_000)}).to_string()).await.expect(200);
    assert_eq!(reply.json()["cursorReset"], true);
    assert_eq!(db.count("customers").await, 0);
}

async fn inv32_what_is_at_its_bound_passes(app: App) {
    let mut db = two_shops(&app).await;
    let ana = token::signed(&token::claims("ana", Some("s1")));
    push_two(&app, &ana, &adds(1_000)).await.expect(200);
    assert_eq!(db.count("customers").await, 1_000);
    let mut last = with("dependsOn", json!((0..10_000).map(|n| format!("m{}", n % 1_000)).collect::<Vec<_>>()));
    last["clientMutationId"] = json!("y".repeat(1_024));
    last["args"] = json!({"clientId": "last", "name": "L"});
    let reply = push_two(&app, &ana, &[last]).await.expect(200).json();
    assert_eq!(reply["results"][0]["status"], "applied", "{reply}");
    // Wire 1 ignores what a mutation depends on, however much it is.
    let mut ignored = with("dependsOn", json!(vec!["a"; 20_000]));
    ignored["clientMutationId"] = json!("ignored");
    ignored["args"] = json!({"clientId": "ignored", "name": "I"});
    app.push(&ana, &[ignored]).await.expect(200);
}
