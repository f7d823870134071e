use super::*;
use crate::testing::{self, Clock, clock, token};
use actix_web::{
    App, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{Service, ServiceResponse},
    http::{Method, header},
    test::{self, TestRequest},
    web,
};
use serde_json::{Value, json};
use std::num::NonZeroU32;

async fn status_and_body<B: MessageBody>(response: ServiceResponse<B>) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = test::read_body(response).await;
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// Sends one request to a server and tells status and body.
async fn call(server: &Server, request: TestRequest) -> (u16, Value) {
    let app = test::init_service(App::new().configure(service(server))).await;
    status_and_body(app.call(request.to_request()).await.unwrap()).await
}

fn bearer(request: TestRequest, token: &str) -> TestRequest {
    request.insert_header((header::AUTHORIZATION, format!("Bearer {token}")))
}

fn post_as(clock: &Clock, uri: &str, body: impl Into<String>) -> TestRequest {
    bearer(TestRequest::post().uri(uri), &token("u1", "s1", clock)).set_payload(body.into())
}

fn mutation(id: u32, client_id: &str) -> Value {
    json!({"name": "addNote", "args": {"clientId": client_id}, "clientMutationId": format!("m{id}"), "clientID": "c1", "mutationID": id})
}

fn push(clock: &Clock, mutations: &[Value]) -> TestRequest {
    post_as(clock, "/sync/push", json!({ "mutations": mutations }).to_string())
}

#[actix_web::test]
async fn without_a_token_nothing_answers() {
    let server = testing::server(testing::app(&clock())).await;
    for (method, uri) in [
        (Method::POST, "/sync/pull"),
        (Method::POST, "/sync/push"),
        (Method::GET, "/sync/stream"),
        (Method::GET, "/sync/realtime/authorize?bucket=s1"),
    ] {
        let (status, body) = call(&server, TestRequest::with_uri(uri).method(method)).await;
        assert_eq!((status, body["code"].as_str()), (401, Some("unauthorized")), "{uri}");
    }
}

#[actix_web::test]
async fn an_expired_token_is_refused() {
    let clock = clock();
    let server = testing::server(testing::app(&clock)).await;
    let request = || post_as(&clock, "/sync/pull", "");
    let (fresh, stale) = (request(), request());
    assert_eq!(call(&server, fresh).await.0, 200);
    clock.advance(60);
    assert_eq!(call(&server, stale).await.0, 401);
}

#[actix_web::test]
async fn bodies_that_do_not_do() {
    let clock = clock();
    let server = testing::server(testing::app(&clock).max_body_bytes(2048)).await;
    let huge = format!("{{\"cursor\": \"{}\"}}", "x".repeat(3000));
    let many = vec![json!({"name": "n", "clientMutationId": "m"}); 40];
    let table = [
        ("/sync/pull", "{".to_owned(), 400, "bad_json"),
        ("/sync/push", "hello".to_owned(), 400, "bad_json"),
        ("/sync/push", String::new(), 400, "bad_request"),
        ("/sync/push", "[]".to_owned(), 400, "bad_request"),
        ("/sync/push", r#"{"mutations": [{"name": 1}]}"#.to_owned(), 400, "bad_request"),
        ("/sync/pull", r#"{"limit": "many"}"#.to_owned(), 400, "bad_request"),
        ("/sync/pull", huge, 413, "too_large"),
        ("/sync/push", json!({ "mutations": many }).to_string(), 400, "unknown_mutator"),
    ];
    for (uri, body, status, code) in table {
        let (got, answer) = call(&server, post_as(&clock, uri, body.clone())).await;
        assert_eq!((got, answer["code"].as_str()), (status, Some(code)), "{uri} {body}: {answer}");
    }
}

#[actix_web::test]
async fn a_batch_has_a_largest_size() {
    let clock = clock();
    let server = testing::server(testing::app(&clock)).await;
    let many = vec![json!({"name": "n", "clientMutationId": "m"}); 1001];
    let (status, body) = call(&server, push(&clock, &many)).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("bad_request")));
}

