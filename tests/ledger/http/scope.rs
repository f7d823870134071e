//! Scopes that are kept: many sockets, few questions to the database, and nobody who hears a second longer than allowed.

use crate::fixture::{add, join, leave, shop, two_shops};
use crate::servers::{realtime, restarted};
use nizhal_tests::{App, Connection, Frame, Socket, both, until};

both![
    inv02_many_sockets_hear_each_commit_once_and_ask_the_database_seldom,
    inv02_whoever_is_revoked_hears_nothing_more,
];

/// As many as a quick run opens; a thorough one opens a thousand.
const SOCKETS: u64 = 250;

async fn inv02_many_sockets_hear_each_commit_once_and_ask_the_database_seldom(mut app: App) {
    restarted(&mut app, &[]);
    let count = nizhal_seeds::count(SOCKETS).min(1_000);
    let mut db = app.sql().await;
    shop(&mut db, "s1", &["ben"]).await;
    let members: Vec<String> = (0..count).map(|n| format!("('s1', 'u{n}', 'staff')")).collect();
    db.execute(&format!("insert into shop_members (shop_id, user_id, role) values {}", members.join(", "))).await;
    let mut sockets = Vec::new();
    // Each its own actor: none shares a scope with another.
    for user in 0..count {
        let token = app.device("d", &format!("u{user}"), "s1").token;
        sockets.push(app.stream("", Some(&token)).await.expect("a member may listen"));
    }
    for socket in &mut sockets {
        socket.ready().await;
    }
    let before = realtime(&app).await["scopeReads"].as_u64().expect("a count");
    let mut ben = app.device("w", "ben", "s1");
    for round in 0..5 {
        add(&mut ben, &format!("c{round}")).await;
        for socket in &mut sockets {
            assert_eq!(socket.next().await, Frame::text("repull:s1"));
        }
    }
    for socket in &mut sockets {
        socket.ready().await;
    }
    let told = realtime(&app).await;
    let asked = told["scopeReads"].as_u64().expect("a count") - before;
    assert!(asked < 100, "{count} sockets and 5 commits asked the database {asked} times: {told}");
}

/// Nothing comes after the membership is gone, whoever takes it away; and everything again when it is back.
async fn inv02_whoever_is_revoked_hears_nothing_more(mut app: App) {
    restarted(&mut app, &[]);
    let mut db = two_shops(&app).await;
    shop(&mut db, "s3", &["ana"]).await;
    let mut ben = app.device("w", "ben", "s1");
    let mut ana = app.stream("", Some(&app.device("d", "ana", "s1").token)).await.expect("ana may listen");
    ana.ready().await;
    for round in 0..4 {
        add(&mut ben, &format!("before{round}")).await;
        assert_eq!(ana.next().await, Frame::text("repull:s1"));
        revoke(&mut db, round).await;
        // The other bucket's name asks her to pull, and to learn what she lost.
        assert_eq!(ana.next().await, Frame::text("repull:s3"));
        add(&mut ben, &format!("after{round}")).await;
        heard_nothing(&mut ana).await;
        join(&mut db, "s1", "ana").await;
        assert_eq!(ana.next().await, Frame::text("repull:s1"));
    }
    until("the scopes are kept between", async || realtime(&app).await["scopesKept"].as_u64() > Some(0)).await;
}

async fn revoke(db: &mut Connection, round: usize) {
    if round == 3 && matches!(db, Connection::Postgres(_)) {
        // Behind the triggers of rows; ben and the others come back in the same commit.
        db.execute(
            "begin; create temp table kept on commit drop as select * from shop_members where not (shop_id = 's1' and \
             user_id = 'ana'); truncate shop_members; insert into shop_members select * from kept; commit",
        )
        .await;
    } else {
        leave(db, "s1", "ana").await;
    }
}

/// The answer to her own ping is all that comes.
async fn heard_nothing(socket: &mut Socket) {
    socket.ready().await;
}
