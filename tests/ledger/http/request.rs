//! Invariant 32: bad input of any kind gets a clear error and changes nothing.

use crate::fixture::{loose, two_shops};
use nizhal_tests::{App, Reply, both, token};
use serde_json::json;

both![
    inv32_what_is_not_json_is_bad_json,
    inv32_json_of_the_wrong_shape_is_a_bad_request,
    inv32_large_bodies_are_refused,
    inv32_unknown_mutators_are_refused,
    unknown_fields_are_ignored,
    wire_one_ignores_what_a_mutation_depends_on,
    only_the_documented_methods_are_served,
];

fn ana() -> String {
    token::signed(&token::claims("ana", Some("s1")))
}

async fn inv32_what_is_not_json_is_bad_json(app: App) {
    let deep = "[".repeat(200_000);
    let bodies: [&[u8]; 9] = [
        b"{",
        b"nonsense",
        b"{\"cursor\": }",
        b"\xff\xfe",
        b"{\"a\": \"\xc3\x28\"}",
        b"{}{}",
        b"\0",
        b"'x'",
        deep.as_bytes(),
    ];
    for path in ["/sync/pull", "/sync/push"] {
        for body in bodies {
            app.post(path, &ana(), body.to_vec()).await.refused(400, "bad_json");
        }
    }
    app.get("/healthz", "").await.expect(200);
}

async fn inv32_json_of_the_wrong_shape_is_a_bad_request(app: App) {
    let mut db = two_shops(&app).await;
    for body in ["[]", "7", "\"x\"", "null", r#"{"limit": "many"}"#, r#"{"deviceId": 7}"#, r#"{"limit": 1.5}"#] {
        app.post("/sync/pull", &ana(), body).await.refused(400, "bad_request");
    }
    let fine = json!({"name": "addCustomer", "args": {"clientId": "c", "name": "C"}, "clientMutationId": "x"});
    for (field, value) in [
        ("name", json!(1)),
        ("name", json!(null)),
        ("clientMutationId", json!(5)),
        ("clientMutationId", json!(null)),
        ("clientID", json!({})),
        ("mutationID", json!("one")),
        ("mutationID", json!(1.5)),
        ("hlc", json!("")),
        ("hlc", json!("yesterday")),
        ("hlc", json!(7)),
        ("hlc", json!("2026-11-21T02:00:00.000Z-0000-0123456789abcde")),
    ] {
        let mut wrong = fine.clone();
        wrong[field] = value;
        let other = json!({"name": "addCustomer", "args": {"clientId": "d", "name": "D"}, "clientMutationId": "y"});
        app.push(&ana(), &[other, wrong]).await.refused(400, "bad_request");
    }
    let wire_two = app.request(reqwest::Method::POST, "/sync/push").bearer_auth(ana()).header("x-nizhal-wire", "2");
    let mut depends = fine.clone();
    depends["dependsOn"] = json!("x");
    let body = json!({"mutations": [depends]}).to_string();
    Reply::of(wire_two.header("content-type", "application/json").body(body)).await.refused(400, "bad_request");
    for body in [
        "",
        "{}",
        "[]",
        r#"{"mutations": 5}"#,
        r#"{"mutations": null}"#,
        r#"{"mutations": [7]}"#,
        r#"{"mutations": [{}]}"#,
    ] {
        app.post("/sync/push", &ana(), body).await.refused(400, "bad_request");
    }
    assert_eq!(db.count("customers").await, 0, "a request is read whole before anything of it runs");
    let empty = app.push(&ana(), &[]).await.expect(200);
    assert_eq!(empty.json(), json!({"applied": []}));
}

async fn inv32_large_bodies_are_refused(app: App) {
    two_shops(&app).await;
    let name = "x".repeat(2 * 1024 * 1024);
    let args = json!({"clientId": "c", "name": name});
    let body = json!({"mutations": [loose("addCustomer", "x", &args)]}).to_string();
    for path in ["/sync/push", "/sync/pull"] {
        app.post(path, &ana(), body.clone()).await.refused(413, "too_large");
    }
    let args = json!({"clientId": "c", "name": "x".repeat(900 * 1024)});
    app.push(&ana(), &[loose("addCustomer", "y", &args)]).await.expect(200);
}

async fn inv32_unknown_mutators_are_refused(app: App) {
    let mut db = two_shops(&app).await;
    for name in ["", "nothing", "add_customer", "AddCustomer", "addCustomer ", "__proto__"] {
        app.push(&ana(), &[loose(name, &format!("m-{name}"), &json!({}))]).await.refused(400, "unknown_mutator");
    }
    let good = loose("addCustomer", "good", &json!({"clientId": "c", "name": "C"}));
    let reply = app.push(&ana(), &[good, loose("nothing", "bad", &json!({}))]).await.refused(400, "unknown_mutator");
    assert_eq!(reply.json()["applied"], json!(["good"]));
    assert_eq!(db.count("customers").await, 1);
}

async fn wire_one_ignores_what_a_mutation_depends_on(app: App) {
    let mut db = two_shops(&app).await;
    for (at, depends_on) in
        [json!("nothing"), json!(["nothing"]), json!([]), json!(""), json!({"a": 1})].iter().enumerate()
    {
        let mut mutation = loose("addCustomer", &format!("m{at}"), &json!({"clientId": format!("c{at}"), "name": "C"}));
        mutation["dependsOn"] = depends_on.clone();
        app.push(&ana(), &[mutation]).await.expect(200);
    }
    assert_eq!(db.count("customers").await, 5);
}

async fn unknown_fields_are_ignored(app: App) {
    two_shops(&app).await;
    let mut mutation = loose("addCustomer", "x", &json!({"clientId": "c", "name": "C", "unknown": 1}));
    mutation["later"] = json!({"version": 9});
    let body = json!({"mutations": [mutation], "more": true}).to_string();
    app.post("/sync/push", &ana(), body).await.expect(200);
    app.post("/sync/pull", &ana(), r#"{"cursor": "", "more": true, "syncRule": "nothing"}"#).await.expect(200);
}

async fn only_the_documented_methods_are_served(app: App) {
    use reqwest::Method;
    for (method, path) in [
        (Method::GET, "/sync/push"),
        (Method::GET, "/sync/pull"),
        (Method::PUT, "/sync/push"),
        (Method::GET, "/nowhere"),
        (Method::POST, "/healthz"),
    ] {
        let reply = Reply::of(app.request(method.clone(), path).bearer_auth(ana())).await;
        assert!([404, 405].contains(&reply.status), "{method} {path}: {}", reply.status);
    }
}