#[actix_web::test]
async fn a_push_answers_as_wire_1_says() {
    let clock = clock();
    let server = testing::server(testing::app(&clock)).await;
    assert_eq!(
        call(&server, push(&clock, &[mutation(1, "n1"), mutation(2, "n2")])).await,
        (200, json!({"applied": ["m1", "m2"], "lastMutationId": 2}))
    );
    let (status, body) = call(&server, push(&clock, &[mutation(9, "n9")])).await;
    assert_eq!((status, &body["code"], &body["lastMutationId"]), (409, &json!("out_of_order"), &json!(2)));
    let (status, body) = call(&server, push(&clock, &[mutation(3, "n3"), mutation(4, "no"), mutation(5, "n5")])).await;
    assert_eq!((status, &body["code"], &body["error"]), (422, &json!("rejected"), &json!("no")));
    assert_eq!((&body["applied"], &body["lastMutationId"]), (&json!(["m3"]), &json!(4)));
    let mut foreign = mutation(5, "n5");
    foreign["args"]["shop"] = json!("s2");
    let (status, body) = call(&server, push(&clock, &[foreign])).await;
    assert_eq!((status, &body["code"]), (403, &json!("forbidden")));
    let (status, body) = call(&server, push(&clock, &[mutation(6, "panic")])).await;
    assert_eq!((status, &body["code"]), (422, &json!("mutator_panicked")));
    assert!(!body.to_string().contains("own fault"));
}

#[actix_web::test]
async fn what_was_pushed_is_pulled() {
    let clock = clock();
    let server = testing::server(testing::app(&clock)).await;
    call(&server, push(&clock, &[mutation(1, "n1")])).await;
    let app = test::init_service(App::new().configure(server.routes())).await;
    let response = app.call(post_as(&clock, "/sync/pull", "{}").to_request()).await.unwrap();
    assert_eq!(response.headers().get(header::CACHE_CONTROL).unwrap(), "no-store");
    assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), "application/json");
    let (_, body) = status_and_body(response).await;
    assert_eq!(body["changed"][0]["rows"][0]["id"], "n1");
    let other = bearer(TestRequest::post().uri("/sync/pull"), &token("u2", "s2", &clock));
    assert_eq!(call(&server, other).await.1["changed"], json!([]));
}

#[actix_web::test]
async fn unknown_urls_and_methods_answer_in_json() {
    let server = testing::server(testing::app(&clock())).await;
    for (method, uri, status, code) in [
        (Method::GET, "/sync/nowhere", 404, "not_found"),
        (Method::POST, "/nizhal/nowhere", 404, "not_found"),
        (Method::GET, "/sync/pull", 405, "method_not_allowed"),
        (Method::DELETE, "/sync/push", 405, "method_not_allowed"),
        (Method::POST, "/nizhal/contract", 405, "method_not_allowed"),
        (Method::POST, "/healthz", 405, "method_not_allowed"),
    ] {
        let (got, body) = call(&server, TestRequest::with_uri(uri).method(method)).await;
        assert_eq!((got, body["code"].as_str()), (status, Some(code)), "{uri}");
    }
}

#[actix_web::test]
async fn the_routes_live_beside_an_apps_own() {
    let server = testing::server(testing::app(&clock())).await;
    let app = App::new().route("/hello", web::get().to(|| async { HttpResponse::Ok().json("hi") }));
    let app = test::init_service(app.configure(server.routes())).await;
    for uri in ["/hello", "/healthz", "/readyz", "/nizhal/contract"] {
        let response = app.call(TestRequest::with_uri(uri).to_request()).await.unwrap();
        assert_eq!(response.status(), 200, "{uri}");
    }
    let response = app.call(TestRequest::with_uri("/elsewhere").to_request()).await.unwrap();
    assert_eq!(response.status(), 404);
}

