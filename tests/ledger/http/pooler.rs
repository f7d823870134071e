//! Behind a pooler that lends connections by the transaction: what works on the database itself works there too.

use crate::fixture::{BINARY, add, customers, loose, two_shops};
use crate::servers::restarted;
use nizhal_tests::{App, Database, Frame, Kind, Peer, SetUp, play, token, until, verb};
use serde_json::json;

/// As the book says, with what strangers' drivers need; and with fewer connections than the server has.
const AS_TOLD: &str = "max_prepared_statements = 200\nignore_startup_parameters = extra_float_digits,options\n\
    default_pool_size = 4\nserver_round_robin = 1";

/// An app that reaches its database by the pooler alone, but for LISTEN; also when it migrates.
async fn behind() -> (App, Peer) {
    let database = Database::new(Kind::Postgres).await;
    let pooler = Peer::pgbouncer(database.url(), AS_TOLD);
    let set_up = SetUp::new(BINARY, &pooler.before(database.url())).env("NIZHAL_LISTEN_URL", database.url());
    (App::with(database, set_up.env("NIZHAL_DB_POOL", "16")), pooler)
}

/// Runs tests of other modules once more.
macro_rules! behind {
    ($($module:ident::$name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            play(async || {
                let (app, _pooler) = behind().await;
                crate::$module::$name(app).await;
            });
        })*
    };
}

behind![
    push::inv12_identical_pushes_at_once_apply_once,
    push::inv14_a_batch_ends_at_its_first_failure,
    push::inv18_a_foreign_shops_write_is_rolled_back,
    wire2_push::inv16_a_rejection_stops_nobody,
    wire2_push::inv15_a_gap_stops_its_client_alone,
    wire2_pull::inv11_a_streamed_pull_is_one_snapshot,
    wire2_pull::inv05_a_cut_stream_changes_nothing,
    stream::a_write_from_outside_pings,
    stream::inv07_a_changed_membership_pings_whom_it_concerns,
    jobs::each_job_runs_once_among_several_servers,
    jobs::a_job_killed_in_its_run_runs_again,
    jobs::run_once_runs_what_is_due,
    overlap::inv01_the_first_to_write_commits_last,
    overlap::inv30_an_idle_transaction_delays_nothing,
    epoch::inv10_a_new_epoch_resets_every_device,
    restore::inv10_a_start_is_no_restore,
    converge::inv03_devices_converge_after_a_random_walk,
    crash::inv13_killed_again_and_again_under_an_outbox,
    kill::inv13_the_server_killed_under_four_outboxes,
];

mod several {
    use super::*;

    fn run<F: Future<Output = ()>>(env: &'static [(&str, &str)], test: impl FnOnce(App) -> F) {
        play(async move || {
            let (mut app, _pooler) = behind().await;
            restarted(&mut app, env);
            test(app).await;
        });
    }

    #[test]
    fn writes_ping_on_every_server() {
        run(&[], crate::servers::writes_ping_on_every_server);
    }

    #[test]
    fn presence_is_one_for_all_servers() {
        run(&[], crate::servers::presence_is_one_for_all_servers);
    }

    #[test]
    fn a_killed_server_leaves_nobody_behind() {
        run(&[("NIZHAL_SERVER_SILENCE", "1s")], crate::servers::a_killed_server_leaves_nobody_behind);
    }

    #[test]
    fn inv33_a_stopping_server_tells_what_it_committed_last() {
        run(&[], crate::servers::a_stopping_server_tells_what_it_committed_last);
    }
}

/// Sixteen devices at once, each with many a push and pull, over four connections.
#[test]
fn inv03_sixteen_devices_share_four_connections() {
    play(async || {
        let (app, _pooler) = behind().await;
        let mut db = two_shops(&app).await;
        let devices = (0..16).map(|n| app.device(&format!("d{n}"), ["ana", "ben"][n % 2], "s1"));
        let working = devices.enumerate().map(|(n, mut device)| async move {
            for round in 0..6 {
                add(&mut device, &format!("c{n}x{round}")).await;
                device.pull().await;
            }
            device
        });
        let mut devices = futures_util::future::join_all(working).await;
        assert_eq!(db.count("customers").await, 96);
        for device in &mut devices {
            device.pull().await;
            assert_eq!(device.ids("customers").len(), 96);
        }
    });
}

