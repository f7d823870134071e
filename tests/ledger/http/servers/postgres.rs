//! LISTEN and NOTIFY between servers, and what happens when the connection that listens is lost or does not work.

use super::{Other, hears, open, realtime, restarted, two_servers};
use crate::fixture::{add, customers, join, leave, shop, two_shops};
use nizhal_tests::{App, Connection, Frame, Peer, SetUp, on, token, until, verb};
use serde_json::json;

on![postgres, Postgres:
    writes_ping_on_every_server,
    presence_is_one_for_all_servers,
    a_killed_server_leaves_nobody_behind,
    a_quiet_server_is_not_forgotten,
    inv33_a_stopping_server_tells_what_it_committed_last,
    a_lost_listener_heals_with_a_ping_for_all,
    inv07_a_revoked_member_hears_nothing_where_listen_does_not_work,
    a_listener_of_its_own_goes_past_the_pooler,
    local_servers_hear_psql_alone,
    inv07_a_listener_that_hangs_is_noticed,
];

const SHORT: &[(&str, &str)] = &[("NIZHAL_SERVER_SILENCE", "1s")];

async fn writes_ping_on_every_server(mut app: App) {
    restarted(&mut app, &[]);
    super::writes_ping_on_every_server(app).await;
}

async fn presence_is_one_for_all_servers(mut app: App) {
    restarted(&mut app, &[]);
    super::presence_is_one_for_all_servers(app).await;
}

async fn a_killed_server_leaves_nobody_behind(mut app: App) {
    restarted(&mut app, SHORT);
    super::a_killed_server_leaves_nobody_behind(app).await;
}

async fn a_quiet_server_is_not_forgotten(mut app: App) {
    restarted(&mut app, &[("NIZHAL_SERVER_SILENCE", "2s")]);
    super::a_quiet_server_is_not_forgotten(app).await;
}

async fn inv33_a_stopping_server_tells_what_it_committed_last(mut app: App) {
    restarted(&mut app, &[]);
    super::a_stopping_server_tells_what_it_committed_last(app).await;
}

/// The sessions that listen to the test's database.
const LISTENERS: &str = "pg_stat_activity where datname = current_database() and application_name = 'nizhal listen'";

async fn a_lost_listener_heals_with_a_ping_for_all(mut app: App) {
    restarted(&mut app, &[]);
    let (other, mut db) = two_servers(&app).await;
    let mut sockets = [open(&app, "ana").await, other.open("ben").await];
    for socket in &mut sockets {
        socket.ready().await;
    }
    for _ in 0..2 {
        let lost = db.rows(&format!("select pg_terminate_backend(pid)::text from {LISTENERS}")).await;
        assert_eq!(lost.len(), 2);
        // Nobody wrote: it is the healing that pings.
        for socket in &mut sockets {
            assert_eq!(socket.next().await, Frame::text("repull:s1"));
        }
        customers(&mut db, "s1", "after", 1).await;
        for socket in &mut sockets {
            assert_eq!(socket.next().await, Frame::text("repull:s1"));
        }
        db.execute("delete from customers").await;
        for socket in &mut sockets {
            assert_eq!(socket.next().await, Frame::text("repull:s1"));
        }
    }
    let told = realtime(&app).await;
    let adapter = &told["adapters"][0];
    assert_eq!((&adapter["adapter"], &adapter["healed"]), (&json!("postgres"), &json!(2)));
    assert!(adapter["hearing"]["lastError"].as_str().is_some_and(|text| text.contains("lost")), "{adapter}");
    let metrics = app.get("/metrics", token::ADMIN).await.expect(200).text;
    assert!(metrics.contains("nizhal_realtime_healed_total{adapter=\"postgres\"} 2"), "{metrics}");
    assert!(metrics.contains("nizhal_realtime_up{adapter=\"postgres\"} 1"), "{metrics}");
}

/// A pooler in transaction mode takes LISTEN and never says a word.
async fn inv07_a_revoked_member_hears_nothing_where_listen_does_not_work(mut app: App) {
    let pooler = Peer::pgbouncer(app.database.url(), "ignore_startup_parameters = extra_float_digits");
    let through = pooler.before(app.database.url());
    restarted(&mut app, &[("NIZHAL_LISTEN_URL", &through)]);
    let mut db = two_shops(&app).await;
    let mut ben = app.device("w", "ben", "s1");
    let mut socket = open(&app, "ana").await;
    socket.ready().await;
    // What is lost is said; what is not goes on.
    add(&mut ben, "c1").await;
    assert_eq!(socket.next().await, Frame::text("repull:s1"));
    until("start-up says what is lost", async || app.server.output().contains("NIZHAL_LISTEN_URL")).await;
    let told = realtime(&app).await;
    assert_eq!(told["adapters"][0]["hearing"]["state"], "down");
    leave(&mut db, "s1", "ana").await;
    revoked_within_a_second(&app, &mut db).await;
    add(&mut ben, "c2").await;
    // Nothing but the answer to her own ping: her scope was asked for, and she holds nothing.
    socket.ready().await;
    ben.pull().await;
    assert_eq!(ben.ids("customers"), ["c1", "c2"]);
}

