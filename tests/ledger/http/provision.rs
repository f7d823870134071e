//! Provisioning: idempotent, and at home in a database that was there before.

use crate::fixture::{BINARY, add, two_shops};
use crate::oracle::assert_converged;
use nizhal_tests::{App, Database, SetUp, both, on, verb};
use std::collections::BTreeSet;

both![provisioning_twice_changes_nothing, a_database_with_rows_is_taken_over, plan_prints_the_sql_that_migrate_runs];

async fn provisioning_twice_changes_nothing(mut app: App) {
    two_shops(&app).await;
    let mut device = app.device("d", "ana", "s1");
    add(&mut device, "c1").await;
    device.pull().await;
    for _ in 0..2 {
        let plan = verb(&app.set_up, &["plan"]);
        assert!(plan.status.success(), "{}", String::from_utf8_lossy(&plan.stderr));
        assert_eq!(String::from_utf8_lossy(&plan.stdout).trim(), "");
        assert!(verb(&app.set_up, &["migrate"]).status.success());
    }
    app.restart();
    let page = device.page(None).await;
    assert!(!page.reset && page.changed.is_empty(), "a second migration touched rows: {}", page.body);
}

async fn plan_prints_the_sql_that_migrate_runs(app: App) {
    let fresh = Database::new(app.database.kind()).await;
    let set_up = SetUp::new(BINARY, fresh.url());
    let plan = verb(&set_up, &["plan"]);
    let text = String::from_utf8_lossy(&plan.stdout).to_lowercase();
    for wanted in ["create table", "customers", "shop_members", "trigger", "create index", "_nizhal_version"] {
        assert!(plan.status.success() && text.contains(wanted), "no {wanted} in {text}");
    }
    assert!(fresh.connect().await.try_execute("select * from customers").await.is_err(), "`plan` changed the database");
    // What it prints is read by many, and logged: it may not have the secret that protects cursors.
    let again = String::from_utf8_lossy(&verb(&set_up, &["plan"]).stdout).to_lowercase();
    let drawn = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() >= 32).map(str::to_owned).collect()
    };
    assert_eq!(drawn(&text), drawn(&again), "what is drawn anew is a secret");
    assert!(verb(&set_up, &["migrate"]).status.success());
    assert_eq!(fresh.connect().await.text("select secret from _nizhal_control").await.len(), 64);
}

/// Tables as a user might have had them for years: other columns, other defaults, keys, a view on them, rows in them.
const USERS_TABLES: &str = "
    create table shops (id text primary key, name text not null, owner_id text not null,
        currency text not null default 'LKR', created_at TIMESTAMPTZ not null default CURRENT_TIMESTAMP, theme text);
    create table shop_members (shop_id text not null, user_id text not null, role text not null,
        primary key (shop_id, user_id));
    create table customers (legacy int default 7, id text primary key, shop_id text not null references shops (id),
        name text not null, phone text, note text, client_id text unique,
        created_at TIMESTAMPTZ not null default CURRENT_TIMESTAMP);
    create view names as select name from customers;
    insert into shops (id, name, owner_id) values ('s1', 'Old', 'o1'), ('s2', 'Other', 'o1');
    insert into shop_members values ('s1', 'ana', 'owner'), ('s2', 'cem', 'owner');
    insert into customers (id, shop_id, name, client_id) values ('c1', 's1', 'Old one', 'k1'), ('c2', 's1', 'Old two', null),
        ('c3', 's2', 'Not yours', null)";

