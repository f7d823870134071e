//! Nobody waits for all that another has sent.

use crate::fixture::{loose, two_shops};
use crate::servers::restarted;
use nizhal_tests::{App, both, token, until};
use serde_json::{Value, json};
use std::time::Instant;

both![inv31_a_flood_of_pushes_does_not_make_others_wait_for_all_of_it];

/// A push of fifty mutations.
fn fifty(push: usize) -> Vec<Value> {
    let mutation = |n: usize| {
        let id = format!("flood-{push}-{n}");
        loose("addCustomer", &id, &json!({"clientId": id, "name": "one of many"}))
    };
    (0..50).map(mutation).collect()
}

async fn inv31_a_flood_of_pushes_does_not_make_others_wait_for_all_of_it(mut app: App) {
    restarted(&mut app, &[]);
    two_shops(&app).await;
    let (ana, cem) = (app.device("a", "ana", "s1"), app.device("c", "cem", "s2").token);
    let add = async |id: &str| {
        let begun = Instant::now();
        app.push(&cem, &[loose("addCustomer", id, &json!({"clientId": id, "name": id}))]).await.expect(200);
        begun.elapsed()
    };
    add("before").await;
    let begun = Instant::now();
    let mut flood = tokio::task::JoinSet::new();
    for push in 0..60 {
        let request = ana.push_request(&fifty(push));
        flood.spawn(async move { request.send().await.expect("an answer").status().as_u16() });
    }
    until("the flood is there", async || {
        let stats = app.get("/nizhal/stats", token::ADMIN).await.expect(200).json();
        stats["inFlight"]["requests"].as_u64().expect("a number") > 40
    })
    .await;
    let mut longest = add("during").await;
    for n in 0..4 {
        longest = longest.max(add(&format!("during{n}")).await);
    }
    while let Some(status) = flood.join_next().await {
        assert_eq!(status.expect("it ran"), 200);
    }
    let all = begun.elapsed();
    assert!(longest < all / 3, "another waited {longest:?} of {all:?}");
}
