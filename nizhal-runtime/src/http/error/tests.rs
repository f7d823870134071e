use super::*;
use actix_web::body::to_bytes;
use sea_orm::DbErr;
use serde_json::json;

async fn response_parts(error: HttpError) -> (u16, Value, Option<String>) {
    let response = error.into_response();
    let retry = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body()).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap(), retry)
}

fn secret() -> DbErr {
    DbErr::Custom("SELECT hunter2 FROM secrets".to_owned())
}

fn pushed(failure: PushError) -> HttpError {
    let outcome = Map::from_iter([("applied".to_owned(), json!(["m1"]))]);
    HttpError::Push { failure, outcome }
}

#[tokio::test]
async fn every_error_has_its_status_and_code() {
    let table = [
        (HttpError::Auth(AuthError::Missing), 401, "unauthorized"),
        (HttpError::Auth(AuthError::Invalid), 401, "unauthorized"),
        (HttpError::Auth(AuthError::Expired), 401, "unauthorized"),
        (HttpError::Auth(AuthError::TooLong), 401, "unauthorized"),
        (HttpError::Auth(AuthError::Unavailable("x".into())), 503, "unavailable"),
        (HttpError::AdminWrong, 401, "unauthorized"),
        (HttpError::AdminUnset, 501, "not_implemented"),
        (HttpError::BucketForbidden, 403, "forbidden"),
        (HttpError::NotFound, 404, "not_found"),
        (HttpError::MethodNotAllowed { allowed: "GET" }, 405, "method_not_allowed"),
        (HttpError::BadJson, 400, "bad_json"),
        (HttpError::BadRequest("why".to_owned()), 400, "bad_request"),
        (HttpError::TooLarge { limit: 10 }, 413, "too_large"),
        (HttpError::BodyTooSlow, 408, "body_too_slow"),
        (HttpError::RateLimited { retry_after_s: 3 }, 429, "rate_limited"),
        (HttpError::Pull(PullError::Store(StoreError::Unavailable(secret()))), 503, "unavailable"),
        (HttpError::Store(StoreError::Statement(secret())), 500, "internal"),
        (HttpError::Store(StoreError::Schema("hunter2".to_owned())), 500, "internal"),
        (HttpError::Busy, 503, "unavailable"),
        (HttpError::Stopping, 503, "unavailable"),
        (HttpError::Panicked, 500, "internal"),
        (pushed(PushError::UnknownMutator("x".to_owned())), 400, "unknown_mutator"),
        (pushed(PushError::Forbidden), 403, "forbidden"),
        (pushed(PushError::ClientIdTaken), 403, "client_id_taken"),
        (pushed(PushError::OutOfOrder { got: 9, last: 4 }), 409, "out_of_order"),
        (pushed(PushError::Waits("m0".to_owned())), 409, "out_of_order"),
        (pushed(PushError::NumberUsed(3)), 422, "number_used"),
        (pushed(PushError::Cancelled("m0".to_owned())), 422, "cancelled"),
        (pushed(PushError::Rejected("no".to_owned())), 422, "rejected"),
        (pushed(PushError::InvalidArgs("no".to_owned())), 422, "invalid_args"),
        (pushed(PushError::Expired), 422, "expired"),
        (pushed(PushError::MutatorPanicked), 422, "mutator_panicked"),
        (pushed(PushError::Store(StoreError::Unavailable(secret()))), 503, "unavailable"),
        (pushed(PushError::Store(StoreError::StalePlan(secret()))), 503, "unavailable"),
        (pushed(PushError::Schema { violation: None, cause: StoreError::Statement(secret()) }), 500, "internal"),
        (pushed(PushError::Store(StoreError::Statement(secret()))), 500, "internal"),
        (pushed(PushError::Internal("hunter2".into())), 500, "internal"),
    ];
    for (error, status, code) in table {
        let shown = format!("{error:?}");
        let (got, body, retry) = response_parts(error).await;
        assert_eq!((got, body["code"].as_str()), (status, Some(code)), "{shown}");
        assert!(body["error"].as_str().is_some_and(|text| !text.is_empty()), "{shown}");
        assert!(!body.to_string().contains("hunter2"), "{shown}");
        assert_eq!(retry.is_some(), [429, 503].contains(&status), "{shown}");
    }
}

#[tokio::test]
async fn a_failed_push_says_what_applied() {
    let (_, body, _) = response_parts(pushed(PushError::OutOfOrder { got: 9, last: 4 })).await;
    assert_eq!(body["applied"], json!(["m1"]));
}

#[tokio::test]
async fn an_upgrade_says_the_versions() {
    let error =
        HttpError::UpgradeRequired { contract_version: "2.0.0".to_owned(), min_client_version: "1.5.0".to_owned() };
    let (status, body, _) = response_parts(error).await;
    assert_eq!(status, 426);
    assert_eq!((&body["contractVersion"], &body["minClientVersion"]), (&json!("2.0.0"), &json!("1.5.0")));
}

#[tokio::test]
async fn a_panic_becomes_an_answer() {
    let server = crate::testing::server(crate::testing::app(&crate::testing::clock())).await;
    let request = actix_web::test::TestRequest::default().to_http_request();
    let response = crate::http::respond::respond(&server, &request, async { panic!("hunter2") }).await;
    assert_eq!(server.counts().errors()["internal"], 1);
    assert_eq!(response.status(), 500);
}