/// Kept scopes are at most half a second old where nothing is heard.
async fn revoked_within_a_second(app: &App, db: &mut Connection) {
    let reads = async || realtime(app).await["scopeReads"].as_u64().expect("a count");
    let before = reads().await;
    let mut writer = app.device("r", "ben", "s1");
    let mut round = 0;
    until("ana's scope is read again", async || {
        round += 1;
        add(&mut writer, &format!("r{round}")).await;
        reads().await > before
    })
    .await;
    db.execute("delete from customers where id like 'r%'").await;
}

/// `DATABASE_URL` may lead elsewhere than `NIZHAL_LISTEN_URL`: here it is the same database by another name of its host.
async fn a_listener_of_its_own_goes_past_the_pooler(mut app: App) {
    let direct = app.database.url().replacen("127.0.0.1", "localhost", 1);
    restarted(&mut app, &[("NIZHAL_LISTEN_URL", &direct)]);
    hears(&app, 0).await;
    let mut db = two_shops(&app).await;
    let mut socket = open(&app, "ana").await;
    socket.ready().await;
    customers(&mut db, "s1", "c", 1).await;
    assert_eq!(socket.next().await, Frame::text("repull:s1"));
}

async fn local_servers_hear_psql_alone(mut app: App) {
    restarted(&mut app, &[("NIZHAL_REALTIME", "local")]);
    let mut db = two_shops(&app).await;
    let other = Other::start(&app);
    hears(&app, 0).await;
    let mut socket = open(&app, "ana").await;
    socket.ready().await;
    add(&mut other.device("w", "ben"), "there").await;
    customers(&mut db, "s1", "psql", 1).await;
    assert_eq!(socket.next().await, Frame::text("repull:s1"));
    socket.ready().await;
    // A membership changed by a mutator or by psql is heard by all the same.
    leave(&mut db, "s1", "ana").await;
    join(&mut db, "s2", "ana").await;
    assert_eq!(socket.next().await, Frame::text("repull:s2"));
}

/// The connection is there and says nothing any more, as after a partition of the network. Nothing tells the server but that its
/// own notifications do not come back.
async fn inv07_a_listener_that_hangs_is_noticed(mut app: App) {
    restarted(&mut app, &[]);
    hears(&app, 0).await;
    let mut db = two_shops(&app).await;
    shop(&mut db, "s3", &["ana"]).await;
    let mut ana = open(&app, "ana").await;
    ana.ready().await;
    let pids = db.rows(&format!("select pid::text from {LISTENERS}")).await;
    let pid = pids[0][0].clone().expect("a process");
    signal("-STOP", &pid);
    leave(&mut db, "s1", "ana").await;
    revoked_within_a_second(&app, &mut db).await;
    // What came within that second is past; from here on there is nothing of s1.
    ana.send("ping").await;
    while ana.next().await != Frame::text("pong") {}
    let mut ben = app.device("w", "ben", "s1");
    add(&mut ben, "c1").await;
    ana.ready().await;
    // It listens anew, and everybody is told to pull.
    let mut round = 0;
    until("it heals", async || {
        round += 1;
        add(&mut ben, &format!("again{round}")).await;
        realtime(&app).await["adapters"][0]["healed"] == 1
    })
    .await;
    assert_eq!(ana.next().await, Frame::text("repull:s3"));
    signal("-CONT", &pid);
}

fn signal(name: &str, pid: &str) {
    let sent = std::process::Command::new("kill").args([name, pid]).status();
    assert!(sent.is_ok_and(|status| status.success()), "{name} was not sent");
}

#[test]
fn settings_that_do_not_fit_are_named() {
    let set_up = SetUp::new(crate::fixture::BINARY, "sqlite::memory:").env("NIZHAL_REALTIME", "postgres");
    let refused = verb(&set_up.env("NIZHAL_ENV", "development"), &["serve"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("NIZHAL_REALTIME"), "{text}");
}
