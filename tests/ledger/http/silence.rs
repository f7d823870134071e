//! A database that falls silent, ends its sessions or is held by others: answers within a bounded time, and recovery by itself.

use crate::fixture::{BINARY, add, two_shops};
use nizhal_tests::{App, Database, Forwarder, Kind, Reply, SetUp, on, play, within};
use serde_json::json;

on![postgres, Postgres: inv31_sessions_that_the_database_ended_cost_nobody_an_answer];
on![sqlite, Sqlite: inv31_a_file_that_another_process_holds_is_busy_and_not_for_ever];

/// Whatever is under way is told to try again at worst; what comes after is served, with the server as it is.
#[test]
fn inv31_a_forwarder_that_forgets_its_connections_is_survived() {
    play(async || {
        let database = Database::new(Kind::Postgres).await;
        let forwarder = Forwarder::start(database.url()).await;
        let set_up = SetUp::new(BINARY, &forwarder.before(database.url())).env("NIZHAL_DB_POOL", "4");
        let app = App::with(database, set_up);
        let mut db = two_shops(&app).await;
        let mut devices: Vec<_> = (0..8).map(|number| app.device(&format!("d{number}"), "ana", "s1")).collect();
        for round in 0..3 {
            let pushes = devices.iter_mut().enumerate().map(|(number, device)| {
                let args = json!({"clientId": format!("c{round}x{number}"), "name": "Sunil"});
                let mutation = device.mutation("addCustomer", &args);
                async move {
                    let sent = async {
                        loop {
                            let reply = Reply::of(device.push_request(std::slice::from_ref(&mutation))).await;
                            match reply.status {
                                503 => tokio::task::yield_now().await,
                                _ => return reply.expect(200),
                            }
                        }
                    };
                    within("a push on a silent database", sent, || format!("round {round}, device {number}")).await;
                }
            });
            // Some are idle and some under way, and all are as good as dead.
            forwarder.forget();
            futures_util::future::join_all(pushes).await;
            within("a pull after it", devices[0].pull(), || format!("round {round}")).await;
        }
        assert_eq!(db.count("customers").await, 24);
        assert_eq!(devices[0].ids("customers").len(), 24);
    });
}

async fn inv31_sessions_that_the_database_ended_cost_nobody_an_answer(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    for round in 0..4 {
        add(&mut phone, &format!("c{round}")).await;
        phone.pull().await;
        let idle =
            "pg_stat_activity where datname = current_database() and application_name = 'nizhal' and state = 'idle'";
        let ended = db.rows(&format!("select cast(pg_terminate_backend(pid) as text) from {idle}")).await;
        assert!(!ended.is_empty(), "no session was idle");
        if round % 2 == 0 {
            // The first to find out may be a pull.
            phone.pull().await;
        }
    }
    add(&mut phone, "last").await;
    assert_eq!(db.count("customers").await, 5);
}

async fn inv31_a_file_that_another_process_holds_is_busy_and_not_for_ever(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    let mut other = app.sql().await;
    other.execute("begin immediate").await;
    let mutation = phone.mutation("addCustomer", &json!({"clientId": "c2", "name": "Arul"}));
    let pushes = (0..3).map(|_| Reply::of(phone.push_request(std::slice::from_ref(&mutation))));
    let replies = within("an answer while the file is held", futures_util::future::join_all(pushes), String::new).await;
    for reply in replies {
        reply.refused(503, "unavailable");
    }
    other.execute("rollback").await;
    phone.push(&[mutation]).await.expect(200);
    assert_eq!(db.count("customers").await, 2);
}
