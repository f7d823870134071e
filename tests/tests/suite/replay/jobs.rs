//! Jobs of replayed mutations: none is done for a past that became another, and each of what is final is done once.

use super::{
    mail::{self, sent, with_letter},
    world::{World, told},
};
use crate::fixture::{self, StoppedClock, both};
use nizhal::DateTimeUtc;
use nizhal_runtime::store::{Store, StoreSettings};
use nizhal_runtime::{JobEnd, run_next_job};
use nizhal_tests::{Database, Kind, within};
use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

both![
    inv37_a_job_is_released_when_its_mutation_is_final,
    inv37_a_job_of_another_past_is_never_done,
    inv37_a_checkpoint_releases_jobs,
    inv37_a_job_writes_in_its_space_alone,
    inv37_a_job_is_released_once_whatever_is_killed,
];

/// The same database at another time.
async fn at(world: World, now: &str) -> World {
    let schema = Arc::new(mail::schema());
    let store = fixture::store(&world.database, &schema, 4).await;
    let now: DateTimeUtc = now.parse().expect("a time");
    let engine = fixture::engine_over(schema, store, StoppedClock(now)).await;
    World { engine, ..world }
}

/// Does all jobs that are due.
async fn work(world: &World) -> usize {
    let due: DateTimeUtc = "2027-12-01T00:00:00Z".parse().expect("a time");
    let mut done = 0;
    while let Some(end) = run_next_job(&world.engine, due).await.expect("the database answers") {
        assert_eq!(end, JobEnd::Done);
        done += 1;
    }
    done
}

async fn letters(world: &mut World) -> Vec<Vec<Option<String>>> {
    world.db.rows("select text, times from letters order by id").await
}

fn text(rows: &[(&str, &str)]) -> Vec<Vec<Option<String>>> {
    rows.iter().map(|(text, times)| vec![Some((*text).to_owned()), Some((*times).to_owned())]).collect()
}

async fn inv37_a_job_is_released_when_its_mutation_is_final(kind: Kind) {
    let mut world = World::of(Database::new(kind).await, mail::schema()).await;
    world.open("final", &["ann"]).await;
    let one = with_letter(sent("final", (0, 1), 10, 1));
    let two = with_letter(sent("final", (0, 2), 20, 2));
    assert_eq!(told(&world.push("ann", &[one, two]).await), ["applied"; 2]);
    // Made before, so both say another sum.
    assert_eq!(told(&world.push("ann", &[sent("final", (1, 1), 5, 10)]).await), ["applied"]);
    assert_eq!((world.engine.release_jobs().await.expect("released"), work(&world).await), (0, 0), "nothing is final");
    let mut world = at(world, "2026-12-20T00:00:00Z").await;
    assert_eq!(world.engine.release_jobs().await.expect("released"), 2);
    assert_eq!(world.engine.release_jobs().await.expect("released"), 0, "once");
    assert_eq!((work(&world).await, work(&world).await), (2, 0));
    assert_eq!(letters(&mut world).await, text(&[("0.1 makes 11", "1"), ("0.2 makes 13", "1")]));
    assert_eq!(world.db.count("_nizhal_action_jobs").await, 0);
    // What comes after is behind what was released.
    let reply = world.push("ann", &[sent("final", (2, 1), 6, 1)]).await;
    assert_eq!((told(&reply), reply.answers[0].late), (vec!["applied"], true));
}

async fn inv37_a_job_of_another_past_is_never_done(kind: Kind) {
    let mut world = World::of(Database::new(kind).await, mail::schema()).await;
    world.open("past", &["ann"]).await;
    let much = with_letter(sent("past", (0, 1), 10, 60));
    assert_eq!(told(&world.push("ann", &[much]).await), ["applied"]);
    assert_eq!(world.db.count("_nizhal_action_jobs").await, 1);
    // With this before it, it is refused, and with that one it applies again.
    assert_eq!(told(&world.push("ann", &[sent("past", (1, 1), 5, 50)]).await), ["applied"]);
    assert_eq!(world.db.count("_nizhal_action_jobs").await, 0);
    assert_eq!(told(&world.push("ann", &[sent("past", (2, 1), 1, -20)]).await), ["applied"]);
    let refused = with_letter(sent("past", (3, 1), 30, 90));
    assert_eq!(told(&world.push("ann", &[refused]).await), ["rejected"]);
    let mut world = at(world, "2026-12-20T00:00:00Z").await;
    assert_eq!((world.engine.release_jobs().await.expect("released"), work(&world).await), (1, 1));
    assert_eq!(letters(&mut world).await, text(&[("0.1 makes 90", "1")]));
}