async fn a_database_with_rows_is_taken_over(app: App) {
    let sqlite = app.database.kind() == nizhal_tests::Kind::Sqlite;
    let moment = if sqlite { "timestamp_with_timezone_text" } else { "timestamptz" };
    let now = if sqlite { "'2020-01-01T00:00:00.000000Z'" } else { "now()" };
    let database = Database::new(app.database.kind()).await;
    let mut db = database.connect().await;
    db.execute(&USERS_TABLES.replace("TIMESTAMPTZ", moment).replace("CURRENT_TIMESTAMP", now)).await;
    let app = App::on(database, BINARY);
    let mut ana = app.device("a", "ana", "s1");
    ana.pull_by(1).await;
    assert_eq!(ana.ids("customers"), ["c1", "c2"]);
    assert_eq!(ana.row("customers", "c1").expect("it is there").get("legacy"), None, "an undeclared column was sent");
    add(&mut ana, "c9").await;
    db.execute("update customers set name = 'New' where id = 'c2'").await;
    db.execute("delete from customers where id = 'c1'").await;
    ana.pull().await;
    assert_converged(&app, &ana, "ana").await;
    assert_eq!(ana.ids("customers"), ["c2", "c9"]);
    assert_eq!(db.count("names").await, 3);
    assert_eq!(String::from_utf8_lossy(&verb(&app.set_up, &["plan"]).stdout).trim(), "");
}

on![postgres_alone, Postgres: provisioning_has_no_limit_of_time, a_reset_has_no_limit_of_time, an_index_on_rows_is_built_while_others_write,
    an_index_whose_build_was_cut_off_is_built_again];

/// Refuses every statement of DDL that has a limit of time.
const UNLIMITED: &str = "create function unlimited() returns event_trigger language plpgsql as $$ begin \
    if current_setting('statement_timeout') <> '0' or current_setting('lock_timeout') <> '0' then \
    raise exception 'a limit of time'; end if; end $$; \
    create event trigger unlimited on ddl_command_start execute function unlimited()";

async fn provisioning_has_no_limit_of_time(app: App) {
    let database = Database::new(app.database.kind()).await;
    let mut db = database.connect().await;
    db.execute(UNLIMITED).await;
    let migrated = verb(&SetUp::new(BINARY, database.url()), &["migrate"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
}

async fn a_reset_has_no_limit_of_time(app: App) {
    two_shops(&app).await;
    app.sql().await.execute(UNLIMITED).await;
    for args in [&["reset", "--yes"][..], &["drop-tables", "--confirm", "credit-ledger"]] {
        let done = verb(&app.set_up, args);
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

async fn an_index_on_rows_is_built_while_others_write(app: App) {
    two_shops(&app).await;
    let mut db = app.sql().await;
    crate::fixture::customers(&mut db, "s1", "c", 100).await;
    let index = ours(&mut db, "customers").await;
    db.execute(&format!("drop index {index}")).await;
    let plan = verb(&app.set_up, &["plan"]);
    let text = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(text.contains(&format!("create index concurrently if not exists {index} on")), "{text}");
    let migrated = verb(&app.set_up, &["migrate"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    assert_eq!(ours(&mut db, "customers").await, index);
}

async fn an_index_whose_build_was_cut_off_is_built_again(app: App) {
    two_shops(&app).await;
    let mut db = app.sql().await;
    crate::fixture::customers(&mut db, "s1", "c", 100).await;
    let index = ours(&mut db, "customers").await;
    let invalid = format!("pg_index where indexrelid = '{index}'::regclass and not indisvalid");
    db.execute(&format!("update pg_index set indisvalid = false where indexrelid = '{index}'::regclass")).await;
    assert_eq!(db.count(&invalid).await, 1);
    let migrated = verb(&app.set_up, &["migrate"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    assert_eq!(db.count(&invalid).await, 0);
    assert_eq!(String::from_utf8_lossy(&verb(&app.set_up, &["plan"]).stdout).trim(), "");
}

/// One of our indexes on a table.
async fn ours(db: &mut nizhal_tests::Connection, table: &str) -> String {
    let named = "indexname like '\\_nizhal\\_ix\\_%'";
    db.text(&format!(
        "select indexname::text from pg_indexes where tablename = '{table}' and {named} order by 1 limit 1"
    ))
    .await
}
