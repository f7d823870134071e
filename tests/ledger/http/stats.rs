//! What the admin reads when something is wrong.

use crate::fixture::{BINARY, add, two_shops};
use nizhal_tests::{App, Cluster, Database, Durability, both, token};
use serde_json::{Value, json};

both![stats_count_what_was_done];

async fn admin(app: &mut App) {
    app.set_up = app.set_up.clone().env("NIZHAL_ADMIN_PASSWORD", token::ADMIN);
    app.restart();
}

async fn stats(app: &App) -> Value {
    app.get("/nizhal/stats", token::ADMIN).await.expect(200).json()
}

async fn stats_count_what_was_done(mut app: App) {
    admin(&mut app).await;
    two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    phone.mutate("addCustomer", &json!({"clientId": 7})).await.expect(422);
    phone.pull().await;
    let stats = stats(&app).await;
    assert_eq!(stats["horizon"]["lag"], 0);
    assert_eq!(stats["horizon"]["heldBy"], Value::Null);
    let counts = &stats["counts"];
    assert_eq!((&counts["pulls"], &counts["pullRows"], &counts["pushes"]), (&json!(1), &json!(1), &json!(2)));
    assert_eq!((&counts["mutations"]["applied"], &counts["mutations"]["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(counts["errors"], json!({"invalid_args": 1}));
    assert_eq!(stats["auditEntries"], 2);
    assert!(stats["pool"]["open"].as_u64().expect("a number") <= stats["pool"]["max"].as_u64().expect("a number"));
}

/// Where a transaction can be held open while others write.
mod held {
    use super::{add, admin, json, stats, two_shops};
    use nizhal_tests::{App, on, token};

    on![postgres, Postgres: inv30_stats_name_the_session_that_holds_the_horizon];

    async fn inv30_stats_name_the_session_that_holds_the_horizon(mut app: App) {
        admin(&mut app).await;
        let mut db = two_shops(&app).await;
        let mut holder = app.sql().await;
        holder.execute("set application_name = 'nightly import'").await;
        // It has written no synced row yet: nobody waits for it.
        holder.execute("begin; select 1").await;
        let mut phone = app.device("phone", "ana", "s1");
        add(&mut phone, "c1").await;
        assert_eq!(stats(&app).await["horizon"]["lag"], 0);
        holder.execute("insert into customers (id, shop_id, name) values ('x', 's1', 'x')").await;
        add(&mut phone, "c2").await;
        let seen = stats(&app).await["horizon"].clone();
        assert_eq!(seen["lag"], 2, "{seen}");
        let pid = db.text("select pid::text from pg_stat_activity where application_name = 'nightly import'").await;
        let by = &seen["heldBy"];
        assert_eq!((by["pid"].to_string(), &by["applicationName"]), (pid, &json!("nightly import")));
        assert_eq!(by["state"], "idle in transaction");
        assert!(by["ageSeconds"].as_f64().expect("an age") >= 0.0);
        let metrics = app.get("/metrics", token::ADMIN).await.expect(200).text;
        assert!(metrics.contains("\nnizhal_horizon_lag_versions 2\n"), "{metrics}");
        holder.execute("commit").await;
        assert_eq!(stats(&app).await["horizon"]["lag"], 0);
    }
}

#[test]
fn stats_answer_when_the_database_is_away() {
    let mut cluster = Cluster::start(Durability::Fast);
    let mut app = App::on(Database::within(&cluster, "postgres"), BINARY);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        admin(&mut app).await;
        assert_eq!(stats(&app).await["database"], "Postgres");
        cluster.kill();
        let seen = stats(&app).await;
        assert_eq!((&seen["database"], seen.get("jobs"), seen.get("horizon")), (&json!("unavailable"), None, None));
        assert_eq!(seen["app"], "credit-ledger");
        let metrics = app.get("/metrics", token::ADMIN).await.expect(200).text;
        assert!(metrics.contains("\nnizhal_database_up 0\n"), "{metrics}");
        assert!(!metrics.contains("nizhal_horizon_lag_versions"), "{metrics}");
        app.get("/nizhal/audit", token::ADMIN).await.refused(503, "unavailable");
    });
}