async fn inv37_a_checkpoint_releases_jobs(kind: Kind) {
    let mut world = World::of(Database::new(kind).await, mail::schema()).await;
    world.open("settled", &["ann"]).await;
    let one = with_letter(sent("settled", (0, 1), 10, 1));
    assert_eq!(told(&world.push("ann", &[one]).await), ["applied"]);
    let write = "update lines set amount = 1 where shop = 'settled'";
    match kind {
        Kind::Postgres => {
            world.db.execute("begin").await;
            world.db.execute("set local nizhal.checkpoint = on").await;
            world.db.execute(write).await;
            world.db.execute("commit").await;
        }
        Kind::Sqlite => {
            world.db.execute("update _nizhal_replay set checkpoint = 1").await;
            world.db.execute(write).await;
            world.db.execute("update _nizhal_replay set checkpoint = 0").await;
        }
    }
    let two = with_letter(sent("settled", (0, 2), 20, 1));
    assert_eq!(told(&world.push("ann", &[two]).await), ["applied"]);
    assert_eq!((world.engine.release_jobs().await.expect("released"), work(&world).await), (1, 1));
    assert_eq!(letters(&mut world).await, text(&[("0.1 makes 1", "1")]));
}

async fn inv37_a_job_writes_in_its_space_alone(kind: Kind) {
    let mut world = World::of(Database::new(kind).await, mail::schema()).await;
    world.open("here", &["ann"]).await;
    world.open("there", &["ann"]).await;
    let named = |number, bucket: &str| {
        let mut sent = with_letter(sent("here", (0, number), number, 1));
        sent["args"]["elsewhere"] = bucket.into();
        sent
    };
    let all = [named(1, "there"), named(2, "here")];
    assert_eq!(told(&world.push("ann", &all).await), ["forbidden", "applied"]);
    assert_eq!(world.db.count("_nizhal_action_jobs").await, 1);
}

/// When everything that the tests make is final.
const LATER: &str = "2026-12-20T00:00:00Z";
/// Names the database to a process that is killed.
const URL: &str = "NIZHAL_RELEASES_AT";

/// Releases and does jobs, in a process of its own.
#[tokio::test]
#[ignore = "it is the process that another test kills"]
async fn releases_until_it_is_killed() {
    let Ok(url) = std::env::var(URL) else { return };
    let schema = Arc::new(mail::schema());
    let store = Store::connect(&StoreSettings { url, pool: 2 }, schema.clone()).await.expect("a database");
    let engine = fixture::engine_over(schema, store, StoppedClock(LATER.parse().expect("a time"))).await;
    let due = "2027-12-01T00:00:00Z".parse().expect("a time");
    let working = async {
        loop {
            engine.release_jobs().await.expect("released");
            while run_next_job(&engine, due).await.expect("the database answers").is_some() {}
            tokio::task::yield_now().await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(120), working).await;
}

/// Starts that process. It dies with the test's thread, too.
fn releasing(url: &str) -> Child {
    let own = std::env::current_exe().expect("our own program");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(own);
    command.args(["--exact", "replay::jobs::releases_until_it_is_killed", "--ignored"]);
    command.env(URL, url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}

async fn inv37_a_job_is_released_once_whatever_is_killed(kind: Kind) {
    let mut world = World::of(Database::new(kind).await, mail::schema()).await;
    world.open("killed", &["ann"]).await;
    let wanted: Vec<_> = (1..=40).map(|number| with_letter(sent("killed", (0, number), number, 1))).collect();
    assert_eq!(told(&world.push("ann", &wanted).await), ["applied"; 40]);
    for least in [1, 2, 5, 11, 23] {
        let mut child = releasing(world.database.url());
        let done = async {
            while world.db.count("letters").await < least {
                tokio::task::yield_now().await;
            }
        };
        within("some letters to be sent", done, || "they are not".to_owned()).await;
        child.kill().expect("kill -9");
        child.wait().expect("it is gone");
        if kind == Kind::Postgres {
            let open =
                "select 1 from pg_stat_activity where datname = current_database() and state like '%in transaction%'";
            let ended = async {
                while !world.db.rows(open).await.is_empty() {
                    tokio::task::yield_now().await;
                }
            };
            within("its transactions to be gone", ended, || "they are not".to_owned()).await;
        }
    }
    let mut world = at(world, LATER).await;
    world.engine.release_jobs().await.expect("released");
    work(&world).await;
    let sent = letters(&mut world).await;
    assert_eq!(sent.len(), 40);
    assert!(sent.iter().all(|letter| letter[1].as_deref() == Some("1")), "each once: {sent:?}");
    assert_eq!((world.db.count("_nizhal_action_jobs").await, world.db.count("_nizhal_jobs").await), (0, 0));
}
