//! Push bodies: well-formed or not, each gets an answer that says what is wrong, and what is not applied changes nothing.

use super::try_all;
use crate::fixture::two_shops;
use nizhal_tests::{App, Connection, Reply, both, token};
use proptest::{prelude::*, sample::Index};
use serde_json::Value;

both![inv32_no_push_body_breaks_the_server, inv32_no_bytes_break_the_server];

/// JSON as text, so that what `serde_json` would not write is written too.
fn json() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[a-z ]{0,8}",
        Just("\\u0000".to_owned()),
        Just("a\\u0000b".to_owned()),
        Just("\\ud800".to_owned()),
        Just("\\udc00\\ud800".to_owned()),
        Just("\\ud83d\\ude00".to_owned()),
        Just("\\u0007\\u001f\\\\\\\"".to_owned()),
        Just("é字🦀".to_owned()),
        Just("x".repeat(3000)),
        Just("'; drop table customers; --".to_owned()),
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<i8>().prop_map(|number| number.to_string()),
        Just("1e999".to_owned()),
        Just("-0".to_owned()),
        Just("0.1".to_owned()),
        Just("1e-400".to_owned()),
        Just("18446744073709551616".to_owned()),
        Just(format!("1{}", "0".repeat(400))),
        Just(format!("0.{}1", "0".repeat(400))),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        text.prop_map(|text| format!("\"{text}\"")),
        number,
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let field = ("[a-zA-Z]{0,3}", inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(field, 0..4).prop_map(|fields| format!("{{{}}}", fields.join(","))),
        ]
    })
}

const MUTATION_FIELDS: [&str; 8] =
    ["name", "args", "clientMutationId", "clientID", "mutationID", "hlc", "dependsOn", "unknown"];
const ARGS: [(&str, &[(&str, &str)]); 4] = [
    ("addCustomer", &[("clientId", "\"c1\""), ("name", "\"Sunil\""), ("phone", "null"), ("note", "\"n\"")]),
    ("recordCredit", &[("clientId", "\"e1\""), ("customerId", "\"c1\""), ("amount", "12.5"), ("reason", "\"r\"")]),
    ("updateCustomerName", &[("customerId", "\"c1\""), ("value", "\"N\"")]),
    ("deleteCustomer", &[("customerId", "\"c1\"")]),
];

/// A mutation with some of its fields, and some of its arguments, replaced, left out or there twice.
fn mutation() -> impl Strategy<Value = String> {
    let changes = || prop::collection::vec((0..4_u8, any::<Index>(), json()), 0..3);
    (any::<Index>(), 0..50_u32, changes(), changes()).prop_map(|(which, id, of_mutation, of_args)| {
        let (name, args) = ARGS[which.index(ARGS.len())];
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let args = changed(args, &args_names(name), of_args);
        let fields = vec![
            ("name".to_owned(), format!("\"{name}\"")),
            ("args".to_owned(), args),
            ("clientMutationId".to_owned(), format!("\"m{id}\"")),
        ];
        changed(fields, &MUTATION_FIELDS, of_mutation)
    })
}

fn args_names(mutator: &str) -> Vec<&'static str> {
    let of = ARGS.iter().find(|(name, _)| *name == mutator);
    of.into_iter().flat_map(|(_, args)| args.iter().map(|(name, _)| *name)).collect()
}