#[actix_web::test]
async fn a_hasty_actor_waits() {
    let clock = clock();
    let limit = crate::RateLimit { requests: NonZeroU32::new(2).unwrap(), period: std::time::Duration::from_secs(600) };
    let server = testing::server(testing::app(&clock).rate_limit(Some(limit))).await;
    let app = test::init_service(App::new().configure(service(&server))).await;
    for status in [200, 200, 429] {
        let response = app.call(post_as(&clock, "/sync/pull", "").to_request()).await.unwrap();
        assert_eq!(response.status(), status);
        let wait = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(wait.as_deref(), (status == 429).then_some("300"));
    }
}

#[actix_web::test]
async fn an_old_client_is_told_to_update() {
    let clock = clock();
    let app = testing::app(&clock).contract_version("1.2.0").min_client_version("1.1.0");
    let server = testing::server(app).await;
    for uri in ["/sync/pull", "/sync/push"] {
        let (status, body) = call(&server, post_as(&clock, uri, r#"{"mutations": []}"#)).await;
        assert_eq!((status, &body["code"]), (426, &json!("upgrade_required")));
        assert_eq!((&body["contractVersion"], &body["minClientVersion"]), (&json!("1.2.0"), &json!("1.1.0")));
        let request = post_as(&clock, uri, r#"{"mutations": []}"#);
        let request = request.insert_header(("x-nizhal-contract-version", "1.1.0"));
        assert_eq!(call(&server, request).await.0, 200);
    }
}

#[actix_web::test]
async fn authorize_answers_for_one_bucket() {
    let clock = clock();
    let server = testing::server(testing::app(&clock)).await;
    for (query, status) in
        [("bucket=s1", 204), ("bucket=u1", 204), ("bucket=s2", 403), ("", 400), ("bucket=a&bucket=b", 400)]
    {
        let uri = format!("/sync/realtime/authorize?{query}");
        let request = bearer(TestRequest::with_uri(&uri), &token("u1", "s1", &clock));
        assert_eq!(call(&server, request).await.0, status, "{query}");
    }
}

#[actix_web::test]
async fn stats_are_for_the_admin() {
    let clock = clock();
    let closed = testing::server(testing::app(&clock)).await;
    assert_eq!(call(&closed, TestRequest::with_uri("/nizhal/stats")).await.0, 501);
    let server = testing::server(testing::app(&clock).admin_password("hunter2-hunter2-hunter2")).await;
    assert_eq!(call(&server, bearer(TestRequest::with_uri("/nizhal/stats"), "hunter")).await.0, 401);
    call(&server, push(&clock, &[mutation(1, "n1")])).await;
    let (status, body) = call(&server, bearer(TestRequest::with_uri("/nizhal/stats"), "hunter2-hunter2-hunter2")).await;
    assert_eq!((status, &body["database"], &body["counts"]["pushes"]), (200, &json!("SQLite"), &json!(1)));
    assert!(!body.to_string().contains("hunter2"));
}

#[actix_web::test]
async fn a_stopping_server_is_not_ready() {
    let server = testing::server(testing::app(&clock())).await;
    assert_eq!(call(&server, TestRequest::with_uri("/readyz")).await.0, 200);
    server.close_sockets();
    assert_eq!(call(&server, TestRequest::with_uri("/readyz")).await.0, 503);
}

/// Sessions named `user@shop`, kept by somebody who may be away.
struct Sessions;

impl crate::Authenticator for Sessions {
    fn authenticate<'a>(
        &'a self,
        token: &'a str,
        _: nizhal_core::DateTimeUtc,
    ) -> crate::auth::BoxFuture<'a, Result<nizhal_core::Principal, crate::AuthError>> {
        Box::pin(async move {
            if token == "away" {
                return Err(crate::AuthError::Unavailable("nobody answers".into()));
            }
            let (user, shop) = token.split_once('@').ok_or(crate::AuthError::Invalid)?;
            let claims = testing::Claims { user_id: user.into(), owner_id: "o1".into(), shop_id: shop.into() };
            Ok(nizhal_core::Principal::new(claims, None))
        })
    }
}

#[actix_web::test]
async fn an_apps_own_authenticator_stands_in_for_the_built_in_one() {
    let clock = clock();
    let server = testing::server(testing::app(&clock).authenticator(Sessions)).await;
    let as_ = |token: &str| {
        let body = json!({"mutations": [mutation(1, "n1")]}).to_string();
        bearer(TestRequest::post().uri("/sync/push"), token).set_payload(body)
    };
    assert_eq!(call(&server, as_("u1@s1")).await.0, 200);
    let pull = bearer(TestRequest::post().uri("/sync/pull"), "u2@s1").set_payload("");
    let (status, body) = call(&server, pull).await;
    assert_eq!((status, &body["changed"][0]["rows"][0]["id"]), (200, &json!("n1")));
    assert_eq!(call(&server, as_("nobody")).await.0, 401);
    assert_eq!(call(&server, as_(&format!("{}@s1", "u".repeat(1_024)))).await.0, 401, "no index has room for it");
    assert_eq!(call(&server, as_(&token("u1", "s1", &clock))).await.0, 401, "no other is asked");
    let (status, body) = call(&server, as_("away")).await;
    assert_eq!((status, &body["code"]), (503, &json!("unavailable")));
    assert!(!body.to_string().contains("nobody answers"));
}

#[actix_web::test]
async fn inv31_a_mutation_that_computes_long_keeps_nobody_waiting() {
    let clock = clock();
    let server = testing::server(testing::app(&clock)).await;
    // All of it runs on this one thread, as all requests of one worker do.
    let app = test::init_service(App::new().configure(service(&server))).await;
    let large = json!({"name": "addNote", "args": {"clientId": "slow", "text": "x".repeat(32 * 1024)}, "clientMutationId": "m"});
    let (healthy, pushed) = (std::cell::Cell::new(0), std::cell::Cell::new(false));
    let pushing = async {
        let (status, body) = status_and_body(app.call(push(&clock, &[large]).to_request()).await.unwrap()).await;
        assert_eq!(status, 200, "{body}");
        pushed.set(true);
    };
    let others = async {
        while !pushed.get() {
            let (status, _) =
                status_and_body(app.call(TestRequest::get().uri("/healthz").to_request()).await.unwrap()).await;
            assert_eq!(status, 200);
            healthy.set(healthy.get() + 1);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::join!(pushing, others);
    assert!(healthy.get() > 20, "{} answers beside it", healthy.get());
}

#[actix_web::test]
async fn routes_of_the_apps_own() {
    async fn me(request: HttpRequest, server: web::Data<Server>) -> actix_web::Result<String> {
        let claims: testing::Claims = server.claims(&request).await?;
        Ok(json!({"shop": claims.shop_id}).to_string())
    }
    async fn stranger(request: HttpRequest, server: web::Data<Server>) -> actix_web::Result<String> {
        #[derive(Clone, serde::Serialize, serde::Deserialize)]
        struct Stranger;
        impl nizhal_core::Actor for Stranger {
            fn user_id(&self) -> &str {
                ""
            }
            fn owner_id(&self) -> &str {
                ""
            }
        }
        server.claims::<Stranger>(&request).await.map(|_| String::new())
    }
    let clock = clock();
    let app = testing::app(&clock).routes(|config| {
        config.route("/me", web::get().to(me)).route("/healthz", web::get().to(|| async { r#"{"own": true}"# }));
    });
    let server = testing::server(app.routes(|config| {
        config.route("/stranger", web::get().to(stranger));
    }))
    .await;
    let get = |uri: &str| bearer(TestRequest::get().uri(uri), &token("u1", "s1", &clock));
    assert_eq!(call(&server, get("/me")).await, (200, json!({"shop": "s1"})));
    assert_eq!(call(&server, get("/healthz")).await, (200, json!({"own": true})), "the app's own come first");
    assert_eq!(call(&server, get("/stranger")).await.0, 500);
    assert_eq!(call(&server, post_as(&clock, "/sync/pull", "")).await.0, 200);
    let (status, body) = call(&server, TestRequest::get().uri("/me")).await;
    assert_eq!((status, body["code"].as_str()), (401, Some("unauthorized")));
}
