//! Nobody waits for all that another has sent.

use crate::fixture::{customers, loose, two_shops};
use crate::servers::restarted;
use nizhal_tests::{App, both, token, until};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

both![
    inv31_a_flood_of_pushes_does_not_make_others_wait_for_all_of_it,
    inv31_a_flood_of_first_syncs_does_not_make_others_wait_for_all_of_it,
    inv31_a_flood_of_jobs_does_not_make_others_wait_for_all_of_it,
];

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

/// The first syncs of a member with many devices, and a pull of another shop's that finds nothing new: how many are served before it.
async fn inv31_a_flood_of_first_syncs_does_not_make_others_wait_for_all_of_it(mut app: App) {
    restarted(&mut app, &[("NIZHAL_DB_POOL", "4")]);
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 5_000).await;
    let (ana, cem) = (app.device("a", "ana", "s1").token, app.device("c", "cem", "s2").token);
    let first = app.post("/sync/pull", &cem, "{}").await.expect(200).json();
    let idle = json!({"cursor": first["cursor"]}).to_string();
    let served = Arc::new(AtomicUsize::new(0));
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let request = app.request(reqwest::Method::POST, "/sync/pull").bearer_auth(&ana).body(r#"{"limit":10000}"#);
        let served = served.clone();
        flood.spawn(async move {
            let answer = request.header("content-type", "application/json").send().await.expect("an answer");
            served.fetch_add(1, SeqCst);
            assert_eq!(answer.status().as_u16(), 200);
            answer.bytes().await.expect("all of it").len()
        });
    }
    until("the flood is there", async || {
        let stats = app.get("/nizhal/stats", token::ADMIN).await.expect(200).json();
        stats["inFlight"]["requests"].as_u64().expect("a number") > 40
    })
    .await;
    let before = served.load(SeqCst);
    app.post("/sync/pull", &cem, idle).await.expect(200);
    let between = served.load(SeqCst) - before;
    while let Some(bytes) = flood.join_next().await {
        assert!(bytes.expect("it ran") > 500_000, "all 5,000 customers");
    }
    // Two of the actor's run at a time, and a few answers are on their way.
    assert!(between <= 8, "another's pull was served behind {between}");
}

/// The jobs of a member who wants hundreds, and one of another shop's: the audit log says in which order they ran.
async fn inv31_a_flood_of_jobs_does_not_make_others_wait_for_all_of_it(mut app: App) {
    restarted(&mut app, &[("NIZHAL_JOB_WORKERS", "0")]);
    let mut db = two_shops(&app).await;
    let due = "2001-03-01T00:00:00Z";
    let wants = async |user: &str, shop: &str, count: usize| {
        let token = app.device("d", user, shop).token;
        let customer = format!("customer-of-{user}");
        let add = loose("addCustomer", &customer, &json!({"clientId": customer, "name": user}));
        app.push(&token, &[add]).await.expect(200);
        for part in 0..count.div_ceil(50) {
            let entry = |n: usize| {
                let id = format!("{user}-{part}-{n}");
                let args = json!({"clientId": id, "customerId": customer, "amount": 5, "dueDate": due});
                loose("recordCredit", &id, &args)
            };
            let entries: Vec<Value> = (0..count.min(50)).map(entry).collect();
            app.push(&token, &entries).await.expect(200);
        }
    };
    wants("ana", "s1", 200).await;
    wants("cem", "s2", 1).await;
    let waiting = db.count("_nizhal_jobs").await;
    assert!(waiting > 200, "{waiting}");
    restarted(&mut app, &[("NIZHAL_JOB_WORKERS", "1"), ("NIZHAL_AUDIT_ARGS", "on")]);
    until("the jobs are done", async || db.count("_nizhal_jobs").await == 0).await;
    let ran = db.rows("select id, args, version from _nizhal_audit where kind = 'job' order by version, n").await;
    let place = ran.iter().position(|job| job[1].as_deref().is_some_and(|args| args.contains("cem")));
    let place = place.unwrap_or_else(|| panic!("cem's job ran: {ran:?}"));
    assert!(place < 20, "another's job ran behind {place} of {}", ran.len());
}
