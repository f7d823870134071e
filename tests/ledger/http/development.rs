//! The first minute: a development start, its printed session, and settings that are wrong.

use crate::fixture::BINARY;
use nizhal_tests::{Address, App, Database, Server, SetUp, TempDir, both, token, until, verb};
use serde_json::Value;
use std::process::Command;

both![
    the_printed_session_works_as_printed,
    a_second_start_seeds_nothing,
    wrong_settings_are_named,
    a_misspelt_setting_is_named,
    inv40_development_leaves_rows_of_others_alone,
    inv31_a_guesser_of_the_admins_password_waits,
];

fn development(database: &Database) -> SetUp {
    SetUp::new(BINARY, database.url()).without("NIZHAL_AUTH_SECRET").without("NIZHAL_ENV")
}

/// The `curl` lines of the output, with lines that end in a backslash joined.
fn curl_lines(output: &str) -> Vec<String> {
    let joined = output.replace("\\\n", " ");
    // Without its last part a line is still being printed.
    let whole = |line: &&str| line.starts_with("curl ") && line.ends_with('\'') && line.contains(" -d '");
    joined.lines().map(str::trim).filter(whole).map(str::to_owned).collect()
}

fn shell(line: &str) -> String {
    let ran = Command::new("bash").args(["-c", line]).output().expect("bash is there");
    assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("curl printed text")
}

async fn the_printed_session_works_as_printed(app: App) {
    let database = Database::new(app.database.kind()).await;
    let server = Server::start(&development(&database), &Address::default());
    // The last line's end: a line that is half printed is no line yet.
    until("two curl lines", async || server.output().contains(r#"-d '{"cursor":""}'"#)).await;
    let lines = curl_lines(&server.output());
    let push = lines.iter().position(|line| line.contains("/sync/push")).expect("a line that pushes");
    let pull = lines.iter().rposition(|line| line.contains("/sync/pull")).expect("a line that pulls");
    assert!(push < pull, "what is pushed first is pulled afterwards: {lines:?}");
    let pushed: Value = serde_json::from_str(&shell(&lines[push])).expect("the push answers JSON");
    assert_eq!(pushed["applied"].as_array().map(Vec::len), Some(1), "{pushed}");
    let pulled: Value = serde_json::from_str(&shell(&lines[pull])).expect("the pull answers JSON");
    let tables: Vec<&str> =
        pulled["changed"].as_array().into_iter().flatten().filter_map(|batch| batch["table"].as_str()).collect();
    assert_eq!(tables, ["customers", "ledger_entries"], "{pulled}");
    let again: Value = serde_json::from_str(&shell(&lines[push])).expect("pasted twice");
    assert_eq!(again, pushed);
    assert!(server.output().to_lowercase().contains("development"), "said loudly");
    let mut db = database.connect().await;
    assert_eq!((db.count("shop_members").await, db.count("ledger_entries").await), (2, 1));
}

async fn a_second_start_seeds_nothing(app: App) {
    let database = Database::new(app.database.kind()).await;
    let mut db = {
        let _first = Server::start(&development(&database), &Address::default());
        database.connect().await
    };
    let seeded = db.count("customers").await;
    assert!(seeded >= 2);
    db.execute("delete from customers where id = 'customer-1'").await;
    let _second = Server::start(&development(&database), &Address::default());
    assert_eq!(db.count("customers").await, seeded - 1);
    let mut harness = app.sql().await;
    assert_eq!(harness.count("customers").await, 0, "only a development start seeds");
}

async fn wrong_settings_are_named(app: App) {
    let nowhere = TempDir::new("nowhere");
    let missing = format!("sqlite://{}/no/such/dir/x.db", nowhere.path().display());
    for (name, value) in [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("HOST", "not a host"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", &missing),
        ("NIZHAL_RATE_LIMIT", "lots"),
        ("NIZHAL_RATE_LIMIT", "0/60s"),
        ("NIZHAL_MAX_BODY_BYTES", "1 MB"),
        ("NIZHAL_DB_POOL", "0"),
        ("NIZHAL_DB_POOL", "many"),
        ("NIZHAL_CORS", "not an origin"),
        ("NIZHAL_AUTH_SECRET", "short"),
        ("NIZHAL_ADMIN_PASSWORD", "short"),
    ] {
        let ended = verb(&app.set_up.clone().env(name, value), &["serve"]);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && said.contains(name), "{name}={value}: {} {said}", ended.status);
        assert!(!said.contains("panicked"), "{name}={value}: {said}");
    }
    for (set_up, named) in [
        (development(&app.database).env("NIZHAL_AUTH_SECRET", "short"), "NIZHAL_AUTH_SECRET"),
        (development(&app.database).env("HOST", "0.0.0.0"), "NIZHAL_ENV=production"),
    ] {
        let ended = verb(&set_up, &["serve"]);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && said.contains(named), "{said}");
    }
    let production = app.set_up.clone().without("NIZHAL_AUTH_SECRET");
    for verb_name in ["serve", "token"] {
        let ended = verb(&production, &[verb_name]);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && said.contains("NIZHAL_AUTH_SECRET"), "{verb_name}: {said}");
    }
}

async fn a_misspelt_setting_is_named(app: App) {
    let said = verb(&app.set_up.clone().env("NIZHAL_AUDIT_DAY", "7"), &["plan"]);
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("NIZHAL_AUDIT_DAY") && !said.contains("NIZHAL_AUTH_SECRET"), "{said}");
}

async fn inv40_development_leaves_rows_of_others_alone(app: App) {
    let database = Database::new(app.database.kind()).await;
    let mut db = database.connect().await;
    let columns = "shop_id text not null, user_id text not null, role text not null, primary key (shop_id, user_id)";
    db.execute(&format!("create table shop_members ({columns})")).await;
    db.execute("insert into shop_members values ('s1', 'somebody', 'owner')").await;
    let ended = verb(&development(&database), &["serve"]);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && said.contains("`shop_members`") && said.contains("`migrate`"), "{said}");
    assert_eq!(db.count("shop_members").await, 1, "nothing was seeded");
    // Told to, it takes them in.
    let migrated = verb(&development(&database), &["migrate"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let _server = Server::start(&development(&database), &Address::default());
    assert_eq!(db.count("shop_members where user_id = 'somebody'").await, 1);
}

async fn inv31_a_guesser_of_the_admins_password_waits(mut app: App) {
    app.set_up = app.set_up.clone().env("NIZHAL_ADMIN_PASSWORD", token::ADMIN);
    app.restart();
    app.get("/nizhal/stats", token::ADMIN).await.expect(200);
    let mut waits = false;
    for guess in 0..30 {
        let reply = app.get("/nizhal/stats", &format!("guess {guess}")).await;
        waits = reply.status == 429;
        if waits {
            break;
        }
        reply.refused(401, "unauthorized");
    }
    assert!(waits, "thirty guesses in a row were all judged");
    // The right one is not told from a wrong one meanwhile.
    app.get("/nizhal/stats", token::ADMIN).await.refused(429, "rate_limited");
    // Devices come from the same address and have nothing to do with it.
    app.post("/sync/pull", &token::signed(&token::claims("ana", Some("s1"))), "{}").await.expect(200);
    until("the wait is over", async || app.get("/nizhal/stats", token::ADMIN).await.status == 200).await;
}
