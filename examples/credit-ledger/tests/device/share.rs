//! Invariants 24, 26 and 27: one file and several processes, users, or none at all.

use crate::fixture::{add, bearer, claims, names, settled, setup, shop};
use nizhal::client::{Client, OtherUser, Phase};
use nizhal_tests::{App, TempDir, both, until};

both![
    inv26_two_on_one_file_have_one_leader_and_one_outbox,
    inv24_another_users_token_sends_nothing,
    inv27_a_file_that_is_taken_away_is_noticed_and_written_again,
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
    two.until(|status| status.phase == Phase::Follower).await;
    add(&two, "c1").await;
    add(&one, "c2").await;
    until("the leader sends both", async || db.count("customers").await == 2).await;
    settled(&one).await;
    assert_eq!(names(&one).await, names(&two).await);
    two.until(|status| status.pending == 0).await;
    // The leader goes, and the other takes its place.
    one.close().await;
    add(&two, "c3").await;
    settled(&two).await;
    assert_eq!(db.count("customers").await, 3);
    assert_eq!(db.count("_nizhal_mutations").await, 3, "nothing was sent twice");
}

async fn inv24_another_users_token_sends_nothing(app: App) {
    let mut db = shop(&app).await;
    let dir = TempDir::new("device");
    let file = dir.path().join("app.db");
    let offline = Box::pin(setup("ana").file(&file).offline().open()).await.unwrap();
    add(&offline, "c1").await;
    offline.close().await;
    let wrong = Box::pin(setup("ana").file(&file).server(app.address.at(""), bearer("ben")).open()).await.unwrap();
    wrong.until(|status| status.phase == Phase::SignedOut).await.unwrap();
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
    let stuck = ana.until(|status| matches!(status.phase, Phase::Stuck(_))).await.unwrap();
    assert!(matches!(&stuck.phase, Phase::Stuck(failure) if failure.code == "store_vanished"), "{stuck:?}");
    ana.close().await;
    let again = on(&dir, &app).await;
    settled(&again).await;
    assert_eq!((names(&again).await.len(), db.count("customers").await), (1, 1));
}

async fn a_device_without_a_server_keeps_what_it_writes_until_there_is_one(app: App) {
    let mut db = shop(&app).await;
    let dir = TempDir::new("device");
    let alone = Box::pin(setup("ana").file(dir.path().join("app.db")).open()).await.unwrap();
    add(&alone, "c1").await;
    let status = alone.until(|status| status.pending == 1).await.unwrap();
    assert_eq!((status.phase, names(&alone).await), (Phase::Local, vec!["Name of c1".to_owned()]));
    alone.close().await;
    let ana = on(&dir, &app).await;
    settled(&ana).await;
    assert_eq!(db.count("customers").await, 1);
}
