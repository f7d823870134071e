//! The audit log: one entry a mutation, in its own transaction, for the admin alone.

use crate::fixture::{add, credit, loose, shop, two_shops};
use nizhal_tests::{App, Connection, Kind, Reply, both, token, until};
use serde_json::{Value, json};

both![
    each_mutation_leaves_one_entry,
    inv14_a_mutation_and_its_entry_are_one,
    entries_are_found_by_bucket_actor_and_version,
    pages_skip_nothing_when_entries_share_a_version,
    a_bucket_is_found_however_much_was_written_since_the_last_search,
    entries_are_for_the_admin_alone,
    arguments_are_kept_when_asked_for,
    the_log_can_be_off,
    old_entries_are_forgotten,
    a_job_leaves_an_entry,
];

const ANA: &str = r#"["o1","ana"]"#;

/// Two shops, and a server that lets the admin in.
async fn audited(app: &mut App, more: &[(&str, &str)]) -> Connection {
    app.set_up = app.set_up.clone().env("NIZHAL_ADMIN_PASSWORD", token::ADMIN);
    for (name, value) in more {
        app.set_up = app.set_up.clone().env(name, value);
    }
    app.restart();
    two_shops(app).await
}

/// What an entry's copy needs beside its buckets and tables.
fn touched(app: &App) -> &'static str {
    match app.database.kind() {
        Kind::Postgres => ", write_set",
        Kind::Sqlite => "",
    }
}

/// The entries of all pages, and the version that the last one ends at.
async fn pages(app: &App, query: &[(&str, &str)]) -> (Vec<Value>, String) {
    let (mut since, mut seen, mut pages) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let page = ask(app, &[&[("sinceVersion", since.as_str())], query].concat()).await.expect(200).json();
        seen.extend(page["entries"].as_array().expect("entries").clone());
        since = page["nextVersion"].to_string();
        pages += 1;
        assert!(pages < 20, "the pages do not end");
        if page["hasMore"] == false {
            return (seen, since);
        }
    }
}

async fn ask(app: &App, query: &[(&str, &str)]) -> Reply {
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    app.get(&format!("/nizhal/audit?{}", query.join("&")), token::ADMIN).await
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn entries(app: &App, query: &[(&str, &str)]) -> Vec<Value> {
    ask(app, query).await.expect(200).json()["entries"].as_array().expect("entries").clone()
}

fn ids(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["clientMutationId"].as_str().expect("an id")).collect()
}

async fn each_mutation_leaves_one_entry(mut app: App) {
    let mut db = audited(&mut app, &[]).await;
    let ana = token::signed(&token::claims("ana", Some("s1")));
    let foreign = token::signed(&token::claims("ana", Some("s2")));
    let add = json!({"name": "addCustomer", "args": {"clientId": "c1", "name": "Kamala"}, "clientMutationId": "m1",
        "clientID": "phone", "mutationID": 1});
    for _ in 0..2 {
        // A second delivery has no effect, and so no entry.
        app.push(&ana, std::slice::from_ref(&add)).await.expect(200);
    }
    app.push(&ana, &[loose("addCustomer", "m2", &json!({"clientId": 7}))]).await.expect(422);
    app.push(&ana, &[loose("deleteCustomer", "m3", &json!({"customerId": "nobody"}))]).await.expect(422);
    app.push(&foreign, &[loose("addCustomer", "m4", &json!({"clientId": "c2", "name": "x"}))]).await.expect(403);
    // What may not run at all uses nothing up and is no entry.
    app.push(&ana, &[loose("noSuch", "m5", &json!({}))]).await.expect(400);

    let found = entries(&app, &[]).await;
    assert_eq!(ids(&found), ["m1", "m2", "m3", "m4"]);
    let told: Vec<_> = found.iter().map(|entry| (&entry["status"], &entry["code"])).collect();
    let refused = json!("refused");
    assert_eq!(
        told,
        [
            (&json!("applied"), &Value::Null),
            (&refused, &json!("invalid_args")),
            (&refused, &json!("rejected")),
            (&refused, &json!("forbidden")),
        ]
    );
    let applied = &found[0];
    let version = db.text("select cast(_nizhal_version as text) from customers where id = 'c1'").await;
    assert_eq!(applied["version"].to_string(), version, "the version of its rows");
    assert_eq!((&applied["buckets"], &applied["tables"]), (&json!(["myShops:s1"]), &json!(["customers"])));
    assert_eq!((&applied["actor"], &applied["mutator"]), (&json!(ANA), &json!("addCustomer")));
    assert_eq!((&applied["clientID"], &applied["mutationID"]), (&json!("phone"), &json!(1)));
    let at = applied["at"].as_str().expect("a moment");
    assert!(at.starts_with("20") && at.ends_with('Z') && at.contains('T'), "{at}");
    for entry in &found {
        assert!(entry.get("args").is_none(), "arguments may be personal: {entry}");
    }
    for refused in &found[1..] {
        assert_eq!(refused["buckets"], json!([]), "nothing of it is left");
    }
    // What carries a version of its own can be paged through.
    let versions: Vec<i64> = found.iter().map(|entry| entry["version"].as_i64().expect("a version")).collect();
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
}