/// Who writes through the same pooler by another name, or by none, is heard; though the connection was ours a moment ago.
#[test]
fn a_writer_through_the_pooler_pings() {
    play(async || {
        let (app, pooler) = behind().await;
        two_shops(&app).await;
        let mut socket = app.stream("", Some(&app.device("d", "ana", "s1").token)).await.expect("ana may listen");
        socket.ready().await;
        let through = Database::at(&pooler.before(app.database.url()));
        let mut nameless = through.connect().await;
        let mut ben = app.device("w", "ben", "s1");
        for round in 0..8 {
            add(&mut ben, &format!("ours{round}")).await;
            assert_eq!(socket.next().await, Frame::text("repull:s1"));
            customers(&mut nameless, "s1", &format!("theirs{round}-"), 1).await;
            assert_eq!(socket.next().await, Frame::text("repull:s1"));
        }
    });
}

/// The pooler goes away and comes back: a push meanwhile is told to come again, and nothing is lost.
#[test]
fn inv17_a_pooler_that_starts_again_loses_nothing() {
    play(async || {
        let (app, mut pooler) = behind().await;
        let mut db = two_shops(&app).await;
        let mut ana = app.device("d", "ana", "s1");
        add(&mut ana, "before").await;
        pooler.kill();
        let token = token::signed(&token::claims("ana", Some("s1")));
        let push = async || {
            let mutation = loose("addCustomer", "m1", &json!({"clientId": "after", "name": "After"}));
            app.push(&token, &[mutation]).await
        };
        push().await.refused(503, "unavailable");
        pooler.start_again();
        until("the push goes through", async || push().await.status == 200).await;
        assert_eq!(db.count("customers").await, 2);
    });
}

/// What does not work is said at the start, with what to do; no device ever meets it.
#[test]
fn inv17_a_pooler_that_mixes_statements_up_is_refused_at_the_start() {
    play(async || {
        let database = Database::new(Kind::Postgres).await;
        for (lines, wanted) in [
            ("max_prepared_statements = 0\nignore_startup_parameters = options", "max_prepared_statements = 200"),
            (
                "max_prepared_statements = 0\nignore_startup_parameters = options\nserver_round_robin = 1\nmin_pool_size = 4",
                "max_prepared_statements = 200",
            ),
            (
                "max_prepared_statements = 0\nignore_startup_parameters = options\ndefault_pool_size = 1",
                "max_prepared_statements = 200",
            ),
            ("max_prepared_statements = 200", "ignore_startup_parameters = options"),
        ] {
            let pooler = Peer::pgbouncer(database.url(), lines);
            let set_up = SetUp::new(BINARY, &pooler.before(database.url()));
            for word in ["migrate", "serve"] {
                let refused = verb(&set_up, &[word]);
                let text = String::from_utf8_lossy(&refused.stderr).into_owned();
                // Found out first of all, and not by whatever statement happens to meet another's.
                let opens = !text.contains("cannot be opened (DATABASE_URL)");
                assert!(!refused.status.success() && !opens && text.contains(wanted), "{lines}: {text}");
            }
        }
    });
}

/// One connection is enough for a start to judge by, and to serve.
#[test]
fn one_connection_is_enough() {
    play(async || {
        let database = Database::new(Kind::Postgres).await;
        let lines = "max_prepared_statements = 200\nignore_startup_parameters = options\ndefault_pool_size = 1";
        let pooler = Peer::pgbouncer(database.url(), lines);
        let set_up = SetUp::new(BINARY, &pooler.before(database.url())).env("NIZHAL_LISTEN_URL", database.url());
        let app = App::with(database, set_up);
        two_shops(&app).await;
        let mut phone = app.device("phone", "ana", "s1");
        add(&mut phone, "c1").await;
        phone.pull().await;
        assert_eq!(phone.ids("customers"), ["c1"]);
    });
}

/// A pooler that is changed under a running server: what it mixes up is an answer to come again, and a line that says what to do.
#[test]
fn inv17_a_pooler_that_begins_to_mix_statements_up_is_named() {
    play(async || {
        let (mut app, mut pooler) = behind().await;
        restarted(&mut app, &[]);
        two_shops(&app).await;
        pooler.reconfigure("max_prepared_statements = 200", "max_prepared_statements = 0");
        let mut round = 0;
        until("the log says what to do", async || {
            round += 1;
            let pushes = (0..8).map(|n| {
                let token = token::signed(&token::claims("ana", Some("s1")));
                let id = format!("c{round}x{n}");
                let mutation = loose("addCustomer", &id, &json!({"clientId": id, "name": "Name"}));
                let app = &app;
                async move { app.push(&token, &[mutation]).await }
            });
            for reply in futures_util::future::join_all(pushes).await {
                assert!([200, 503].contains(&reply.status), "{reply:?}");
            }
            app.server.output().contains("max_prepared_statements = 200")
        })
        .await;
    });
}
