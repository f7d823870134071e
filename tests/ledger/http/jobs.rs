//! Jobs: committed with their mutation, done until they are done, and never twice.

use crate::fixture::{add, credit, customers, shop, two_shops};
use nizhal_tests::{Address, App, Connection, Frame, Kind, Server, both, token, until, verb};
use serde_json::{Value, json};
use std::collections::BTreeSet;

both![
    inv14_a_job_commits_with_its_mutation,
    a_reminder_reaches_the_other_device_with_a_ping,
    who_owes_nothing_is_not_reminded,
    each_job_runs_once_among_several_servers,
    a_failing_job_backs_off_and_ends_dead,
    a_job_killed_in_its_run_runs_again,
    a_job_that_kills_its_server_each_time_is_given_up,
    run_once_runs_what_is_due,
];

/// Makes every waiting job due, or one that a dead server left.
async fn make_due(db: &mut Connection) {
    db.execute("update _nizhal_jobs set run_at = '2001-01-01T00:00:00+00:00'").await;
}

async fn done(db: &mut Connection) {
    until("the jobs are done", async || db.count("_nizhal_jobs").await == 0).await;
}

async fn inv14_a_job_commits_with_its_mutation(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    let due = json!({"clientId": "e1", "customerId": "c1", "amount": 5, "dueDate": "2999-03-01T00:00:00Z"});
    let mutation = phone.mutation("recordCredit", &due);
    for _ in 0..2 {
        phone.push(std::slice::from_ref(&mutation)).await.expect(200);
    }
    let jobs = db.rows("select name, args, status, id, cast(run_at as text) from _nizhal_jobs order by run_at").await;
    let days: Vec<&str> = jobs.iter().map(|job| &job[4].as_deref().expect("a time")[..10]).collect();
    assert_eq!(days, ["2999-02-28", "2999-03-02"]);
    for job in &jobs {
        let [name, args, status, id, _] = job.as_slice() else { panic!("{job:?}") };
        assert_eq!((name.as_deref(), status.as_deref()), (Some("sms-reminder"), Some("pending")));
        assert_eq!(args.as_deref(), Some(r#"{"entryId":"e1"}"#));
        let id = id.as_deref().expect("an id");
        assert_eq!((id.len(), &id[14..15]), (36, "7"), "not a UUID v7: {id}");
    }
    // Ana is no member of s2: the mutation runs to its end, and is rolled back there.
    customers(&mut db, "s2", "other", 1).await;
    let mut stranger = app.device("stranger", "ana", "s2");
    let args = json!({"clientId": "e2", "customerId": "other1", "amount": 5});
    stranger.mutate("recordCredit", &args).await.refused(403, "forbidden");
    phone.mutate("recordCredit", &json!({"clientId": "e3", "customerId": "nobody", "amount": 5})).await.expect(422);
    assert_eq!(db.count("_nizhal_jobs").await, 2);
}

async fn a_reminder_reaches_the_other_device_with_a_ping(app: App) {
    let mut db = two_shops(&app).await;
    let (mut phone, mut tablet) = (app.device("phone", "ana", "s1"), app.device("tablet", "ben", "s1"));
    add(&mut phone, "c1").await;
    credit(&mut phone, "e1", "c1", "70.50").await;
    tablet.pull().await;
    let mut socket = app.stream("", Some(&tablet.token)).await.expect("ben may listen");
    socket.ready().await;
    make_due(&mut db).await;
    assert_eq!(socket.next().await, Frame::text("repull:s1"));
    tablet.pull().await;
    let ids = tablet.ids("reminders");
    assert_eq!(ids.len(), 1);
    let reminder = tablet.row("reminders", ids[0]).expect("the row");
    let fields = ["shop_id", "customer_id", "entry_id", "channel", "status"].map(|name| reminder[name].clone());
    assert_eq!(fields, ["s1", "c1", "e1", "sms", "pending"].map(|text| json!(text)));
    done(&mut db).await;
}

async fn who_owes_nothing_is_not_reminded(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    credit(&mut phone, "e1", "c1", "0.30").await;
    credit(&mut phone, "e2", "c1", "0.10").await;
    let paid = json!({"clientId": "p1", "customerId": "c1", "amount": "0.4"});
    phone.mutate("recordPayment", &paid).await.expect(200);
    make_due(&mut db).await;
    done(&mut db).await;
    assert_eq!(db.count("reminders").await, 0);
}

pub(crate) async fn each_job_runs_once_among_several_servers(app: App) {
    let mut db = two_shops(&app).await;
    let others: Vec<Server> = (0..2).map(|_| Server::start(&app.set_up, &Address::default())).collect();
    customers(&mut db, "s1", "c", 1).await;
    for entry in 0..60 {
        db.execute(&format!(
            "insert into ledger_entries (id, shop_id, customer_id, amount, at, created_by) values \
             ('e{entry}', 's1', 'c1', '1', '2026-01-01T00:00:00+00:00', 'ana'); \
             insert into _nizhal_jobs (id, name, args) values ('j{entry}', 'sms-reminder', '{{\"entryId\":\"e{entry}\"}}')"
        ))
        .await;
    }
    // Nobody here knows it, so it waits for a server that does.
    db.execute("insert into _nizhal_jobs (id, name, args) values ('new', 'of-a-newer-version', '{}')").await;
    make_due(&mut db).await;
    until("the jobs are done", async || db.count("_nizhal_jobs").await == 1).await;
    let reminded = db.rows("select entry_id from reminders").await;
    assert_eq!((reminded.len(), reminded.iter().collect::<BTreeSet<_>>().len()), (60, 60));
    assert_eq!(db.text("select status from _nizhal_jobs").await, "pending");
    drop(others);
}

/// From now on the database does this at each new reminder.
async fn at_each_reminder(app: &App, db: &mut Connection, postgres: &str, sqlite: &str) {
    let sql = match app.database.kind() {
        Kind::Postgres => format!(
            "create function on_reminder() returns trigger language plpgsql as $$ begin {postgres}; return new; end $$; \
             create trigger on_reminder before insert on reminders for each row execute function on_reminder()"
        ),
        Kind::Sqlite => format!(
            "create view forever as with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) as i \
             from n; create trigger on_reminder before insert on reminders begin {sqlite}; end"
        ),
    };
    db.execute(&sql).await;
}

async fn no_more(app: &App, db: &mut Connection) {
    let on = if app.database.kind() == Kind::Postgres { " on reminders" } else { "" };
    db.execute(&format!("drop trigger on_reminder{on}")).await;
}

async fn a_failing_job_backs_off_and_ends_dead(mut app: App) {
    app.set_up = app.set_up.clone().env("NIZHAL_ADMIN_PASSWORD", token::ADMIN);
    app.restart();
    let mut db = two_shops(&app).await;
    let refusal = "raise exception 'insert of hunter2'";
    at_each_reminder(&app, &mut db, refusal, "select raise(abort, 'insert of hunter2')").await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    credit(&mut phone, "e1", "c1", "5").await;
    let later = match app.database.kind() {
        Kind::Postgres => "run_at > now()",
        Kind::Sqlite => "run_at > strftime('%Y-%m-%dT%H:%M:%f', 'now')",
    };
    for attempt in 1..=8 {
        make_due(&mut db).await;
        let tried = format!("_nizhal_jobs where status <> 'running' and attempts = {attempt}");
        until("the next try", async || db.count(&tried).await == 1).await;
        let status = if attempt < 8 { "pending" } else { "dead" };
        let seen = db.count(&format!("_nizhal_jobs where status = '{status}' and {later}")).await;
        assert_eq!(seen, 1, "after try {attempt}");
        let error = db.text("select last_error from _nizhal_jobs").await;
        assert_eq!(error, "the data breaks a constraint of the database");
    }
    assert_eq!(db.count("reminders").await, 0);
    let stats = app.get("/nizhal/stats", token::ADMIN).await.expect(200).json();
    assert_eq!(stats["jobs"], json!({"pending": 0, "running": 0, "dead": 1}));
    // A person finds the fault and says: again.
    no_more(&app, &mut db).await;
    db.execute("update _nizhal_jobs set status = 'pending', attempts = 0").await;
    make_due(&mut db).await;
    done(&mut db).await;
    assert_eq!(db.count("reminders").await, 1);
}

/// Kills the server while a job runs, and gives the row it left.
async fn kill_in_a_run(app: &mut App, db: &mut Connection) {
    // Held by a session of ours on Postgres, where a killed server's statement would go on by itself.
    let mut holder = app.sql().await;
    match app.database.kind() {
        Kind::Postgres => drop(holder.execute("begin; lock table reminders in access exclusive mode").await),
        Kind::Sqlite => at_each_reminder(app, db, "", "select i from forever").await,
    }
    make_due(db).await;
    until("the run", async || db.count("_nizhal_jobs where status = 'running'").await == 1).await;
    app.server.kill();
    match app.database.kind() {
        Kind::Postgres => drop(holder.execute("rollback").await),
        Kind::Sqlite => {
            no_more(app, db).await;
            db.execute("drop view forever").await;
        }
    }
    assert_eq!(db.count("reminders").await, 0);
}

pub(crate) async fn a_job_killed_in_its_run_runs_again(mut app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    credit(&mut phone, "e1", "c1", "5").await;
    kill_in_a_run(&mut app, &mut db).await;
    make_due(&mut db).await;
    app.restart();
    done(&mut db).await;
    assert_eq!(db.count("reminders").await, 1);
}

async fn a_job_that_kills_its_server_each_time_is_given_up(mut app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    credit(&mut phone, "e1", "c1", "5").await;
    db.execute("update _nizhal_jobs set attempts = 7").await;
    kill_in_a_run(&mut app, &mut db).await;
    make_due(&mut db).await;
    app.restart();
    until("the job is given up", async || db.count("_nizhal_jobs where status = 'dead'").await == 1).await;
    assert_eq!(db.text("select last_error from _nizhal_jobs").await, "the server ended while the job ran");
    assert_eq!(db.count("reminders").await, 0);
}

pub(crate) async fn run_once_runs_what_is_due(mut app: App) {
    app.set_up = app.set_up.clone().env("NIZHAL_JOB_WORKERS", "0");
    app.restart();
    let mut db = two_shops(&app).await;
    shop(&mut db, "s3", &["ana"]).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    credit(&mut phone, "e1", "c1", "5").await;
    make_due(&mut db).await;
    credit(&mut phone, "e2", "c1", "5").await;
    let mut socket = app.stream("", Some(&phone.token)).await.expect("ana may listen");
    socket.ready().await;
    let ran = verb(&app.set_up, &["jobs", "run-once"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "1 jobs done, 0 to be tried again, 0 given up\n");
    // The server hears of it, though another process wrote.
    assert_eq!(socket.next().await, Frame::text("repull:s1"));
    phone.pull().await;
    let reminded: Vec<&Value> =
        phone.ids("reminders").iter().map(|id| &phone.row("reminders", id).expect("a row")["entry_id"]).collect();
    assert_eq!(reminded, [&json!("e1")]);
    assert_eq!(db.count("_nizhal_jobs where status = 'pending'").await, 1, "what is not due waits");
}

/// Where a test can hold a run up and let it go again.
mod held {
    use super::{add, credit, done, make_due, two_shops};
    use nizhal_tests::{App, on, until};

    on![postgres, Postgres: inv33_a_running_job_is_finished_and_none_begun];

    async fn inv33_a_running_job_is_finished_and_none_begun(mut app: App) {
        app.set_up = app.set_up.clone().env("NIZHAL_JOB_WORKERS", "1");
        app.restart();
        let mut db = two_shops(&app).await;
        let mut phone = app.device("phone", "ana", "s1");
        add(&mut phone, "c1").await;
        credit(&mut phone, "e1", "c1", "5").await;
        credit(&mut phone, "e2", "c1", "5").await;
        let mut holder = app.sql().await;
        holder.execute("begin; lock table reminders in access exclusive mode").await;
        make_due(&mut db).await;
        until("a run", async || db.count("_nizhal_jobs where status = 'running'").await == 1).await;
        app.server.terminate();
        until("it stops", async || app.server.output().contains("stopping")).await;
        holder.execute("commit").await;
        assert!(app.server.ended().await.success());
        assert_eq!((db.count("reminders").await, db.count("_nizhal_jobs where status = 'pending'").await), (1, 1));
        app.restart();
        done(&mut db).await;
        assert_eq!(db.count("reminders").await, 2);
    }
}