async fn inv14_a_mutation_and_its_entry_are_one(mut app: App) {
    let mut db = audited(&mut app, &[]).await;
    let ana = token::signed(&token::claims("ana", Some("s1")));
    db.execute("alter table _nizhal_audit rename to hidden").await;
    let add = loose("addCustomer", "m1", &json!({"clientId": "c1", "name": "Kamala"}));
    let refused = loose("deleteCustomer", "m2", &json!({"customerId": "nobody"}));
    app.push(&ana, std::slice::from_ref(&add)).await.refused(500, "internal");
    app.push(&ana, std::slice::from_ref(&refused)).await.refused(500, "internal");
    assert_eq!((db.count("customers").await, db.count("_nizhal_mutations").await), (0, 0));
    db.execute("alter table hidden rename to _nizhal_audit").await;
    app.push(&ana, &[add]).await.expect(200);
    app.push(&ana, &[refused]).await.expect(422);
    assert_eq!(db.count("_nizhal_audit").await, 2);
    assert_eq!(ids(&entries(&app, &[("bucket", "myShops:s1")]).await), ["m1"]);
    assert_eq!(db.count("_nizhal_audit_buckets where bucket = 'myShops:s1'").await, 1);
}

async fn entries_are_found_by_bucket_actor_and_version(mut app: App) {
    let mut db = audited(&mut app, &[]).await;
    shop(&mut db, "s,3", &["ana"]).await;
    let mut devices = [
        app.device("a1", "ana", "s1"),
        app.device("b1", "ben", "s1"),
        app.device("c2", "cem", "s2"),
        app.device("a3", "ana", "s,3"),
    ];
    for (at, device) in devices.iter_mut().enumerate() {
        add(device, &format!("c{at}")).await;
    }
    let all = entries(&app, &[]).await;
    let all = ids(&all);
    let found = async |query: &[(&str, &str)]| -> Vec<usize> {
        let found = entries(&app, query).await;
        ids(&found).iter().map(|id| all.iter().position(|known| known == id).expect("known")).collect()
    };
    assert_eq!(all.len(), 4);
    assert_eq!(found(&[("bucket", "myShops:s1")]).await, [0, 1]);
    assert_eq!(found(&[("bucket", "myShops:s1"), ("bucket", "myShops:s,3")]).await, [0, 1, 3]);
    assert_eq!(found(&[("buckets", "myShops:s2,myShops:s1")]).await, [0, 1, 2]);
    assert_eq!(found(&[("actor", ANA)]).await, [0, 3]);
    assert_eq!(found(&[("actor", ANA), ("bucket", "myShops:s1")]).await, [0]);
    assert_eq!(found(&[("bucket", "s1")]).await, [0, 1], "as wire 1 names it");
    assert_eq!(found(&[("bucket", "myShops:nowhere")]).await, [0; 0]);
    // A value is a value, whatever is in it.
    assert_eq!(found(&[("bucket", "myShops:' or 1=1 --")]).await, [0; 0]);
    assert_eq!(found(&[("actor", r#"["o1","%' or '1'='1"]"#)]).await, [0; 0]);
    // As the TypeScript system names an actor.
    for actor in [r#"{"userId":"ana"}"#, r#"{"userId":"ana","ownerId":"o1"}"#, r#"["o1", "ana"]"#] {
        assert_eq!(found(&[("actor", actor)]).await, [0, 3], "{actor}");
    }
    for actor in [r#"{"userId":"na"}"#, r#"{"userId":"ana","ownerId":"o2"}"#, r#"["o1", "an"]"#] {
        assert_eq!(found(&[("actor", actor)]).await, [0; 0], "{actor}");
    }
    assert_eq!(found(&[("actor", r#"{"userId":"ana"}"#), ("bucket", "myShops:s1")]).await, [0]);
    let versions = entries(&app, &[]).await;
    let version = |at: usize| versions[at]["version"].to_string();
    assert_eq!(found(&[("sinceVersion", &version(0)), ("untilVersion", &version(2))]).await, [1, 2]);
    for (name, value) in
        [("buckets", "s1,,s2"), ("limit", "0"), ("limit", "many"), ("sinceVersion", "-1"), ("since", "1")]
    {
        ask(&app, &[(name, value)]).await.refused(400, "bad_request");
    }
}

async fn pages_skip_nothing_when_entries_share_a_version(mut app: App) {
    let mut db = audited(&mut app, &[]).await;
    let mut phone = app.device("phone", "ana", "s1");
    for at in 0..3 {
        add(&mut phone, &format!("c{at}")).await;
    }
    // Three more in the second one's version, as a transaction of several would leave them.
    let touched = touched(&app);
    db.execute(&format!(
        "insert into _nizhal_audit (version, n, kind, actor, id, name, status, buckets, tables{touched}) \
         select version, n + i, kind, actor, id || '-' || i, name, status, buckets, tables{touched} from _nizhal_audit, \
         (select 1 as i union all select 2 union all select 3) as more \
         where version = (select version from _nizhal_audit order by version limit 1 offset 1)"
    ))
    .await;
    let wanted = entries(&app, &[]).await;
    assert_eq!(wanted.len(), 6);
    for filter in [None, Some(("bucket", "myShops:s1")), Some(("actor", ANA))] {
        for limit in 1..=7 {
            let limit = limit.to_string();
            let mut query = vec![("limit", limit.as_str())];
            query.extend(filter);
            let (seen, _) = pages(&app, &query).await;
            assert_eq!(seen, wanted, "limit {limit}, {filter:?}");
        }
    }
}

async fn a_bucket_is_found_however_much_was_written_since_the_last_search(mut app: App) {
    let mut db = audited(&mut app, &[]).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c0").await;
    let of_shop = [("bucket", "myShops:s1"), ("limit", "100")];
    assert_eq!(entries(&app, &of_shop).await.len(), 1, "what is there is indexed");
    for at in 1..=3 {
        add(&mut phone, &format!("c{at}")).await;
    }
    // One version has more entries than are indexed at once, and so have those before and behind it together.
    let touched = touched(&app);
    for (nth, more) in [(2, 4_000), (3, 6_000), (4, 2_000)] {
        db.execute(&format!(
            "with recursive i(i) as (select 1 union all select i + 1 from i where i < {more}) \
             insert into _nizhal_audit (version, n, kind, actor, id, name, status, buckets, tables{touched}) \
             select version, 1 + i, kind, actor, id || '-' || i, name, status, buckets, tables{touched} from i, _nizhal_audit \
             where n = 1 and version = (select version from _nizhal_audit where n = 1 order by version limit 1 offset {})",
            nth - 1
        ))
        .await;
    }
    let (found, since) = pages(&app, &of_shop).await;
    assert_eq!(found.len(), 12_004);
    assert_eq!(db.count("_nizhal_audit_buckets").await, 12_004, "each once");
    add(&mut phone, "c4").await;
    let later = entries(&app, &[&of_shop[..], &[("sinceVersion", &since)]].concat()).await;
    assert_eq!(later.len(), 1, "{later:?}");
}

async fn entries_are_for_the_admin_alone(mut app: App) {
    app.get("/nizhal/audit", token::ADMIN).await.refused(501, "not_implemented");
    audited(&mut app, &[]).await;
    let ana = token::signed(&token::claims("ana", Some("s1")));
    for wrong in ["", "hunter", &ana] {
        app.get("/nizhal/audit", wrong).await.refused(401, "unauthorized");
        // Nor does it tell whether a query would do.
        app.get("/nizhal/audit?limit=0", wrong).await.refused(401, "unauthorized");
    }
    let basic = app.request(reqwest::Method::GET, "/nizhal/audit").basic_auth("admin", Some(token::ADMIN));
    Reply::of(basic).await.expect(200);
}

async fn arguments_are_kept_when_asked_for(mut app: App) {
    audited(&mut app, &[("NIZHAL_AUDIT_ARGS", "on")]).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    phone.mutate("addCustomer", &json!({"clientId": 7})).await.expect(422);
    let found = entries(&app, &[]).await;
    assert_eq!(found[0]["args"], json!({"clientId": "c1", "name": "Name of c1"}));
    assert_eq!(found[1]["args"], json!({"clientId": 7}));
}

async fn the_log_can_be_off(mut app: App) {
    let mut db = audited(&mut app, &[("NIZHAL_AUDIT_DAYS", "off")]).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    phone.mutate("addCustomer", &json!({"clientId": 7})).await.expect(422);
    assert_eq!((db.count("_nizhal_audit").await, db.count("_nizhal_audit_buckets").await), (0, 0));
    ask(&app, &[]).await.refused(501, "not_configured");
}

async fn old_entries_are_forgotten(mut app: App) {
    let mut db = audited(&mut app, &[("NIZHAL_AUDIT_DAYS", "7")]).await;
    let mut phone = app.device("phone", "ana", "s1");
    for id in ["old", "new"] {
        add(&mut phone, id).await;
    }
    let eight_days = match app.database.kind() {
        Kind::Postgres => "now() - interval '8 days'",
        Kind::Sqlite => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-8 days')",
    };
    // The one that goes is indexed by bucket, on Postgres since somebody looked for one.
    assert_eq!(ids(&entries(&app, &[("bucket", "myShops:s1")]).await).len(), 2);
    let first = "(select min(version) from _nizhal_audit)";
    db.execute(&format!("update _nizhal_audit set at = {eight_days} where version = {first}")).await;
    app.restart();
    until("the old entry is gone", async || db.count("_nizhal_audit").await == 1).await;
    assert_eq!(db.count("_nizhal_audit_buckets").await, 1);
    assert_eq!(ids(&entries(&app, &[("bucket", "myShops:s1")]).await).len(), 1);
    // For ever.
    app.set_up = app.set_up.clone().env("NIZHAL_AUDIT_DAYS", "0").env("NIZHAL_TOMBSTONE_DAYS", "1");
    db.execute(&format!("update _nizhal_audit set at = {eight_days}")).await;
    db.execute(&format!(
        "insert into _nizhal_tombstones (rule, bucket, tbl, id, kind, version, at) \
         values ('myShops', '[\"s1\"]', 'customers', 'x', 'delete', 1, {eight_days})"
    ))
    .await;
    app.restart();
    until("the collector was here", async || db.count("_nizhal_tombstones").await == 0).await;
    assert_eq!(entries(&app, &[]).await.len(), 1);
}

async fn a_job_leaves_an_entry(mut app: App) {
    let mut db = audited(&mut app, &[]).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    credit(&mut phone, "e1", "c1", "70.50").await;
    db.execute("update _nizhal_jobs set run_at = '2001-01-01T00:00:00+00:00'").await;
    until("the job is done", async || db.count("_nizhal_jobs").await == 0).await;
    let found = entries(&app, &[("bucket", "myShops:s1")]).await;
    let job = found.last().expect("an entry");
    assert_eq!(found.len(), 3);
    assert_eq!((&job["kind"], &job["job"], &job["status"]), (&json!("job"), &json!("sms-reminder"), &json!("done")));
    assert_eq!((&job["buckets"], &job["tables"]), (&json!(["myShops:s1"]), &json!(["reminders"])));
    let version = db.text("select cast(_nizhal_version as text) from reminders").await;
    assert_eq!(job["version"].to_string(), version);
}

mod open {
    use super::{add, audited, entries, ids};
    use nizhal_tests::{App, on};

    on![postgres, Postgres: an_entry_that_commits_late_is_not_skipped];

    async fn an_entry_that_commits_late_is_not_skipped(mut app: App) {
        audited(&mut app, &[]).await;
        let mut early = app.sql().await;
        let mut phone = app.device("phone", "ana", "s1");
        // A transaction that drew its version before, as a mutation that takes its time does.
        early.execute("begin; insert into customers (id, shop_id, name) values ('x', 's1', 'x')").await;
        add(&mut phone, "c1").await;
        assert_eq!(entries(&app, &[]).await.len(), 0, "a page up to here would skip what comes before it");
        early.execute("commit").await;
        assert_eq!(ids(&entries(&app, &[]).await).len(), 1);
    }
}