fn changed(mut fields: Vec<(String, String)>, names: &[&str], changes: Vec<(u8, Index, String)>) -> String {
    for (how, at, value) in changes {
        let name = names[at.index(names.len())].to_owned();
        match how {
            0 => fields.retain(|(known, _)| *known != name),
            // Twice: the key is there before, and again.
            1 => fields.push((name, value)),
            _ => {
                fields.retain(|(known, _)| *known != name);
                fields.push((name, value));
            }
        }
    }
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn body() -> impl Strategy<Value = String> {
    let batch = prop::collection::vec(prop_oneof![6 => mutation(), 1 => json()], 0..3);
    prop_oneof![
        8 => batch.prop_map(|mutations| format!("{{\"mutations\":[{}]}}", mutations.join(","))),
        1 => json().prop_map(|value| format!("{{\"mutations\":{value}}}")),
        1 => json(),
    ]
}

/// The rows that pushes may change.
async fn rows(db: &mut Connection) -> Vec<Vec<Option<String>>> {
    let mut rows = db.rows("select id, name, phone, note from customers order by id").await;
    rows.extend(
        db.rows(
            "select id, amount, reason, customer_id from (select id, cast(amount as text) as amount, reason, \
        customer_id from ledger_entries) e order by id",
        )
        .await,
    );
    rows
}

/// The answer is one that the wire protocol knows, and says so when rows may have changed.
fn judge(reply: &Reply, two: bool) -> Result<bool, TestCaseError> {
    prop_assert!(reply.status < 500, "{} {}", reply.status, reply.text);
    let body: Value = reply.json();
    if reply.status != 200 {
        prop_assert!([400, 403, 409, 413, 422].contains(&reply.status), "{} {}", reply.status, body);
        prop_assert!(body["error"].as_str().is_some_and(|text| !text.is_empty()), "{}", body);
        prop_assert!(body["code"].as_str().is_some_and(|code| !code.is_empty()), "{}", body);
        for leak in ["select ", "insert ", "SQLSTATE", "_nizhal", "sqlx", "DbErr"] {
            prop_assert!(!body["error"].as_str().unwrap_or("").contains(leak), "{}", body);
        }
        return Ok(body["applied"].as_array().is_some_and(|applied| !applied.is_empty()));
    }
    if two {
        let results = body["results"].as_array().ok_or_else(|| TestCaseError::fail(format!("no results: {body}")))?;
        return Ok(results.iter().any(|result| result["status"] == "applied"));
    }
    Ok(body["applied"].as_array().is_some_and(|applied| !applied.is_empty()))
}

async fn inv32_no_push_body_breaks_the_server(app: App) {
    let mut db = two_shops(&app).await;
    let token = token::signed(&token::claims("ana", Some("s1")));
    let db = tokio::sync::Mutex::new(&mut db);
    try_all(300, &(body(), 0..3_u8), async |(body, wire)| {
        let mut db = db.lock().await;
        let before = rows(&mut db).await;
        let request = app.request(reqwest::Method::POST, "/sync/push").bearer_auth(&token).body(body.clone());
        let request = if wire == 0 { request } else { request.header("x-nizhal-wire", wire.to_string()) };
        let reply = Reply::of(request).await;
        let may_change = judge(&reply, wire == 2)?;
        if !may_change {
            prop_assert_eq!(rows(&mut db).await, before, "{} was answered {}", body, reply.text);
        }
        Ok(())
    });
    app.get("/readyz", "").await.expect(200);
}

/// Bytes that are no JSON, or were: cut off, with one byte changed, in the wrong type or encoding, much too deep.
async fn inv32_no_bytes_break_the_server(app: App) {
    let mut db = two_shops(&app).await;
    let token = token::signed(&token::claims("ana", Some("s1")));
    let types = prop_oneof![Just("application/json"), Just("text/plain"), Just("application/x-ndjson"), Just("\u{ff}")];
    let spoilt = (body(), any::<Index>(), any::<Option<u8>>()).prop_map(|(body, at, byte)| {
        let mut bytes = body.into_bytes();
        let at = at.index(bytes.len());
        match byte {
            Some(byte) => bytes[at] = byte,
            None => bytes.truncate(at),
        }
        bytes
    });
    let deep = (100..40_000_usize, "[\\[{\"a:]{1,5}").prop_map(|(depth, open)| open.repeat(depth).into_bytes());
    let bytes = prop_oneof![6 => spoilt, 2 => prop::collection::vec(any::<u8>(), 0..200), 1 => deep];
    let db = tokio::sync::Mutex::new(&mut db);
    try_all(200, &(bytes, types, "[0-9a-z]{0,2}", any::<bool>()), async |(bytes, kind, wire, pull)| {
        let mut db = db.lock().await;
        let before = rows(&mut db).await;
        let path = if pull { "/sync/pull" } else { "/sync/push" };
        let kind = reqwest::header::HeaderValue::from_bytes(kind.as_bytes()).expect("a header's bytes");
        let request = app.request(reqwest::Method::POST, path).bearer_auth(&token).header("content-type", kind);
        let reply = Reply::of(request.header("x-nizhal-wire", &wire).body(bytes)).await;
        let may_change = if pull && reply.status == 200 { false } else { judge(&reply, wire == "2")? };
        if !may_change {
            prop_assert_eq!(rows(&mut db).await, before, "{}", reply.text);
        }
        Ok(())
    });
    app.get("/readyz", "").await.expect(200);
}
