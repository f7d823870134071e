//! Invariants 24, 26 and 27: one file and several processes, users, or none at all.

use crate::fixture::{add, bearer, claims, entries, names, reached, settled, setup, shop};
use crate::kill::on_server;
use crate::process::Process;
use nizhal::client::{Client, OtherUser, Phase};
use nizhal_tests::{App, TempDir, both, until};

both![
    inv26_two_on_one_file_have_one_leader_and_one_outbox,
    inv26_processes_that_are_killed_hand_one_file_on,
    inv24_another_users_token_sends_nothing,
    inv27_a_file_that_is_taken_away_is_noticed_and_written_again,
    inv27_files_that_go_one_by_one_or_just_before_the_end_are_written_again,
    a_device_without_a_server_keeps_what_it_writes_until_there_is_one,
];

async fn on(dir: &TempDir, app: &App) -> Client {
    let setup = setup("ana").file(dir.path().join("app.db")).server(app.address.at(""), bearer("ana"));
    Box::pin(setup.open()).await.unwrap()
}

async fn inv26_two_on_one_file_have_one_leader_and_one_outbox(app: App) {
    let mut db = shop(&app).await;
    let dir = TempDir::new("device");
    let one = on(&dir, &app).await;
    settled(&one).await;
    let two = on(&dir, &app).await;
    reached(&two, "the second to follow", |status| status.phase == Phase::Follower).await;
    add(&two, "c1").await;
    add(&one, "c2").await;
    until("the leader sends both", async || db.count("customers").await == 2).await;
    settled(&one).await;
    assert_eq!(names(&one).await, names(&two).await);
    reached(&two, "the follower to see it sent", |status| status.pending == 0).await;
    // The leader goes, and the other takes its place.
    one.close().await;
    add(&two, "c3").await;
    settled(&two).await;
    assert_eq!(db.count("customers").await, 3);
    assert_eq!(db.count("_nizhal_mutations").await, 3, "nothing was sent twice");
}

async fn inv26_processes_that_are_killed_hand_one_file_on(app: App) {
    let mut db = shop(&app).await;
    db.execute("insert into customers (id, shop_id, name) values ('c1', 's1', 'Sunil')").await;
    let dir = TempDir::in_memory("device");
    let first = on(&dir, &app).await;
    settled(&first).await;
    first.close().await;
    let (file, url) = (dir.path().join("app.db"), app.address.at(""));
    let mut written = Vec::new();
    let mut leader = Process::start(&file, &url, 0);
    leader.says("leads");
    for round in 1..=6 {
        // The second works at once: it writes, shows, and leaves the sending to the first.
        let mut other = Process::start(&file, &url, round);
        other.says("follows");
        for _ in 0..3 {
            other.writes();
            leader.writes();
        }
        let sent = db.count("ledger_entries").await;
        until("the leader sends what either wrote", async || db.count("ledger_entries").await > sent + 4).await;
        // Whoever holds the lock dies, or in every third round the one that does not.
        if round % 3 == 0 {
            written.extend(other.kill());
            leader.writes();
            continue;
        }
        assert_eq!(other.count("leads"), 0, "two lead at once");
        written.extend(leader.kill());
        other.says("leads");
        leader = other;
    }
    written.extend(leader.kill());
    let last = on(&dir, &app).await;
    assert!(last.notices().is_empty(), "{:?}", last.notices());
    settled(&last).await;
    let here = entries(&last).await;
    assert_eq!(here, on_server(&mut db).await, "device and server have the same ledger");
    let lost: Vec<_> = written.iter().filter(|&id| here.iter().all(|(known, _)| known != id)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(written.len() > 30 && last.dead_letters().await.unwrap().is_empty());
    assert_eq!(db.count("_nizhal_mutations").await, here.len() as u64, "nothing was sent twice");
}

async fn inv24_another_users_token_sends_nothing(app: App) {
    let mut db = shop(&app).await;
    let dir = TempDir::new("device");
    let file = dir.path().join("app.db");
    let offline = Box::pin(setup("ana").file(&file).offline().open()).await.unwrap();
    add(&offline, "c1").await;
    offline.close().await;
    let wrong = Box::pin(setup("ana").file(&file).server(app.address.at(""), bearer("ben")).open()).await.unwrap();
    reached(&wrong, "the token to be refused", |status| status.phase == Phase::SignedOut).await;
    assert!(wrong.sign_in(claims("ben")).is_err());
    wrong.close().await;
    let ben = Box::pin(setup("ben").file(&file).server(app.address.at(""), bearer("ben")).open()).await.unwrap();
    settled(&ben).await;
    assert_eq!((names(&ben).await.len(), db.count("customers").await), (0, 0));
    ben.close().await;
    let refused = Box::pin(setup("ben").file(&file).other_user(OtherUser::Refuse).open()).await;
    refused.unwrap().close().await;
    let ana = on(&dir, &app).await;
    settled(&ana).await;
    assert_eq!(db.count("customers").await, 1);
}

async fn inv27_a_file_that_is_taken_away_is_noticed_and_written_again(app: App) {
    let mut db = shop(&app).await;
    let dir = TempDir::new("device");
    let ana = on(&dir, &app).await;
    settled(&ana).await;
    ana.set_online(false);
    add(&ana, "c1").await;
    for file in std::fs::read_dir(dir.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let stuck = reached(&ana, "the loss to be noticed", |status| matches!(status.phase, Phase::Stuck(_))).await;
    assert!(matches!(&stuck.phase, Phase::Stuck(failure) if failure.code == "store_vanished"), "{stuck:?}");
    ana.close().await;
    let again = on(&dir, &app).await;
    settled(&again).await;
    assert_eq!((names(&again).await.len(), db.count("customers").await), (1, 1));
}

async fn inv27_files_that_go_one_by_one_or_just_before_the_end_are_written_again(app: App) {
    let mut db = shop(&app).await;
    let dir = TempDir::new("device");
    let remove = |is_one: &dyn Fn(&str) -> bool| {
        for file in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
            if is_one(&file.file_name().to_string_lossy()) {
                std::fs::remove_file(file.path()).unwrap();
            }
        }
    };
    let ana = on(&dir, &app).await;
    settled(&ana).await;
    ana.set_online(false);
    add(&ana, "c1").await;
    remove(&|name| name.ends_with("-wal") || name.ends_with("-shm"));
    reached(&ana, "the loss of the log to be noticed", |status| matches!(status.phase, Phase::Stuck(_))).await;
    remove(&|_| true);
    ana.close().await;
    let again = on(&dir, &app).await;
    again.set_online(false);
    add(&again, "c2").await;
    remove(&|_| true);
    again.close().await;
    let last = on(&dir, &app).await;
    settled(&last).await;
    assert_eq!((names(&last).await.len(), db.count("customers").await), (2, 2));
}

async fn a_device_without_a_server_keeps_what_it_writes_until_there_is_one(app: App) {
    let mut db = shop(&app).await;
    let dir = TempDir::new("device");
    let alone = Box::pin(setup("ana").file(dir.path().join("app.db")).open()).await.unwrap();
    add(&alone, "c1").await;
    let status = reached(&alone, "one to wait", |status| status.pending == 1).await;
    assert_eq!((status.phase, names(&alone).await), (Phase::Local, vec!["Name of c1".to_owned()]));
    alone.close().await;
    let ana = on(&dir, &app).await;
    settled(&ana).await;
    assert_eq!(db.count("customers").await, 1);
}
