//! Whom the server believes.

use crate::fixture::{customers, two_shops};
use jsonwebtoken::Algorithm;
use nizhal_tests::{App, Reply, both, token};
use reqwest::Method;
use serde_json::{Value, json};

both![bad_tokens_are_refused_everywhere, good_tokens_are_taken];

fn bad_tokens() -> Vec<(&'static str, String)> {
    let good = token::claims("ana", Some("s1"));
    let with = |field: &str, value: Value| {
        let mut claims = good.clone();
        claims[field] = value;
        token::signed(&claims)
    };
    let without = |field: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("claims are an object").remove(field);
        token::signed(&claims)
    };
    vec![
        ("garbage", "garbage".to_owned()),
        ("dots", "a.b.c".to_owned()),
        ("expired", with("exp", json!(token::expiry(-3600)))),
        ("unsigned", token::unsigned(&good)),
        ("unsigned, cut", token::unsigned(&good).trim_end_matches('.').to_owned()),
        ("HS384", token::signed_by(&good, Algorithm::HS384, token::SECRET)),
        ("HS512", token::signed_by(&good, Algorithm::HS512, token::SECRET)),
        ("foreign secret", token::signed_by(&good, Algorithm::HS256, "another secret of thirty-two bytes and more")),
        ("empty secret", token::signed_by(&good, Algorithm::HS256, "")),
        ("altered", token::altered(&good, "userId", "cem")),
        ("no userId", without("userId")),
        ("no ownerId", without("ownerId")),
        ("no exp", without("exp")),
        ("userId a number", with("userId", json!(7))),
        ("ownerId null", with("ownerId", json!(null))),
        ("exp a text", with("exp", json!("tomorrow"))),
        ("shopId a number", with("shopId", json!(7))),
    ]
}

async fn bad_tokens_are_refused_everywhere(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 1).await;
    for path in ["/sync/pull", "/sync/push"] {
        let bare = || app.request(Method::POST, path).header("content-type", "application/json").body("{}");
        Reply::of(bare()).await.refused(401, "unauthorized");
        Reply::of(bare().basic_auth("ana", Some("x"))).await.refused(401, "unauthorized");
        Reply::of(bare().header("authorization", "Bearer")).await.refused(401, "unauthorized");
        Reply::of(bare().header("authorization", "Bearer ")).await.refused(401, "unauthorized");
        for (what, token) in bad_tokens() {
            let reply = app.post(path, &token, "{").await;
            assert_eq!((reply.status, what), (401, what), "{}", reply.text);
            reply.refused(401, "unauthorized");
        }
    }
    assert_eq!(app.stream("", None).await.err(), Some(401));
    for (what, token) in bad_tokens() {
        assert_eq!(app.stream("", Some(&token)).await.err(), Some(401), "{what}");
        assert_eq!(app.stream(&format!("token={token}"), None).await.err(), Some(401), "{what}");
    }
}

async fn good_tokens_are_taken(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 1).await;
    let mut claims = token::claims("ana", None);
    claims["iat"] = json!(token::expiry(-5));
    claims["aud"] = json!("anyone");
    claims["extra"] = json!({"deep": [1]});
    let token = token::signed(&claims);
    for scheme in ["Bearer", "bearer"] {
        let request = app.request(Method::POST, "/sync/pull").header("authorization", format!("{scheme} {token}"));
        let reply = Reply::of(request).await.expect(200);
        assert!(reply.text.contains("Name 1"), "{}", reply.text);
    }
}
