//! kill -9 of a server while it takes a space back and runs its mutations again: what is in the database then is what comes of the
//! mutations that were answered, or of these and the one under way; and the next server goes on from there.

use super::{
    app,
    plain::{Act, Deed, outcome},
    world::World,
};
use crate::fixture::both;
use nizhal_core::Random;
use nizhal_tests::{DEADLINE, Database, Kind, until};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

const URL: &str = "NIZHAL_TEST_URL";
/// At the run of which payment the process stays for ever.
const HOLD: &str = "NIZHAL_TEST_HOLD";
/// How many late payments it has sent before, and how many it is to send.
const ROUND: &str = "NIZHAL_TEST_ROUND";

/// When the first payment was made, in milliseconds since the Unix epoch.
const FIRST_MS: i64 = 1_796_000_000_000;

/// The payments that are in order: each reads the sum of those before it.
fn early() -> Vec<Act> {
    (1..=24).map(|number| pay(0, number, 10 * number)).collect()
}

/// One that comes late, of a device of its own: it stands before most of the others.
fn late(nth: i64) -> Act {
    pay(usize::try_from(nth).expect("small"), 1, 25 + nth % 7)
}

fn pay(device: usize, number: i64, after_ms: i64) -> Act {
    let amount = if number % 3 == 0 { -20 } else { 5 };
    Act { millis: FIRST_MS + after_ms, device, number, deed: Deed::Pay { amount } }
}

/// Stays where this is the payment that the process is to be killed at.
pub(super) async fn linger(payment: &str) {
    if std::env::var(HOLD).is_ok_and(|hold| hold == payment) {
        say("reached");
        std::future::pending::<()>().await;
    }
}

/// One line, also where the test's runner has begun one.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).expect("somebody reads");
    out.flush().expect("somebody reads");
}

/// Not a test: the server, which takes in late payments one after the other and says which it has answered.
#[tokio::test]
#[ignore = "the process that other tests kill"]
async fn server_process() {
    let Ok(url) = std::env::var(URL) else { return };
    let round = std::env::var(ROUND).unwrap_or_default();
    let (from, count) = round.split_once(' ').expect("two numbers");
    let (from, count): (i64, i64) = (from.parse().expect("a number"), count.parse().expect("a number"));
    let world = World::of(database(&url), app::schema()).await;
    for nth in from..from + count {
        say("sends");
        world.arrive("s", &[late(nth)]).await;
        say("answered");
    }
}

/// The database of this URL, which somebody else takes away.
fn database(url: &str) -> Database {
    match url.strip_prefix("sqlite://") {
        Some(path) => Database::file(path.as_ref()),
        None => Database::at(url),
    }
}

/// A running server; killed when dropped.
struct Process {
    child: Child,
    lines: Receiver<String>,
    answered: i64,
}

impl Process {
    fn start(database: &Database, hold: &str, from: i64, count: i64) -> Self {
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(std::env::current_exe().expect("this program"))
            .args(["replay::kill::server_process", "--exact", "--ignored", "--nocapture"])
            .env(URL, database.url())
            .env(HOLD, hold)
            .env(ROUND, format!("{from} {count}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (line, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        Self { child, lines, answered: 0 }
    }

    /// Waits until it says this.
    fn says(&mut self, wanted: &str) {
        loop {
            let line = self.lines.recv_timeout(2 * DEADLINE);
            let line = line.unwrap_or_else(|error| panic!("waited in vain for the server to say {wanted}: {error}"));
            self.answered += i64::from(line == "answered");
            if line == wanted {
                return;
            }
        }
    }

    /// kill -9; how many payments it has answered.
    fn kill(mut self) -> i64 {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.answered += i64::try_from(self.lines.iter().filter(|line| line == "answered").count()).expect("few");
        self.answered
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The payments when so many late ones are in.
fn acts(late_count: i64) -> Vec<Act> {
    early().into_iter().chain((1..=late_count).map(late)).collect()
}

async fn world(kind: Kind) -> World {
    let mut world = World::new(kind).await;
    world.open("s", &["ann"]).await;
    for some in early().chunks(6) {
        world.arrive("s", some).await;
    }
    assert_eq!(world.outcome("s").await, outcome(&acts(0)));
    world
}

both![inv37_killed_at_any_run_of_a_rewind, inv37_killed_again_and_again_within_rewinds];

/// At the late one itself, when the space was just taken back; at the first, in the midst, and at the last of those behind it.
async fn inv37_killed_at_any_run_of_a_rewind(kind: Kind) {
    let mut world = world(kind).await;
    let behind = |number: i64| pay(0, number, 0).id();
    for hold in [late(1).id(), behind(3), behind(12), behind(24)] {
        let mut process = Process::start(&world.database, &hold, 1, 1);
        process.says("reached");
        assert_eq!(process.kill(), 0);
        assert_eq!(world.outcome("s").await, outcome(&acts(0)), "nothing of it is there, killed at {hold}");
        assert_eq!(world.db.count("_nizhal_actions").await, 24);
    }
    world.arrive("s", &[late(1)]).await;
    assert_eq!(world.outcome("s").await, outcome(&acts(1)));
}

/// At the commit, when all have run again.
#[tokio::test]
async fn inv37_killed_at_the_commit_of_a_rewind() {
    let mut world = world(Kind::Postgres).await;
    world
        .db
        .execute(
            "create function wait_for_test() returns trigger language plpgsql as \
             $$ begin perform pg_advisory_xact_lock(37); return null; end $$; \
             create constraint trigger wait_for_test after insert on _nizhal_actions deferrable initially deferred \
             for each row execute function wait_for_test(); select pg_advisory_lock(37)",
        )
        .await;
    let mut process = Process::start(&world.database, "", 1, 1);
    process.says("sends");
    let mut db = world.database.connect().await;
    until("the commit", async || db.count("pg_locks where locktype = 'advisory' and not granted").await == 1).await;
    assert_eq!(process.kill(), 0);
    db.execute("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and not granted").await;
    assert_eq!(world.outcome("s").await, outcome(&acts(0)));
    world.db.execute("select pg_advisory_unlock(37); drop trigger wait_for_test on _nizhal_actions").await;
    world.arrive("s", &[late(1)]).await;
    assert_eq!(world.outcome("s").await, outcome(&acts(1)));
}

/// At any instant: what was answered is in, and one more at most.
async fn inv37_killed_again_and_again_within_rewinds(kind: Kind) {
    let mut world = world(kind).await;
    let mut random = Random::of("kills");
    let mut done = 0;
    for _ in 0..nizhal_seeds::count(5) {
        let mut process = Process::start(&world.database, "", done + 1, 20);
        for _ in 0..=random.below(3) {
            process.says("sends");
        }
        // Somewhere between the beginning of a push and its answer.
        for _ in 0..random.below(300) {
            std::thread::yield_now();
        }
        let answered = process.kill();
        // What a killed server asked Postgres for may still be done there.
        let lock = "_nizhal_spaces where space is not null";
        if kind == Kind::Postgres {
            world.db.execute("begin; select 1 from _nizhal_spaces for update; commit").await;
        }
        assert_eq!(world.db.count(lock).await, 1);
        let found = world.outcome("s").await;
        let count = i64::try_from(found.applied.len()).expect("few") - 24;
        assert!(
            (done + answered..=done + answered + 1).contains(&count),
            "{done} and {answered} were answered, {count} are there"
        );
        assert_eq!(found, outcome(&acts(count)), "with {count} late ones");
        done = count;
    }
    world.arrive("s", &[late(done + 1)]).await;
    assert_eq!(world.outcome("s").await, outcome(&acts(done + 1)));
}
