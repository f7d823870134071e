//! The client over a server that does as the test says.

use crate::app::{Claims, Of, Put, bump, faulty, mutators, put, rules, tables};
use crate::run;
use nizhal::prelude::*;
use nizhal_client::session::Failure;
use nizhal_client::transport::{Frames, Request, Response, Transport};
use nizhal_client::{Client, MutateError, Phase, Setup, Status};
use serde_json::{Value, json};
use std::future::{pending, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

type Waited<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;
type Answer = dyn Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync;

/// Answers as it is told, and never where it is told nothing.
#[derive(Clone)]
pub(crate) struct Told(Arc<Answer>, Arc<Mutex<Vec<&'static str>>>);

impl Transport for Told {
    fn send(&self, request: Request) -> Waited<'_, Response> {
        self.1.lock().unwrap().push(request.path);
        let body = serde_json::from_slice(&request.body).unwrap();
        let Some((status, answer)) = (self.0)(request.path, &body) else { return Box::pin(pending()) };
        let body = Box::new(Some(answer.to_string().into_bytes()));
        Box::pin(ready(Ok(Response { status, retry_after_ms: None, lines: false, body })))
    }
    fn fetch<'a>(&'a self, _: &'a str, _: u64) -> Waited<'a, Response> {
        Box::pin(pending())
    }
    fn open<'a>(&'a self, _: &'a str) -> Waited<'a, Box<dyn Frames>> {
        Box::pin(pending())
    }
}

pub(crate) fn told(answer: impl Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync + 'static) -> Told {
    Told(Arc::new(answer), Arc::default())
}

fn setup() -> Setup {
    let claims = Claims { user_id: "ana".to_owned(), owner_id: "o1".to_owned() };
    Client::setup(claims).tables(tables()).mutators(mutators()).rules(rules())
}

fn item(id: &str) -> Put {
    Put { id: id.to_owned(), name: "n".to_owned(), code: None }
}

async fn reached(client: &Client, what: &str, wanted: impl FnMut(&Status) -> bool) -> Status {
    let now = || format!("{:?}", *client.status().borrow());
    nizhal_tests::within(what, client.until(wanted), now).await.expect("the client was not closed")
}

fn empty(cursor: &str) -> Value {
    crate::app::page(cursor, json!({}), json!({}))
}

#[test]
fn inv25_a_write_does_not_wait_for_a_request_that_hangs() {
    run(async {
        let server = told(|_, _| None);
        let client = Box::pin(setup().transport(server.clone(), "t".to_owned()).open()).await.unwrap();
        client.mutate::<put>(item("a")).await.unwrap();
        client.mutate::<put>(item("b")).await.unwrap();
        assert_eq!(crate::app::Item::find().count(client.db()).await.unwrap(), 2);
        assert_eq!(client.status().borrow().pending, 2);
        assert_eq!(server.1.lock().unwrap().len(), 1, "one request at a time");
        client.close().await;
    });
}

#[test]
fn a_mutator_that_panics_takes_nothing_along() {
    run(async {
        let client = Box::pin(setup().open()).await.unwrap();
        let fell = client.mutate::<faulty>(Of { id: "x".to_owned() }).await;
        assert!(matches!(fell, Err(MutateError::Failed(_))), "{fell:?}");
        client.mutate::<put>(item("a")).await.unwrap();
        client.mutate::<bump>(Of { id: "a".to_owned() }).await.unwrap();
        assert_eq!(client.status().borrow().pending, 2);
    });
}

#[test]
fn inv23_a_portals_page_is_no_answer() {
    run(async {
        let server = told(|_, _| Some((200, json!("<html>Welcome to the hotel"))));
        let client = Box::pin(setup().transport(server, "t".to_owned()).open()).await.unwrap();
        client.mutate::<put>(item("a")).await.unwrap();
        let status = reached(&client, "an error", |status| status.error.is_some()).await;
        assert_eq!((status.error.unwrap().code.as_str(), status.pending), ("malformed", 1));
    });
}

#[test]
fn inv27_a_refusal_to_serve_old_apps_stops_traffic_until_somebody_asks() {
    run(async {
        let server = told(|path, _| match path {
            "/sync/push" => Some((426, json!({"code": "upgrade_required", "error": "update"}))),
            _ => Some((200, empty("c1"))),
        });
        let client = Box::pin(setup().transport(server.clone(), "t".to_owned()).open()).await.unwrap();
        reached(&client, "all to be synced", |status| status.phase == Phase::Live).await;
        client.mutate::<put>(item("a")).await.unwrap();
        let status = reached(&client, "the refusal", |status| matches!(status.phase, Phase::UpgradeRequired(_))).await;
        assert_eq!(status.pending, 1);
        let pushes = || server.1.lock().unwrap().iter().filter(|path| **path == "/sync/push").count();
        assert_eq!(pushes(), 1);
    });
}

#[test]
fn inv16_one_mutation_that_is_too_large_is_found_among_the_others() {
    run(async {
        let server = told(|path, body| match path {
            "/sync/push" => {
                let mutations = body["mutations"].as_array().unwrap();
                if mutations.iter().any(|mutation| mutation["args"]["id"] == "huge") {
                    return Some((413, json!({"code": "too_large", "error": "too large"})));
                }
                let results: Vec<Value> = mutations
                    .iter()
                    .map(|mutation| json!({"clientMutationId": mutation["clientMutationId"], "status": "applied"}))
                    .collect();
                Some((200, json!({"results": results})))
            }
            _ => Some((200, empty("c1"))),
        });
        let client = Box::pin(setup().transport(server, "t".to_owned()).offline().open()).await.unwrap();
        for id in ["a", "b", "huge", "c", "d"] {
            client.mutate::<put>(item(id)).await.unwrap();
        }
        client.set_online(true);
        reached(&client, "all to be synced", |status| status.pending == 0 && status.phase == Phase::Live).await;
        let dead_letters = client.dead_letters().await.unwrap();
        assert_eq!(dead_letters.iter().map(|dead_letter| &*dead_letter.code).collect::<Vec<_>>(), ["too_large"]);
    });
}
