//! Readiness: a server that could not do its work asks for no traffic.

use crate::fixture::two_shops;
use nizhal_tests::{App, both, on, until};

both![
    inv40_a_server_of_other_rules_is_not_ready,
    inv40_a_database_without_a_part_of_the_engine_is_not_ready,
    a_database_that_is_whole_is_ready_however_often_it_is_asked,
];
on![postgres_alone, Postgres: inv31_a_database_that_is_read_only_is_not_ready];

async fn turns(app: &App, status: u16) {
    until("readiness changes", async || app.get("/readyz", "").await.status == status).await;
}

async fn inv40_a_server_of_other_rules_is_not_ready(app: App) {
    let mut db = two_shops(&app).await;
    app.get("/readyz", "").await.expect(200);
    let rules = db.text("select rules from _nizhal_control").await;
    db.execute("update _nizhal_control set rules = 'of a later version'").await;
    app.get("/readyz", "").await.refused(503, "unavailable");
    db.execute(&format!("update _nizhal_control set rules = '{rules}'")).await;
    app.get("/readyz", "").await.expect(200);
    app.get("/healthz", "").await.expect(200);
}

async fn inv40_a_database_without_a_part_of_the_engine_is_not_ready(app: App) {
    let mut db = two_shops(&app).await;
    let named = match app.database.kind() {
        nizhal_tests::Kind::Postgres => {
            "select tgname || ' on customers' from pg_trigger where tgrelid = 'customers'::regclass and not tgisinternal order by 1 limit 1"
        }
        nizhal_tests::Kind::Sqlite => {
            "select name from sqlite_schema where type = 'trigger' and tbl_name = 'customers' order by 1 limit 1"
        }
    };
    let trigger = db.text(named).await;
    db.execute(&format!("drop trigger {trigger}")).await;
    turns(&app, 503).await;
    // What `migrate` does.
    let migrated = nizhal_tests::verb(&app.set_up, &["migrate"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    turns(&app, 200).await;
    db.execute("alter table customers rename column note to remark").await;
    turns(&app, 503).await;
}

async fn a_database_that_is_whole_is_ready_however_often_it_is_asked(app: App) {
    two_shops(&app).await;
    for _ in 0..100 {
        app.get("/readyz", "").await.expect(200);
    }
}

async fn inv31_a_database_that_is_read_only_is_not_ready(mut app: App) {
    let mut db = two_shops(&app).await;
    let read_only = |switch: &str| {
        format!(
            "do $$ begin execute format('alter database %I set default_transaction_read_only = {switch}', current_database()); end $$"
        )
    };
    db.execute(&read_only("on")).await;
    app.restart();
    app.get("/readyz", "").await.refused(503, "unavailable");
    // The session of the test was there before.
    db.execute(&read_only("off")).await;
    app.restart();
    turns(&app, 200).await;
}
